"""Every command of the README runs; every option and link of the docs exists."""

from __future__ import annotations

import ast
import contextlib
import csv
import importlib.util
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import click
import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel

from tests.support.several import write_several
from tests.support.surfaces import CLASSES, surface
from uda.cli import COMMANDS, main

PROJECT = Path(__file__).resolve().parent.parent
README = PROJECT / "README.md"
PAGES = [
    README,
    *sorted((PROJECT / "docs").glob("*.md")),
    PROJECT / "policies/README.md",
]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

# What makes a run short; the README's own words come first and stay.
TINY = (
    "--imgsz", "16", "--batch", "4", "--threads", "1", "--steps", "2",
    "--eval-every", "1", "--save-every", "1",
)  # fmt: skip


def commands_of(page: Path) -> list[str]:
    """Return the lines of the page's ``sh`` blocks, without comments."""
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    lines = [
        line for language, body in blocks if language == "sh"
        for line in body.splitlines()
    ]  # fmt: skip
    return [kept for line in lines if (kept := re.sub(r"(^|\s+)#.*", "", line))]


def uda_commands(page: Path) -> list[str]:
    return [line for line in commands_of(page) if line.split()[0] == "uda"]


# --- runners: README command -> how it is run here ------------------------------


def plain(words: list[str]) -> int:
    """As it stands."""
    return call(words)


def short(words: list[str]) -> int:
    """With a tiny size and two steps instead of a budget."""
    kept = list(words)
    if "--budget" in kept:
        at = kept.index("--budget")
        del kept[at : at + 2]
    return call([*kept, *TINY])


def texture(words: list[str]) -> int:
    """At a tiny size; this method has no steps."""
    return call([*words, "--imgsz", "16"])


def network(words: list[str]) -> int:
    """With a run that surely has one: after two steps UDA may hand over texture."""
    words, name = list(words), "network"
    train = ["train", "$UDA_DATA", "--split", "split.csv", "--method", "supervised"]
    train = [os.path.expandvars(word) for word in train]
    assert call([*train, "--name", name, *TINY]) == 0
    out = f"{words[1]}/export/onnx/model.onnx"
    return call([words[0], f"runs/{name}", *words[2:], "--out", out])


def gate(words: list[str]) -> int:
    """Two steps teach nothing, but may guess one class right."""
    code = call(words)
    assert code in (0, 4)
    return 4


def browser(words: list[str]) -> int:
    """All but TensorBoard itself, which tests/browser starts."""
    with mock.patch("uda.cli.monitor._serve") as serve:
        code = call(words)
    assert serve.called
    return code


def interrupted(words: list[str]) -> int:
    """On a run that stopped half-way."""
    from uda.run.layout import open_run

    run = open_run(Path(words[1]))
    newest = sorted(run.checkpoints.glob("*.pt"))[-1]
    newest.unlink()
    newest.with_name(newest.name + ".sha256").unlink()
    run.write_status("interrupted", step=1, steps=2)
    return call(words)


def elsewhere(words: list[str]) -> int:
    """Held to its options alone: tests/cli/test_demo.py runs it."""
    parse(words)
    return 0


def with_boxes(words: list[str]) -> int:
    """On two drawn photos with one box each."""
    Path("photos").mkdir(exist_ok=True)
    for number in range(2):
        Image.fromarray(surface("Good", np.random.default_rng(number))).save(
            f"photos/{number}.png"
        )
    height, width = np.asarray(Image.open("photos/0.png")).shape[:2]
    images = [
        {"id": n, "file_name": f"{n}.png", "width": width, "height": height}
        for n in range(2)
    ]
    boxes = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [4, 4, 9, 7], "area": 63}
        for n in range(2)
    ]
    content = {
        "images": images,
        "annotations": [{**box, "iscrowd": 0} for box in boxes],
        "categories": [{"id": 1, "name": "Scratch"}],
    }
    Path("boxes.json").write_text(json.dumps(content))
    return call(words)


def with_several(words: list[str]) -> int:
    """On drawn surfaces of which some show two defects."""
    if not Path("several").exists():
        write_several(Path("several"))
    words = ["several" if word == "photos" else word for word in words]
    return short(words) if "train" in words else call(words)


