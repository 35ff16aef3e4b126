"""What recipes and methods set differently from the defaults."""

from __future__ import annotations

from typing import Any

# The recipe `small` is the defaults of `config`. `paper` is google-research/uda's
# image recipe: one joint pass, targets from the live network, from step 0, no
# annealing, the full RandAugment list, cos(7 pi s / 16).
RECIPES: dict[str, dict[str, Any]] = {
    "small": {},
    "paper": {
        "model.name": "wrn-28-2",
        "model.pretrain_steps": 0,
        "views.labeled": "flip-crop",
        "views.weak": "flip-crop",
        "views.strong": "uda",
        "supervised.sampling_power": 1.0,
        "supervised.tsa": "none",
        "supervised.tsa_share": 1.0,
        "consistency.weak_pass": "joint",
        "consistency.teacher_flips": "none",
        "loop.clean_statistics": False,
        "consistency.start_share": 0.0,
        "consistency.ramp_share": 0.0,
        "consistency.unlabeled_ratio": 7,
        "optimizer.name": "sgd",
        "optimizer.lr": 0.03,
        "optimizer.weight_decay": 5e-4,
        "optimizer.schedule": "cosine-7-16",
        "optimizer.warmup_steps": 0,
        "loop.batch": 64,
        "loop.ema_decay": 0.9999,
        "loop.ema_warmup": False,
        "loop.steps": 500_000,
    },
}


# What a published method sets differently from UDA; everything else (teacher, views,
# ramp) is the recipe's, so that a comparison changes the method alone.
METHODS: dict[str, dict[str, Any]] = {
    "fixmatch": {"consistency.threshold": 0.95},
    "flexmatch": {"consistency.threshold": 0.95},
    "freematch": {},
    "softmatch": {},
    "pseudo-label": {"consistency.threshold": 0.95, "views.strong": "weak"},
    "pi-model": {
        "consistency.weak_pass": "no-grad",
        "consistency.weight": 10.0,
        "consistency.ramp_share": 0.4,
        "views.strong": "weak",
    },
    "mean-teacher": {
        "consistency.weak_pass": "ema",
        "consistency.weight": 50.0,
        "consistency.ramp_share": 0.4,
    },
}
