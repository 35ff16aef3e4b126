"""Which configuration keys have an effect together; the rest is refused.

Nothing is silently ignored: an option that cannot change the run is an error that
names the option and says why.
"""

from __future__ import annotations

from uda.errors import UsageError
from uda.training.config import RunConfig
from uda.training.shape_effects import shape_rules

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
    "consistency.refresh_steps",
    "consistency.entropy_weight",
    "consistency.prior",
    "consistency.refinery",
    "consistency.class_floor",
}


_LIVE = ("joint", "no-grad")  # --weak-pass: the live network names the targets


def refuse_without_effect(config: RunConfig, given: set[str]) -> None:
    """Raise a UsageError for the first given key that cannot have an effect."""
    for key in sorted(given):
        reason = _why_without_effect(config, key)
        if reason:
            raise UsageError(
                f"{key} has no effect: {reason}; take it away, or change the other"
            )


def without_effect(config: RunConfig, given: set[str]) -> set[str]:
    """Return the given keys that cannot have an effect."""
    return {key for key in given if _why_without_effect(config, key)}


def refuse_double_correction(config: RunConfig) -> None:
    """Raise a UsageError where the class prior would be corrected twice.

    A sampler that balances partly and logit adjustment by what it leaves are one
    correction: the adjustment's prior is the sampler's.
    """
    settings = config.supervised
    if settings.allow_double_correction:
        return
    found = [text for applies, text in _corrections(config) if applies]
    if len(found) > 1:
        raise UsageError(
            f"{' and '.join(found)} both correct the class prior, and together overdo "
            "it; keep one (with weights, margins or an auxiliary head give "
            "--sampling-power 1), or say --allow-double-correction"
        )


def refuse_passed_over(config: RunConfig) -> None:
    """Raise a UsageError where one option would silently take another's place."""
    if not config.semi_supervised:
        return
    for applies, text in [*_passed_over(config), *_misnamed(config)]:
        if applies:
            raise UsageError(text)


def _passed_over(config: RunConfig) -> list[Rule]:
    settings, head = config.consistency, config.consistency.balanced_head
    post_hoc = config.supervised.logit_adjustment == "post-hoc"
    decides = f"with --balanced-head {head} the auxiliary head decides, and"
    return [
        (
            head == "acr" and config.method not in ("uda", "fixmatch"),
            f"--balanced-head acr makes its own targets, so --method {config.method} "
            "would not be used; take --method fixmatch, or --balanced-head abc",
        ),
        (
            head != "none" and config.supervised.loss == "ldam",
            f"--loss ldam: its margins belong to cosines, and --balanced-head {head} "
            "has linear heads; keep one of the two",
        ),
        (
            head != "none" and settings.debias,
            f"--debias: {decides} only the other head's bias would be taken out; keep "
            "one of the two",
        ),
        (
            head != "none" and post_hoc,
            f"--logit-adjustment post-hoc: {decides} only the other head's answer "
            "would be adjusted; keep one of the two",
        ),
        (
            head == "abc" and settings.prior is not None,
            f"--prior: {decides} only the other head's targets would be bent; keep one "
            "of the two",
        ),
        (
            settings.class_floor is not None
            and settings.prior is not None
            and settings.refinery == "align",
            "--class-floor reads its thresholds off targets before --prior aligns "
            "them, so the shares would not be the ones asked for; take --refinery "
            "darp, or keep one of the two",
        ),
        (
            settings.prior is not None and (settings.debias or post_hoc),
            "--prior teaches the network a mix that "
            f"{'--debias' if settings.debias else '--logit-adjustment post-hoc'} takes "
            "out of its answers again; keep one of the two",
        ),
        (
            settings.debias and post_hoc,
            "--debias and --logit-adjustment post-hoc both say what is taken out of "
            "the answer; keep one of the two",
        ),
    ]


def _misnamed(config: RunConfig) -> list[Rule]:
    """Methods that another's teacher would make into that other one."""
    settings = config.consistency
    return [
        (
            config.method == "mean-teacher" and settings.weak_pass in _LIVE,
            "--method mean-teacher is taught by the averaged network, and --weak-pass "
            f"{settings.weak_pass} asks the live one; leave --weak-pass out, or take "
            "--method pi-model",
        ),
        (
            config.method == "pi-model" and settings.weak_pass not in _LIVE,
            "--method pi-model is taught by the live network, and --weak-pass "
            f"{settings.weak_pass} asks the averaged one; leave --weak-pass out, or "
            "take --method mean-teacher",
        ),
    ]


def _corrections(config: RunConfig) -> list[Rule]:
    settings = config.supervised
    weights, adjusted = settings.class_weights, settings.logit_adjustment
    head = config.consistency.balanced_head if config.semi_supervised else "none"
    # Adjusting by the sampler's own prior completes what the sampler began.
    sampler = settings.sampling_power < 1 and adjusted == "none"
    return [
        (weights != "none" and not _deferred(config), f"--class-weights {weights}"),
        (sampler, f"--sampling-power {settings.sampling_power:g}"),
        (adjusted != "none", f"--logit-adjustment {adjusted}"),
        (settings.loss == "ldam", "--loss ldam"),
        (head != "none", f"--balanced-head {head}"),
    ]


