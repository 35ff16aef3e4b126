"""What a run settles by itself when it begins, and the record of its settings.

A run's config.yaml holds every setting, also those that nobody gave: defaults, and
what followed from the length and the start. To repeat the run all of them count; to
start another one from it, only what somebody chose does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uda.augment.installed import installed_policies, load_installed
from uda.augment.policy import Policy, PythonPolicy, policy_file
from uda.augment.policyfile import read_policy
from uda.training.config import RunConfig, flatten
from uda.training.configfile import read_config_file
from uda.training.configure import CHOOSING, FLIPS, SETTLED, choices, is_record, merged
from uda.training.detail import default_steps

EVALUATIONS_PER_RUN = 10
EVALUATIONS_WITH_PATIENCE = 20
# What is settled where nobody says it, beside the length itself.
_OWN = (
    *("loop.eval_every", "loop.save_every"),
    *("model.frozen_steps", "model.layer_decay", "model.pretrain_steps"),
    FLIPS,
)


def settle(config: RunConfig, steps: int) -> RunConfig:
    """Return the configuration of a run of so many steps, with nothing left open."""
    loop, model = config.loop, config.model
    wanted = EVALUATIONS_PER_RUN
    if loop.patience is not None:
        wanted = EVALUATIONS_WITH_PATIENCE
    every = loop.eval_every or max(1, steps // wanted)
    fine_tuned = model.weights is not None or model.pretrained
    # Rates fall from stage to stage of one network; independent ones are several.
    decay = 0.7 if fine_tuned and not model.independent else 1.0
    usual: dict[str, Any] = {
        "model.frozen_steps": steps // 10 if fine_tuned else 0,
        "model.layer_decay": decay,
        "model.pretrain_steps": default_steps(config, steps),
    }
    if config.semi_supervised:
        # The table's targets have no weak view; labelled images keep their class too.
        table, views = config.consistency.weak_pass == "table", config.views
        usual[FLIPS] = _harmless_flips(views.labeled if table else views.weak)
    told = flatten(config.model_dump())
    open_ones = {key: value for key, value in usual.items() if told[key] is None}
    lengths = {
        "loop.steps": steps,
        "loop.eval_every": every,
        "loop.save_every": loop.save_every or every,
    }
    return config.changed({**lengths, **open_ones})


def _harmless_flips(view: str) -> str:
    """Return the flips that keep the class: those that a view with a label makes.

    Of a program nobody can tell.
    """
    file = policy_file(view)
    if file is not None and file.suffix != ".py":
        policy: Policy | PythonPolicy | None = read_policy(file, record=True)
    else:
        policy = load_installed(view) if view in installed_policies() else None
    if not isinstance(policy, Policy):
        return "none"
    if policy.hflip > 0:
        return "both" if policy.vflip > 0 else "horizontal"
    return "vertical" if policy.vflip > 0 else "none"


def recorded(path: Path) -> RunConfig:
    """Return the configuration that a run wrote when it began, as it is.

    Which options act together was checked then, of the flags apart from a file.
    """
    return merged(read_config_file(path))


def read_settings(path: Path) -> dict[str, Any]:
    """Read a file of settings for a new run; see `read_config_file`.

    Of a run's record, what it settled itself is left out, to be settled anew: a warm
    start as long as that run is no choice of somebody who asks for another length.
    """
    file = read_config_file(path)
    if not is_record(file):
        return file
    config = merged(file)
    said = {key: value for key, value in file.items() if key not in _OWN}
    # The flips are those of the view as the run had it, which lies in its own folder.
    copies = sorted((path.parent / "policies").glob("labeled.*"))
    said |= {"views.labeled": str(copies[0])} if copies else {}
    usual = settle(merged(said), config.loop.steps)
    own = {key: flatten(usual.model_dump())[key] for key in _OWN}
    # It follows the evaluations, also where somebody chose those.
    own["loop.save_every"] = config.loop.eval_every
    if file.get(FLIPS) == "both":  # once the default whatever the view was
        own[FLIPS] = "both"
    return {k: v for k, v in file.items() if k not in own or v != own[k]}


def told_by(config: RunConfig) -> dict[str, Any]:
    """Return what somebody chose for a run, as the flags that would say it.

    Args:
        config: of the run, also with what it settled itself.
    """
    now = flatten(config.model_dump())
    usual = flatten(merged(choices(now)).model_dump())
    own = {*SETTLED, FLIPS, "data.split"}
    return {
        key: value
        for key, value in now.items()
        if key in CHOOSING or (value != usual[key] and key not in own)
    }
