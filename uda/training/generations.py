"""CReST: several trainings, each with pseudo-labels that the one before has earned.

Every generation starts from scratch, on the labelled images and on those unlabelled
ones of which the generation before was surest; of a common class few are taken over,
of a rare one most (``objectives.crest``). With a prior (``--prior``) it is CReST+:
targets are bent to it, less so from one generation to the next.
Source: Wei et al., "CReST", CVPR 2021.

The study is a folder of runs, gen0, gen1 and so on. What is to be done next is read
off that folder, so a killed study goes on where it was.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uda.data.splits import Split
from uda.errors import CheckpointError, UsageError
from uda.evaluation.evaluate import place
from uda.evaluation.predict import Predictions, predict_pool
from uda.evaluation.rates import confusion_matrix
from uda.files import atomic_write, folder_lock, read_json, write_json
from uda.models.forward import at_once
from uda.objectives.crest import crest_prior, crest_select, crest_shares
from uda.run.bundle import load_bundle
from uda.run.layout import RunFolder, point_latest
from uda.training.build import training_device
from uda.training.config import RunConfig
from uda.training.guard import accuracy_of
from uda.training.lasting import lasting
from uda.training.launch import (
    check_request,
    launch,
    refuse_early,
    resume,
    start_run,
    try_out,
    with_workers,
)
from uda.training.length import Length
from uda.training.monitor.progress import Progress
from uda.training.prepare import Parts, Rows, build_parts
from uda.training.pseudo import write_pseudo_labels
from uda.training.settled import recorded
from uda.training.split import find_split, scan_split
from uda.training.stop import StopRequest
from uda.training.summary import Summary

STUDY = "generations.json"
ALPHA = 1 / 3


def launch_generations(
    config: RunConfig,
    length: Length,
    *,
    num: int,
    project: Path,
    name: str,
    console: Progress,
    stop: StopRequest,
    dry_run: bool = False,
) -> Summary:
    """Start a study of several generations and train it to its end.

    Raises:
        UsageError: a method or label type that this does not combine with.
    """
    if num > 1 and config.method == "texture":
        raise UsageError("--generations: --method texture has no generations")
    if num > 1 and config.data.multi_label:
        raise UsageError(
            "--generations: pseudo-labels name one class per image; leave it out with "
            "--multi-label"
        )
    if num == 1:
        options: dict[str, Any] = {"console": console, "stop": stop}
        return launch(
            config, length, project=project, name=name, dry_run=dry_run, **options
        )
    if length.budget is not None:
        length = replace(length, budget=length.budget / num)
    if dry_run:
        check_request(config, length, console)
        return try_out(config, length, console, stop, trainings=num)
    catalog, split, _ = find_split(config)
    refuse_early(config, catalog, split)
    study = start_run(project, name, console).path
    atomic_write(study / "base.yaml", lasting(config).to_yaml())
    write_json(study / STUDY, {"generations": num, "length": asdict(length)})
    return _go_on(study, None, console, stop)


def is_study(path: Path) -> bool:
    """Tell whether a folder is a study of several generations."""
    return (path / STUDY).is_file()


def resume_generations(
    path: Path, *, workers: int | None, console: Progress, stop: StopRequest
) -> Summary:
    """Continue a study at the generation and step where it was.

    Raises:
        UsageError: it has finished.
    """
    if "handed_over" in read_json(path / STUDY):
        raise UsageError(f"{path}: finished already, nothing to resume")
    return _go_on(path, workers, console, stop)


def _go_on(
    study: Path, workers: int | None, console: Progress, stop: StopRequest
) -> Summary:
    with folder_lock(study):
        num = int(read_json(study / STUDY)["generations"])
        last = 0
        for number in range(num):
            console.note(f"generation {number} of {num} (0 is without pseudo-labels)")
            summary = _train(study, number, workers, console, stop)
            if summary.state == "interrupted":
                console.result(f"The study goes on with: uda resume {study}")
                return summary
            last = number
            if number + 1 < num and not _choose(study, number, console):
                break
        return _hand_over(study, last, console)


def generation(study: Path, number: int) -> RunFolder:
    """Return the run of a generation."""
    return RunFolder(study / f"gen{number}")


def pseudo_file(study: Path, number: int) -> Path:
    """Return where the pseudo-labels lie that a generation trains with."""
    return study / f"pseudo_labels{number}.csv"


def _train(
    study: Path,
    number: int,
    workers: int | None,
    console: Progress,
    stop: StopRequest,
) -> Summary:
    """Train one generation, or what is left of it."""
    run = generation(study, number)
    if run.config.is_file():
        status = run.read_status()
        if status.get("state") == "done":
            return Summary("done", int(status["step"]), {}, run.path)
        return resume(run.path, workers=workers, console=console, stop=stop)
    # Killed before its configuration was written: nothing was trained yet.
    shutil.rmtree(run.path, ignore_errors=True)
    length = Length(**read_json(study / STUDY)["length"]) if number == 0 else Length()
    return launch(
        with_workers(generation_config(study, number), workers),
        length,
        project=study,
        name=run.path.name,
        console=console,
        stop=stop,
    )


def generation_config(study: Path, number: int) -> RunConfig:
    """Return the configuration of a generation.

    The first run settles what depends on data and machine (steps, split); the others
    differ from it by their pseudo-labels and by how hard targets are bent.
    """
    base = recorded(study / "base.yaml")
    if number == 0:
        return base
    first = generation(study, 0)
    settled = recorded(first.config)
    num = int(read_json(study / STUDY)["generations"])
    return settled.changed({
        "data.split": str(first.split),
        "data.pseudo_labels": str(pseudo_file(study, number).resolve()),
        "consistency.prior": _bent(_prior(base, first), number, num),
    })  # fmt: skip


def _prior(base: RunConfig, first: RunFolder) -> dict[str, float] | None:
    """Return the prior that was stated, or what the first generation estimated."""
    stated = base.consistency.prior
    if stated != "estimate":
        return stated
    shares: dict[str, float] = first.read_status()["prior"]["shares"]
    return shares


def _bent(
    prior: dict[str, float] | None, number: int, num: int
) -> dict[str, float] | None:
    if prior is None:
        return None
    shares = torch.tensor(list(prior.values()), dtype=torch.float64)
    bent = crest_prior(shares, generation=number, num_generations=num)
    return dict(zip(prior, bent.tolist(), strict=True))


def _choose(study: Path, number: int, console: Progress) -> bool:
    """Write the next generation's pseudo-labels; False where there can be none."""
    run = generation(study, number)
    if run.read_status().get("trust", 1) == 0:
        console.warn(
            f"generation {number}: the labels carry too little for pseudo-labels, so "
            "no further generation is trained"
        )
        return False
    path = pseudo_file(study, number + 1)
    if path.is_file():
        return True
    parts = _parts(run)
    # Training rows that have no label: never validation, never test.
    rows = np.setdiff1d(parts.unlabeled, parts.labeled)
    found = _predict(run, parts, rows, None)
    shares = crest_shares(torch.from_numpy(parts.class_counts), alpha=ALPHA)
    places, classes = crest_select(torch.from_numpy(found.probs), shares)
    chosen, labels = places.numpy(), classes.numpy()
    write_pseudo_labels(
        path,
        (
            (found.ids[i], parts.classes[label], float(found.confidence[i]))
            for i, label in zip(chosen.tolist(), labels.tolist(), strict=True)
        ),
        generation=number,
    )
    console.note(_chosen_words(number, parts, labels, found))
    _tell_right(study, number, parts.hidden[rows[chosen]], labels)
    return True


