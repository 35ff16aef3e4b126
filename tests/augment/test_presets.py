"""Each preset against its source: op by op, magnitude by magnitude, pixel by pixel."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.augment.helpers import make_images
from tests.conftest import PROJECT
from uda.augment import fallback, kernels
from uda.augment.drawing import level_values
from uda.augment.ops import OPS
from uda.augment.plan import draw
from uda.augment.policy import Policy, load_policy, packaged_policies

SIZES = [(32, 32), (64, 64), (224, 224), (40, 56), (97, 61)]  # (H, W)
FACTORS = ("Brightness", "Color", "Contrast", "Sharpness")


@pytest.fixture(scope="module")
def source():
    return pytest.importorskip("torchvision.transforms.autoaugment")


def magnitudes(spec, shape):
    """Every magnitude that a spec can take at one sign, in torchvision's terms."""
    values = level_values(spec, shape)
    return values - 1 if spec.name in FACTORS else values


def expected(name, table, index):
    """The same from torchvision's table: what its ops do with each entry."""
    # Its tables are float32: 15.999999 px of TrivialAugment was meant to be 16.
    magnitude, _ = table[name]
    if magnitude.ndim == 0:
        return np.zeros(0)
    chosen = magnitude if index is None else magnitude[index : index + 1]
    values = np.array([float(value) for value in chosen])
    if name.startswith("Translate"):
        return np.floor(values + 1e-4)  # int(magnitude) in _apply_op
    if name == "Solarize":
        return np.ceil(values - 1e-4)  # level < threshold: the next whole number
    return values


def assert_same(spec, table, index, shape):
    op = OPS[spec.name]
    values = expected(spec.name, table, index)
    if not values.size:
        assert not op.has_magnitude, spec
        return
    np.testing.assert_allclose(
        magnitudes(spec, shape), values, rtol=1e-6, atol=1e-7, err_msg=spec.name
    )
    signed = table[spec.name][1]
    nothing = spec.name in FACTORS and spec.high == 1
    assert (op.signed or spec.mirrored or nothing) == signed, spec
    assert spec.levels is None or index is None


@pytest.mark.parametrize("shape", SIZES)
def test_torchvision_is_randaugment_at_its_defaults(source, shape):
    theirs = source.RandAugment()
    table = theirs._augmentation_space(theirs.num_magnitude_bins, shape)
    policy = load_policy("torchvision")
    assert (policy.count, policy.probability) == (theirs.num_ops, 1)
    assert {spec.name for spec in policy.ops} == set(table)
    assert len(policy.ops) == len(table)
    for spec in policy.ops:
        assert_same(spec, table, theirs.magnitude, shape)


def test_trivialaugment_is_the_wide_table_at_224(source):
    theirs = source.TrivialAugmentWide()
    table = theirs._augmentation_space(theirs.num_magnitude_bins)
    policy = load_policy("trivialaugment")
    assert (policy.count, policy.probability) == (1, 1)
    assert [spec.name for spec in policy.ops] == list(table)
    for spec in policy.ops:
        assert_same(spec, table, None, (224, 224))


@pytest.mark.parametrize("name", ["CIFAR10", "SVHN"])
@pytest.mark.parametrize("shape", SIZES)
def test_autoaugment_is_the_published_list(source, name, shape):
    theirs = source.AutoAugment(getattr(source.AutoAugmentPolicy, name))
    table = theirs._augmentation_space(10, shape)
    policy = load_policy(f"autoaugment-{name.lower()}")
    assert len(policy.subpolicies) == len(theirs.policies) == 25
    for ours, published in zip(policy.subpolicies, theirs.policies, strict=True):
        assert len(ours) == len(published)
        for spec, (op, probability, index) in zip(ours, published, strict=True):
            assert spec.name == op
            assert (1 if spec.probability is None else spec.probability) == probability
            if index is not None:
                assert_same(spec, table, index, shape)


def views_of(policy, spec, image):
    """The views that one op gives, each once."""
    alone = Policy("one", ops=(spec,), count=1, fill=policy.fill)
    num = 8 * (spec.levels or 1)
    plan = draw(
        alone, seed=1, stream="s", counters=np.arange(num), shape=image.shape[:2]
    )
    images = np.repeat(image[None], num, axis=0)
    views = kernels.apply(plan, images, fill=np.zeros(image.shape[2], np.uint8))
    return {view.tobytes() for view in views}