def _deferred(config: RunConfig) -> bool:
    """Late weights are part of LDAM as it was published (DRW)."""
    settings = config.supervised
    return bool(settings.loss == "ldam" and settings.reweight_from > 0)


Rule = tuple[bool, str]


def _why_without_effect(config: RunConfig, key: str) -> str | None:
    rules = (
        *_method_rules(config, key),
        *_unlabeled_rules(config, key),
        *_other_rules(config, key),
        *shape_rules(config, key),
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
            and (key.startswith("consistency.") or key in _unseen_views(config)),
            "--method supervised has no unlabelled branch",
        ),
    ]


def _unseen_views(config: RunConfig) -> set[str]:
    """Return the views of a supervised run that nobody sees."""
    warm = bool(config.model.pretrain_steps)  # it looks at strong views
    return {"views.weak"} if warm else {"views.weak", "views.strong"}


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


_UNGATED = ("freematch", "softmatch", "pi-model", "mean-teacher")


def _family_rules(config: RunConfig, key: str) -> list[Rule]:
    method, settings = config.method, config.consistency
    own_gate = method in (*_UNGATED, "flexmatch")
    return [
        (
            method in _UNGATED and key == "consistency.threshold",
            f"--method {method} has no fixed threshold",
        ),
        (
            method != "uda" and key == "consistency.temperature",
            f"--method {method} does not sharpen",
        ),
        (
            own_gate and key == "consistency.class_floor",
            f"--method {method} decides in its own way what counts",
        ),
        (
            key == "consistency.class_floor"
            and settings.class_floor is not None
            and settings.class_floor >= settings.threshold,
            f"no threshold rises above --threshold {settings.threshold:g}",
        ),
        (
            settings.weak_pass != "table"
            and (key == "consistency.class_floor" or settings.refinery == "darp")
            and key in {"consistency.class_floor", "consistency.refinery"},
            "it needs the table of targets (--weak-pass table)",
        ),
        (
            settings.prior == "estimate"
            and settings.start_share == 0
            and key == "consistency.prior",
            "there is no supervised warm start to estimate it with (--start-share)",
        ),
        (
            settings.prior is None and key == "consistency.refinery",
            "there is no prior to bend targets to (--prior)",
        ),
        (
            settings.weak_pass != "table"
            and settings.debias
            and key == "consistency.debias",
            "the bias is taken out of the averaged network as it makes the table of "
            "targets (--weak-pass table)",
        ),
        (
            settings.balanced_head == "acr"
            and key in {"consistency.prior", "consistency.class_floor"},
            "ACR adjusts its own targets",
        ),
        (
            settings.balanced_head == "acr" and key == "consistency.temperature",
            "ACR's targets are hard",
        ),
    ]


def _supervised_rules(config: RunConfig, key: str) -> list[Rule]:
    settings, tsa = config.supervised, {"tsa_share", "tsa_form", "tsa_exempt_below"}
    return [
        (
            settings.tsa == "none" and key in {f"supervised.{name}" for name in tsa},
            "--tsa is none",
        ),
        (
            settings.sampling_power == 1
            and settings.max_repeat is not None
            and key == "supervised.max_repeat",
            "with --sampling-power 1 every image is drawn once per pass, so none "
            "repeats more often than another",
        ),
        (
            settings.sampling_power == 0
            and settings.max_repeat is None
            and settings.tsa_form == "prior"
            and key == "supervised.tsa_form",
            "--sampling-power 0 draws every class alike, so all start at 1/C as in the "
            "common form (give --sampling-power 1)",
        ),
        (
            settings.tsa == "none" and key == "supervised.min_share",
            "nothing is left out of the supervised loss (--tsa none)",
        ),
        (
            settings.loss != "focal" and key == "supervised.focal_gamma",
            f"--loss is {settings.loss}",
        ),
        (
            settings.class_weights == "none" and key == "supervised.reweight_from",
            "there are no class weights to start late (--class-weights)",
        ),
        (
            settings.logit_adjustment == "none" and key == "supervised.adjustment_tau",
            "there is no logit adjustment (--logit-adjustment)",
        ),
        (
            settings.sampling_power == 0
            and settings.max_repeat is None
            and key == "supervised.logit_adjustment"
            and settings.logit_adjustment != "none",
            "--sampling-power 0 draws every class alike, so there is no prior to "
            "adjust by (give --sampling-power 1)",
        ),
    ]


def _other_rules(config: RunConfig, key: str) -> list[Rule]:
    return [
        *_supervised_rules(config, key),
        *_family_rules(config, key),
        (
            config.loop.batch_norm == "separate"
            and key == "loop.batch_norm"
            and (not config.semi_supervised or config.consistency.weight == 0),
            "there are no unlabelled images in a batch to keep apart "
            "(--method supervised, or consistency.weight 0)",
        ),
        (
            config.loop.batch_norm == "frozen" and key == "loop.clean_statistics",
            "--batch-norm frozen keeps the statistics that the weights came with",
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