def _chosen_words(number: int, parts: Parts, labels: Rows, found: Predictions) -> str:
    taken = np.bincount(labels, minlength=len(parts.classes))
    of = np.bincount(found.predicted, minlength=len(parts.classes))
    words = ", ".join(
        f"{name} {a} of {b}"
        for name, a, b in zip(parts.classes, taken, of, strict=True)
    )
    return f"generation {number} gives {len(labels)} pseudo-labels: {words}"


def _tell_right(study: Path, number: int, truth: Rows, labels: Rows) -> None:
    """Keep how many pseudo-labels are right, where the split file knows the truth."""
    known = truth >= 0
    facts = read_json(study / STUDY)
    right = float((truth == labels)[known].mean()) if known.any() else None
    entry = {"from": number, "pseudo_labels": len(labels), "right": right}
    facts["chosen"] = [*facts.get("chosen", []), entry]
    write_json(study / STUDY, facts)


def _parts(run: RunFolder) -> Parts:
    """Return a run's images without pseudo-labels."""
    config = recorded(run.config)
    config = config.changed({"data.pseudo_labels": None, "data.split": str(run.split)})
    catalog, _, _ = scan_split(config)
    return build_parts(config, catalog, Split.load(run.split))


def _predict(
    run: RunFolder, parts: Parts, rows: Rows, targets: Rows | None
) -> Predictions:
    bundle = load_bundle(run.path)
    config = recorded(run.config)
    device = training_device(config.loop.device)
    # A run may hand over texture, which is read from more pixels.
    pools = {pool.preprocessing: pool for pool in (parts.pool, parts.texture_pool)}
    if bundle.preprocessing not in pools:
        raise CheckpointError(
            f"{run.path}: was trained on images of {bundle.preprocessing.size}, and "
            "the data give others now; start the study anew"
        )
    return predict_pool(
        place(bundle, str(device)),
        pools[bundle.preprocessing].images,
        rows,
        ids=parts.ids(rows),
        targets=targets,
        classes=parts.classes,
        batch=at_once(pools[bundle.preprocessing].images.shape, 256),
        device=device,
    )