def their_views(source, spec, image):
    """The same by torchvision's own function, at both signs where it has signs."""
    values = [0.0]
    if OPS[spec.name].has_magnitude:
        values = magnitudes(spec, image.shape[:2])
    signs = (1, -1) if OPS[spec.name].signed or spec.mirrored else (1,)
    mode = source.InterpolationMode.NEAREST
    pil = Image.fromarray(image)
    return {
        np.asarray(
            source._apply_op(pil, spec.name, sign * float(value), mode, None)
        ).tobytes()
        for value in values
        for sign in signs
    }


PIXELS = ["torchvision", "autoaugment-cifar10", "autoaugment-svhn", "trivialaugment"]


@pytest.mark.parametrize("preset", PIXELS)
def test_pixels_are_torchvisions(source, preset):
    policy = load_policy(preset)
    image = make_images("noise", 1, 40, 56, 3)[0]
    for spec in set(policy.every_op()):
        bare = type(spec)(
            spec.name, spec.low, spec.high, spec.levels, mirrored=spec.mirrored
        )
        ours = views_of(policy, bare, image)
        theirs = their_views(source, bare, image)
        assert ours, spec
        assert ours <= theirs, spec
        if spec.levels is None:
            assert ours == theirs, spec


USB = {
    # The published list: name -> range its magnitude is drawn from, uniformly.
    "AutoContrast": None, "Equalize": None, "Identity": None,
    "Brightness": (0.05, 0.95), "Color": (0.05, 0.95), "Contrast": (0.05, 0.95),
    "Sharpness": (0.05, 0.95), "Posterize": (4, 8), "Rotate": (-30, 30),
    "ShearX": (-0.3, 0.3), "ShearY": (-0.3, 0.3), "Solarize": (0, 256),
    "TranslateX": (-0.3, 0.3), "TranslateY": (-0.3, 0.3),
}  # fmt: skip


def test_usb_is_the_published_list():
    policy = load_policy("usb")
    assert (policy.count, policy.probability) == (3, 1)
    assert {spec.name for spec in policy.ops} == set(USB)
    assert len(policy.ops) == len(USB)
    plan = draw(
        policy, seed=0, stream="s", counters=np.arange(60_000), shape=(100, 100)
    )
    for name, limits in USB.items():
        values = plan.value[:, :3][plan.op[:, :3] == OPS[name].id]
        if limits is None:
            assert not values.any()
            continue
        # What the source does with a magnitude: fractions of 100 px, whole bits
        # rounded down, thresholds between two levels act as the upper one.
        scale = 100 if name.startswith("Translate") else 1
        uniform = scale * np.linspace(*limits, 100_001)
        if name == "Posterize":
            uniform = np.floor(uniform[:-1])
        elif name == "Solarize":
            uniform = np.ceil(uniform[1:])
        elif scale != 1:
            uniform = np.trunc(uniform[1:-1])
        assert abs(values.min() - uniform.min()) <= 0.01 * np.ptp(uniform), name
        assert abs(values.max() - uniform.max()) <= 0.01 * np.ptp(uniform), name
        # Kolmogorov-Smirnov against the source's distribution, well beyond 99.9 %.
        grid = np.unique(np.concatenate([values, uniform[::97]]))
        ours = np.searchsorted(np.sort(values), grid, side="right") / len(values)
        theirs = np.searchsorted(uniform, grid, side="right") / len(uniform)
        assert np.abs(ours - theirs).max() < 2.2 / math.sqrt(len(values)), name
    assert (plan.op[:, 3] == OPS["Cutout"].id).all()
    sides = plan.value[:, 3]
    assert set(np.unique(sides)) == set(range(50))
    assert abs(sides.mean() - 24.5) < 0.3


def test_a_threshold_between_levels_acts_as_the_next_one():
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    for threshold in (178.5, 246.5, 28.333, 0.25, 255.0):
        between = np.asarray(ImageOps.solarize(ramp, threshold))
        upper = np.asarray(ImageOps.solarize(ramp, math.ceil(threshold)))
        np.testing.assert_array_equal(between, upper)


@pytest.mark.parametrize("name", ["lighting", "camera"])
def test_presets_of_the_line_move_and_cover_nothing(name):
    policy = load_policy(name)
    kinds = {OPS[spec.name].kind for spec in policy.every_op()}
    assert not kinds & {"geometry", "erase"}
    assert policy.cutout == 0
    assert policy.crop_pad <= 0.0625
    names = {spec.name for spec in policy.every_op()}
    assert not names & {"Invert", "Solarize", "SolarizeAdd", "Equalize", "Posterize"}


def test_every_native_preset_says_where_its_numbers_come_from():
    for name, path in packaged_policies().items():
        if path.suffix == ".yaml":
            policy = load_policy(name)
            assert policy.name == name
            assert policy.source
            assert path.read_text(encoding="utf-8").startswith("# ")


