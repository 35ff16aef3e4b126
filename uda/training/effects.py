"""Which configuration keys have an effect together; the rest is refused.

Nothing is silently ignored: an option that cannot change the run is an error that
names the option and says why.
"""

from __future__ import annotations

from typing import Any

from uda.errors import UsageError

# Naming the type here would close a circle of imports.
RunConfig = Any

_NETWORK_SECTIONS = ("model.", "views.", "supervised.", "optimizer.", "loop.")
_SHARED_WITH_TEXTURE = {"loop.threads"}
_SGD_ONLY = {"optimizer.momentum"}
_TABLE_DETAILS = {
    "consistency.refresh_steps",
    "consistency.texture_weight",
}
_CONSISTENCY_DETAILS = {
    "consistency.temperature",
    "consistency.threshold",
    "consistency.weak_pass",
    "consistency.teacher_flips",
    "consistency.start_share",
    "consistency.ramp_share",
}


def refuse_without_effect(config: RunConfig, given: set[str]) -> None:
    """Raise a UsageError for the first given key that cannot have an effect."""
    for key in sorted(given):
        reason = _why_without_effect(config, key)
        if reason:
            raise UsageError(
                f"{key} has no effect: {reason}; take it away, or change the other"
            )


def refuse_double_correction(config: RunConfig) -> None:
    """Raise a UsageError where the class prior would be corrected twice."""
    supervised = config.supervised
    if supervised.class_weights != "none" and supervised.sampling_power < 1:
        raise UsageError(
            f"--class-weights {supervised.class_weights} and --sampling-power "
            f"{supervised.sampling_power:g} both correct the class prior, and together "
            "overdo it; with class weights give --sampling-power 1"
        )


Rule = tuple[bool, str]


def _why_without_effect(config: RunConfig, key: str) -> str | None:
    rules = (
        *_method_rules(config, key),
        *_unlabeled_rules(config, key),
        *_other_rules(config, key),
    )
    return next((why for applies, why in rules if applies), None)


def _method_rules(config: RunConfig, key: str) -> list[Rule]:
    return [
        (
            config.method == "texture"
            and key.startswith((*_NETWORK_SECTIONS, "consistency."))
            and key not in _SHARED_WITH_TEXTURE,
            "--method texture trains no network",
        ),
        (
            config.method == "supervised"
            and (
                key.startswith("consistency.") or key in {"views.weak", "views.strong"}
            ),
            "--method supervised has no unlabelled branch",
        ),
    ]


def _unlabeled_rules(config: RunConfig, key: str) -> list[Rule]:
    return [
        (
            config.consistency.weight == 0 and key in _CONSISTENCY_DETAILS,
            "consistency.weight is 0",
        ),
        (
            config.consistency.weak_pass not in ("ema", "table")
            and key == "consistency.teacher_flips",
            "views are averaged for the EMA teacher alone (--weak-pass ema or table)",
        ),
        (
            config.consistency.weak_pass != "table" and key in _TABLE_DETAILS,
            "there is no table of targets (--weak-pass table)",
        ),
        (
            config.consistency.weak_pass == "table" and key == "views.weak",
            "the table's targets come from clean images (--weak-pass table)",
        ),
        (
            config.consistency.weak_pass != "joint"
            and key == "consistency.entropy_weight"
            and config.consistency.entropy_weight > 0,
            "targets carry no gradient unless --weak-pass is joint",
        ),
    ]


def _other_rules(config: RunConfig, key: str) -> list[Rule]:
    return [
        (
            config.supervised.tsa == "none" and key == "supervised.tsa_share",
            "--tsa is none",
        ),
        (
            config.optimizer.name != "sgd" and key in _SGD_ONLY,
            f"the optimiser is {config.optimizer.name}",
        ),
        (
            config.optimizer.schedule == "one-cycle"
            and key == "optimizer.warmup_steps",
            "the one-cycle schedule brings its own rise",
        ),
        (
            config.data.split is not None
            and key
            in {
                "data.labels_per_class",
                "data.group",
                "data.validation",
                "data.test",
            },
            "--split gives the parts already",
        ),
    ]