def folded(words: list[str]) -> int:
    """Two folds instead of five."""
    words = ["2" if word == "5" else word for word in words]
    return short(words)


def three_classes(words: list[str]) -> int:
    """Without the class that the drawn surfaces lack."""
    return short([word.replace(",Grind_Marks=0.01", "") for word in words])


def patient(words: list[str]) -> int:
    """Evaluated at each of a dozen steps."""
    return call([*words, *TINY, "--steps", "16"])


def sized(words: list[str]) -> int:
    """From 12 to 16 pixels."""
    at = words.index("--sizes")
    words = [*words[:at], "--sizes", "12:0.5,16:0.5", *words[at + 2 :]]
    return call([*words, *TINY[2:]])


def range_test(words: list[str]) -> int:
    """Over few steps."""
    return call([*words, "--imgsz", "16", "--batch", "4", "--steps", "20"])


def with_labels(words: list[str]) -> int:
    """On the list of `uda suggest`, half of its labels filled in."""
    with Path("suggest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows[::2]:  # the others stay unlabelled
        row["label"] = CLASSES[int(re.sub(r"\D", "", row["path"])) % 3]
    with Path("suggest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return call(words)


def two_strategies(words: list[str]) -> int:
    """A short study of two quick strategies on two folds."""
    Path("two.yaml").write_text(
        "texture: --method texture --imgsz 16\n"
        "supervised: --method supervised --imgsz 16 --batch 4 --eval-every 1\n"
    )
    few = ["--strategies", "two.yaml", "--folds", "2", "--repeats", "1"]
    return call([*words, *few, "--steps", "2", "--jobs", "1"])


Runner = Callable[[list[str]], int]
# Command -> (runner, expected exit code).
RUNNERS: dict[str, tuple[Runner, int]] = {
    "uda demo --minutes 2 --out demo2": (elsewhere, 0),
    "uda inspect $UDA_DATA/train --unlabeled $UDA_DATA/unlabeled": (plain, 0),
    "uda split $UDA_DATA --group auto --out split.csv": (plain, 0),
    "uda train $UDA_DATA --split split.csv --dry-run": (short, 0),
    "uda train $UDA_DATA --split split.csv --budget 20m": (short, 0),
    "uda monitor runs/train": (browser, 0),
    "uda resume runs/train": (interrupted, 0),
    "uda evaluate runs/train --good-class Good": (plain, 0),
    "uda report runs/train": (plain, 0),
    "uda predict runs/train $UDA_DATA/unlabeled --out predictions.csv": (plain, 0),
    "uda tune runs/train --good-class Good": (plain, 0),
    "uda tune runs/train --good-class Good --tta flips": (plain, 0),
    "uda train $UDA_DATA --split split.csv --folds 5 --budget 1h --name folds": (
        folded, 0,
    ),
    "uda tune runs/folds --good-class Good --bias": (plain, 0),
    "uda relabel runs/folds --out relabel.csv": (plain, 0),
    "uda export runs/train --format onnx": (network, 0),
    "uda predict runs/train/export/onnx/model.onnx $UDA_DATA/unlabeled "
    "--out onnx.csv": (plain, 0),
    "uda train $UDA_DATA --split split.csv --method supervised": (short, 0),
    "uda train $UDA_DATA --split split.csv --method texture": (texture, 0),
    "uda compare $UDA_DATA --split split.csv --steps 300 --jobs 2 --out study": (
        two_strategies, 0,
    ),
    "uda compare study --finish": (plain, 0),
    "uda train $UDA_DATA --split split.csv --strong example_gamma": (short, 0),
    "uda policy list": (plain, 0),
    "uda policy preview $UDA_DATA --strong defect-safe --out preview.png": (plain, 0),
    "uda policy show uda": (plain, 0),
    "uda policy check example_gamma": (plain, 0),
    "uda policy bench defect-safe example_gamma": (plain, 0),
    "uda policy audit runs/train --policy uda": (plain, 0),
    "uda augment images $UDA_DATA --split split.csv --to-count 20 "
    "--policy defect-safe --out more": (plain, 0),
    "uda augment boxes boxes.json --images photos --policy defect-safe --copies 5 "
    "--out set --format yolo": (with_boxes, 0),
    "uda train $UDA_DATA --split split.csv --sampling-power 1 "
    "--logit-adjustment loss": (short, 0),
    "uda train $UDA_DATA --split split.csv --sampling-power 1 "
    "--class-weights effective": (short, 0),
    "uda train $UDA_DATA --split split.csv --method fixmatch --class-floor 0.6": (
        short, 0,
    ),
    "uda train $UDA_DATA --split split.csv --sampling-power 1 --balanced-head abc": (
        short, 0,
    ),
    "uda train $UDA_DATA --split split.csv --prior "
    '"Good=0.94,Scratch=0.03,Rust=0.02,Grind_Marks=0.01"': (three_classes, 0),
    "uda train $UDA_DATA --split split.csv --good-class Good --name tree": (short, 0),
    "uda evaluate runs/tree": (plain, 0),
    "uda split photos --multi-label --out several.csv": (with_several, 0),
    "uda train photos --multi-label --split several.csv --name several": (
        with_several, 0,
    ),
    "uda lr-find $UDA_DATA --split split.csv --method supervised": (range_test, 0),
    "uda pretrain $UDA_DATA --split split.csv --steps 1000 --out trunk.safetensors": (
        short, 0,
    ),
    "uda train $UDA_DATA --split split.csv --weights trunk.safetensors "
    "--frozen-steps 0 --layer-decay 1": (short, 0),
    "uda train $UDA_DATA --split split.csv --patience 3 --eval-every 50 "
    "--lr-schedule constant": (patient, 0),
    "uda train $UDA_DATA --split split.csv --sizes 48:0.5,64:0.5": (sized, 0),
    "uda train $UDA_DATA --split split.csv --imgsz 48 --tiles 2x2 --background Good": (
        short, 0,
    ),
    "uda suggest runs/train --unlabeled $UDA_DATA/unlabeled --budget 50": (plain, 0),
    "uda split $UDA_DATA --group auto --extend runs/train/split.csv "
    "--labels suggest.csv --out split2.csv": (with_labels, 0),
    "uda train $UDA_DATA --split split2.csv --name more": (short, 0),
    "uda filter runs/train --unlabeled $UDA_DATA/unlabeled --out kept.csv": (plain, 0),
    "uda split $UDA_DATA --unlabeled kept.csv --group auto "
    "--extend runs/train/split.csv --out split3.csv": (plain, 0),
    "uda train $UDA_DATA --unlabeled kept.csv --split split3.csv --generations 2 "
    "--name study": (short, 0),
    'uda evaluate runs/train --require "recall:Rust>=0.8"': (gate, 4),
    "uda env": (plain, 0),
}  # fmt: skip
# Script -> where it is run for real.
SCRIPTS = {
    "scripts/demo": "tests/cli/test_demo.py runs the command behind it (slow)",
    "scripts/test": "this very run",
    "scripts/test --slow": "this very run, with its slow part",
    "scripts/check": "CI runs it before the tests",
}
SHELL = {"export", "source"}


def call(words: list[str]) -> int:
    with pytest.raises(SystemExit) as stopped:
        main.main(args=words, prog_name="uda")
    return int(stopped.value.code or 0)


def parse(words: list[str]) -> None:
    """Check a command's words without running it."""
    command: click.Command = main
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        assert found is not None, words
        command = found
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    known |= {"-h", "--help"}
    options = {word.split("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)}
    assert options <= known, f"uda {' '.join(words)}: {sorted(options - known)}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with the data that the README's words expect."""
    here = tmp_path_factory.mktemp("readme")
    generator = np.random.default_rng(3)
    for part, count in (("train", 6), ("test", 3)):
        for kind in CLASSES:
            (here / "data" / part / kind).mkdir(parents=True)
            for number in range(count):
                path = here / "data" / part / kind / f"{kind}{number}.png"
                Image.fromarray(surface(kind, generator)).save(path)
    (here / "data" / "unlabeled").mkdir()
    for number in range(8):
        kind = CLASSES[number % 3]
        path = here / "data" / "unlabeled" / f"u{number}.png"
        Image.fromarray(surface(kind, generator)).save(path)
    (here / "policies").symlink_to(PROJECT / "policies")
    change = {"UDA_DATA": str(here / "data"), "UDA_CACHE": str(here / "cache")}
    with mock.patch.dict(os.environ, change), contextlib.chdir(here):
        yield here


def test_readme_names_no_command_that_is_not_run() -> None:
    found = commands_of(README)
    assert found, "the README has no commands"
    unknown = [
        line
        for line in found
        if line not in RUNNERS and line not in SCRIPTS and line.split()[0] not in SHELL
    ]
    assert unknown == []
    assert set(RUNNERS) <= set(found), "a runner without a command"


def test_readme_shows_every_command() -> None:
    shown = {line.split()[1] for line in uda_commands(README)}
    assert shown == set(COMMANDS)


# In the order of the README: each line finds what those before it have left.
@pytest.mark.parametrize("line", RUNNERS)
def test_readme_command_runs(folder: Path, line: str) -> None:
    runner, expected = RUNNERS[line]
    words = shlex.split(line)[1:]
    words = [os.path.expandvars(word) for word in words]
    assert runner(words) == expected


@pytest.mark.parametrize("line", SCRIPTS)
def test_readme_script_is_there(line: str) -> None:
    script = PROJECT / line.split()[0]
    assert os.access(script, os.X_OK)
    assert "ensure_environment" in script.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_options_in_the_docs_exist(page: Path) -> None:
    for line in uda_commands(page):
        parse(shlex.split(line)[1:])


def test_every_setting_has_a_flag_or_a_line_in_the_docs() -> None:
    from uda.training.config import RunConfig

    def keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
        for name, field in section.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys(kind, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}"

    flags = (PROJECT / "uda/cli/train_flags.py").read_text()
    hidden = {key for key in keys(RunConfig) if f'"{key}"' not in flags}
    page = (PROJECT / "docs/training.md").read_text()
    told = set(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", page, re.MULTILINE))
    # The length has flags of its own; pseudo-labels are written by generations.
    assert hidden - told == {"loop.steps", "data.pseudo_labels"}
    assert told <= hidden


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    missing = [
        target
        for target in targets
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_imports_in_the_docs_exist(page: Path) -> None:
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    for language, body in blocks:
        if language == "python":
            found = [
                n for n in ast.walk(ast.parse(body)) if isinstance(n, ast.ImportFrom)
            ]
            for line in (one for one in found if (one.module or "").startswith("uda")):
                module = importlib.import_module(str(line.module))
                for name in line.names:
                    full = f"{line.module}.{name.name}"
                    assert hasattr(module, name.name) or importlib.util.find_spec(full)


def test_tree_names_every_room() -> None:
    text = README.read_text(encoding="utf-8")
    tree = re.search(r"^```text\n(uda/\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert tree is not None
    named = {line.split()[0] for line in tree[1].splitlines() if line.strip()}
    rooms = {f"{path.parent.name}/" for path in PROJECT.glob("uda/*/__init__.py")}
    single = {path.name for path in PROJECT.glob("uda/*.py")} - {
        "__init__.py",
        "__main__.py",
    }
    top = {"policies/", "scripts/", "tests/", "docs/"}
    assert named == {"uda/"} | rooms | single | top


def test_pictures_are_small() -> None:
    pictures = list((PROJECT / "docs" / "images").glob("*"))
    assert pictures
    for picture in pictures:
        assert picture.suffix == ".png"
        assert picture.stat().st_size < 150_000


def test_shell_words_of_the_docs_are_simple() -> None:
    """A block says ``sh`` only where its lines can be pasted into a shell."""
    for page in PAGES:
        for line in commands_of(page):
            first = line.split()[0]
            assert first == "uda" or first in SHELL or first.startswith("scripts/"), (
                page.name, line,
            )  # fmt: skip