def _hand_over(study: Path, last: int, console: Progress) -> Summary:
    """Point to the last generation, or to a better one where that is clear."""
    found = _validated(study, last)
    chosen = choose_generation(found) if found else last
    run = generation(study, chosen)
    point_latest(run.path)
    facts = read_json(study / STUDY)
    accuracies = [
        {"generation": i, "balanced_accuracy": accuracy, "standard_error": error}
        for i, (accuracy, error) in enumerate(found)
    ]
    write_json(
        study / STUDY,
        {**facts, "handed_over": run.path.name, "validation": accuracies},
    )
    words = ", ".join(f"gen{i} {a:.3f} ± {e:.3f}" for i, (a, e) in enumerate(found))
    why = "the last" if chosen == last else "the last is clearly worse on validation"
    console.result(
        f"Handed over: {run.path.name} ({why}). Validation balanced accuracy: "
        f"{words or 'no validation part'}. Next: uda evaluate {study}"
    )
    status = run.read_status()
    metrics = {k: v for k, v in status.items() if k.startswith("val")}
    return Summary("done", int(status["step"]), metrics, run.path)


def _validated(study: Path, last: int) -> list[tuple[float, float]]:
    """Return (balanced accuracy, standard error) of each generation."""
    parts = _parts(generation(study, 0))
    if len(parts.validation) == 0:
        return []
    found = []
    for number in range(last + 1):
        run = generation(study, number)
        told = _predict(run, parts, parts.validation, parts.validation_targets)
        counts = confusion_matrix(told.targets, told.predicted, len(parts.classes))
        found.append(accuracy_of(counts))
    return found


def choose_generation(found: list[tuple[float, float]]) -> int:
    """Return the last generation, or the best earlier one if that is clearly better.

    Clearly: by more than its standard error. To choose the best outright would
    choose by chance on a small validation part.

    Args:
        found: (balanced accuracy, standard error) of each generation, at least one.
    """
    last = len(found) - 1
    best = max(range(len(found)), key=lambda i: (found[i][0], i))
    accuracy, error = found[best]
    return best if found[last][0] < accuracy - error else last