ARRAYS = (
    "op", "value", "box", "place", "hflip", "vflip", "turns", "dy", "dx", "cut",
)  # fmt: skip
# The first 500 plans of each preset; where they change, so do a run's views.
GOLDEN = {
    ("weak", (32, 32)): "b5d05ac6d36d7838", ("weak", (40, 56)): "26ee4a4443301c3e",
    ("flip-crop", (32, 32)): "c73900af103e4132",
    ("flip-crop", (40, 56)): "f54009ebf66d71b5",
    ("uda", (32, 32)): "ce2db0affa254af4", ("uda", (40, 56)): "e51fc446c213c91c",
    ("fixmatch", (32, 32)): "f330124e5cf8c128",
    ("fixmatch", (40, 56)): "2923f3a75a385eb7",
    ("defect-safe", (32, 32)): "791e9bd30a8517db",
    ("defect-safe", (40, 56)): "ca223fa39423c3e6",
    ("usb", (40, 56)): "4005427aed3cd5b8",
    ("torchvision", (40, 56)): "f6884793e0bc6dd6",
    ("trivialaugment", (40, 56)): "d4e31ceb4238680f",
    ("autoaugment-cifar10", (40, 56)): "2a4b2a3528dcfecb",
    ("autoaugment-svhn", (40, 56)): "78139ad2955f119f",
    ("lighting", (40, 56)): "a3fef4bbeab65e23",
    ("camera", (40, 56)): "3e7ebbb9566e9d9a",
}  # fmt: skip


def digest(name, shape):
    counters = 3 * np.arange(500) + 1
    plan = draw(
        load_policy(name), seed=7, stream="strong", counters=counters, shape=shape
    )
    content = hashlib.sha256()
    for array in ARRAYS:
        content.update(np.ascontiguousarray(getattr(plan, array)).tobytes())
    return content.hexdigest()[:16]


@pytest.mark.parametrize(("name", "shape"), GOLDEN)
def test_plans_stay_what_they_were(name, shape):
    assert digest(name, shape) == GOLDEN[name, shape]


PIXELS_OF_THE_LINE = {
    ("lighting", 1): "9e03dfd9a8ae8272", ("lighting", 3): "88016779c78f4c7f",
    ("camera", 1): "ab13abe09652584d", ("camera", 3): "b4c3c24ebfb74518",
}  # fmt: skip


@pytest.mark.parametrize(("name", "channels"), PIXELS_OF_THE_LINE)
def test_pixels_of_the_line_stay_what_they_were(name, channels):
    """Without JPEG, whose pixels are those of whichever libjpeg Pillow has."""
    n, y, x, k = np.ogrid[:64, :40, :56, :channels]
    waves = 3 * np.abs((n % 7 + 1) * y % 80 - 40) + np.abs((5 * x + 20 * k) % 160 - 80)
    images = (20 + waves + (n + 3 * y + 5 * x) % 11).astype(np.uint8)
    plan = draw(
        load_policy(name), seed=7, stream="strong", counters=np.arange(64),
        shape=(40, 56),
    )  # fmt: skip
    plan.op[plan.op == OPS["Jpeg"].id] = -1
    fill = np.full(channels, 117, np.uint8)
    views = kernels.apply(plan, images, fill=fill)
    again = np.empty_like(views)
    fallback.apply(plan, images, fill=fill, out=again)
    np.testing.assert_array_equal(views, again)
    found = hashlib.sha256(views.tobytes()).hexdigest()[:16]
    assert found == PIXELS_OF_THE_LINE[name, channels]


README = PROJECT / "policies" / "README.md"


def test_the_readme_lists_every_policy():
    text = README.read_text(encoding="utf-8")
    for name, path in packaged_policies().items():
        assert f"| `{name if path.suffix == '.yaml' else path.name}` |" in text


def test_the_readme_gives_every_op_its_unit_limits_and_sign():
    rows = {}
    for line in README.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 4:
            rows |= {name.strip(): cells[1:] for name in cells[0].split(",")}
    for op in OPS.values():
        unit, limits, sign = rows[op.name]
        assert (unit == "none") == (not op.has_magnitude)
        assert limits == (f"{op.low:g}–{op.high:g}" if op.has_magnitude else "")
        assert sign == ("±" if op.signed else "")


def test_the_readmes_examples_are_policies_with_every_key(tmp_path):
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, flags=re.S)
    assert len(blocks) == 2
    for block in blocks:
        (tmp_path / "mine.yaml").write_text(block, encoding="utf-8")
        policy = load_policy(str(tmp_path / "mine.yaml"))
        assert policy.slots > 1
    for field in dataclasses.fields(Policy):
        assert field.name == "path" or f"\n{field.name}:" in "\n".join(["", *blocks])
