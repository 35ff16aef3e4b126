"""The op table is complete, honest and stable."""

from __future__ import annotations

from uda.augment.ops import NAMES, OPS


def test_ids_are_positions_and_never_move():
    assert [op.id for op in OPS.values()] == list(range(len(OPS)))
    assert NAMES == (
        "Identity", "AutoContrast", "Equalize", "Invert", "Posterize", "Solarize",
        "Brightness", "Contrast", "Color", "Sharpness", "ShearX", "ShearY",
        "TranslateX", "TranslateY", "Rotate", "Cutout",
    )  # fmt: skip


def test_every_op_states_source_and_risk():
    for op in OPS.values():
        assert op.source
        assert op.risk.endswith(".")
        assert op.has_magnitude == (op.high > op.low)


def test_only_geometry_has_a_sign():
    assert {op.kind for op in OPS.values() if op.signed} == {"geometry"}
