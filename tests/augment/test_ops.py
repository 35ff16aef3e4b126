"""The op table is complete, honest and stable."""

from __future__ import annotations

from uda.augment.ops import NAMES, OPS


def test_ids_are_positions_and_never_move():
    assert [op.id for op in OPS.values()] == list(range(len(OPS)))
    assert NAMES == (
        "Identity", "AutoContrast", "Equalize", "Invert", "Posterize", "Solarize",
        "Brightness", "Contrast", "Color", "Sharpness", "ShearX", "ShearY",
        "TranslateX", "TranslateY", "Rotate", "Cutout", "SolarizeAdd", "Gamma",
        "LogitBrightness", "LogitContrast", "Hue", "Saturation", "Value", "Blur",
        "Noise", "Jpeg", "Illumination", "Highlight", "ResizedCrop",
    )  # fmt: skip


def test_every_op_states_source_and_risk():
    for op in OPS.values():
        assert op.source
        assert op.risk.endswith(".")
        assert op.has_magnitude == (op.high > op.low)


def test_only_what_has_a_direction_has_a_sign():
    signed = {op.name for op in OPS.values() if op.signed}
    moved = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"}
    assert signed == moved | {"Hue", "Saturation", "Value"}


def test_kinds_say_what_an_op_reads():
    by_kind = {}
    for op in OPS.values():
        by_kind.setdefault(op.kind, set()).add(op.name)
    assert by_kind["identity"] == {"Identity"}
    assert by_kind["erase"] == {"Cutout"}
    assert by_kind["codec"] == {"Jpeg"}
    assert by_kind["geometry"] >= {"Rotate", "ResizedCrop"}
    assert by_kind["table"].isdisjoint({"Color", "Sharpness", "Hue", "Blur", "Noise"})
