"""What a study was asked for: kept in study.json, so that a killed study goes on.

A different request into the same folder is refused with the difference named; further
strategies may be added at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uda.errors import CheckpointError, UsageError
from uda.files import read_json, sha256_file, write_json
from uda.study.strategies import Strategy, slug_of

FORMAT = 1
# Keys whose value may be a file: what is in it decides results as well.
_FILES = {
    *("views.labeled", "views.weak", "views.strong"),
    *("model.tree", "model.weights", "data.boxes"),
}


@dataclass(frozen=True)
class Request:
    """The part of a study that all its cells share.

    Attributes:
        data: data folder or manifest, absolute.
        unlabeled: further folders of unlabelled images, absolute.
        split: split file, absolute, and its SHA-256.
        split_sha256: of the file's content.
        folds: grouped folds of its labelled and validation rows.
        repeats: how often they are dealt; repeat r trains with seed ``seed + r``.
        steps: length of each training, in steps of the main loop; or
        budget: in seconds, warm start included; neither where no network is trained.
        seed: of folds and trainings.
        shares: of a learning curve, the shares of the labels; empty otherwise.
    """

    data: str
    unlabeled: tuple[str, ...]
    split: str
    split_sha256: str
    folds: int
    repeats: int
    steps: int | None
    budget: float | None
    seed: int
    shares: tuple[float, ...] = ()

    @classmethod
    def of(
        cls, data: Path, split: Path, unlabeled: Sequence[Path] = (), **values: Any
    ) -> Request:
        """Return a request with absolute paths and the split's hash."""
        return cls(
            data=str(data.resolve()),
            unlabeled=tuple(str(folder.resolve()) for folder in unlabeled),
            split=str(split.resolve()),
            split_sha256=sha256_file(split),
            **values,
        )

    @property
    def length_words(self) -> str:
        """Return the length of a training in words."""
        if self.steps is not None:
            return (
                f"{self.steps} steps; a warm start without labels, where a strategy "
                "has one, is as many again and is not counted"
            )
        if self.budget is not None:
            return f"{self.budget:g} s, warm start included"
        return "no steps: no network is trained"

    def split_file(self) -> Path:
        """Return the user's split file.

        Raises:
            UsageError: it is not what the study was begun with.
        """
        path = Path(self.split)
        if not path.is_file() or sha256_file(path) != self.split_sha256:
            raise UsageError(
                f"{path}: is not the split file of the study any more; put it back"
            )
        return path


@dataclass(frozen=True)
class Planned:
    """A strategy and the configuration keys that its flags gave."""

    strategy: Strategy
    keys: Mapping[str, Any]


def facts_of(planned: Planned) -> dict[str, Any]:
    """Return what of a strategy decides its results, as JSON has it."""
    strategy = planned.strategy
    keys = {k: list(v) if isinstance(v, tuple) else v for k, v in planned.keys.items()}
    files = {
        key: sha256_file(Path(str(value)))
        for key, value in keys.items()
        if key in _FILES and Path(str(value)).is_file()
    }
    return {
        "flags": list(strategy.flags),
        "keys": keys,
        "of": strategy.of,
        "tune": strategy.tune,
        "tta": strategy.tta,
        **({} if strategy.share == 1 else {"share": strategy.share}),
        **({"files": files} if files else {}),
    }


def open_study(folder: Path, request: Request, plan: Sequence[Planned]) -> None:
    """Begin a study, or check that the one in ``folder`` was asked for the same.

    Raises:
        UsageError: the folder holds something else, or another study; names what
            differs.
    """
    path = folder / "study.json"
    wanted = asdict(request)
    strategies = {p.strategy.name: facts_of(p) for p in plan}
    if path.is_file():
        known = read_json(path)
        _refuse_other(folder, known, _plain(wanted), _plain(strategies))
        slugs = {slug_of(name) for name in strategies}
        others = known["strategies"].items()
        kept = {name: old for name, old in others if slug_of(name) not in slugs}
        strategies = {**kept, **strategies}
    elif any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise UsageError(
            f"{folder}: holds files but no study; choose another folder with --out"
        )
    facts = {"strategies": strategies, "current": [p.strategy.name for p in plan]}
    write_json(path, {"format": FORMAT, **wanted, **facts})


def _plain(value: Any) -> Any:
    """Return a value as it comes back from JSON: lists in place of tuples."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _refuse_other(
    folder: Path, known: Mapping[str, Any], wanted: Any, strategies: Any
) -> None:
    differences = [
        f"{key} is {wanted[key]!r} here and {known.get(key)!r} there"
        for key in wanted
        if known.get(key) != wanted[key]
    ]
    # Cells are found by the folder's name, so "Large" is what "large" was.
    there = {slug_of(name): (name, old) for name, old in known["strategies"].items()}
    for name, facts in strategies.items():
        before, old = there.get(slug_of(name), (name, facts))
        if _comparable(old) != _comparable(facts):
            called = "" if before == name else f" (there called {before!r})"
            differences.append(f"strategy {name!r}{called} has {_other(facts, old)}")
    if differences:
        raise UsageError(
            f"{folder}: holds another study: {'; '.join(differences)}. Give what it "
            "was begun with, or choose another folder with --out"
        )


def _comparable(facts: Mapping[str, Any]) -> dict[str, Any]:
    of = facts["of"]
    return {**facts, "of": None if of is None else slug_of(of)}


def _other(facts: Mapping[str, Any], old: Mapping[str, Any]) -> str:
    if facts["flags"] == old["flags"] and facts.get("files") != old.get("files"):
        return f"files with another content ({', '.join(facts.get('files', {}))})"
    return f"other flags ({_words(facts)} here, {_words(old)} there)"


def _words(facts: Mapping[str, Any]) -> str:
    words = " ".join(facts["flags"])
    done = [f"{key}: {facts[key]}" for key in ("of", "tune", "tta") if facts[key]]
    return ", ".join([words, *done] if words or not done else done) or "none"


def read_study(folder: Path) -> tuple[Request, tuple[Planned, ...]]:
    """Read what a study was asked for, with the strategies of the last time.

    Raises:
        CheckpointError: there is no study, or one of another version.
    """
    path = folder / "study.json"
    if not path.is_file():
        raise CheckpointError(f"{folder}: no study here (no study.json)")
    known = read_json(path)
    try:
        if known["format"] != FORMAT:
            raise CheckpointError(f"{path}: written by another version")
        fields = {name: known[name] for name in Request.__dataclass_fields__}
        for name in ("unlabeled", "shares"):
            fields[name] = tuple(fields[name])
        plan = tuple(
            Planned(
                Strategy(
                    name, tuple(facts["flags"]), facts["of"], facts["tune"],
                    facts["tta"], facts.get("share", 1.0),
                ),
                facts["keys"],
            )
            for name, facts in known["strategies"].items()
            if name in known.get("current", known["strategies"])
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged ({error!r})") from error
    return Request(**fields), plan
