"""check_policy passes what is fit for training and names what is not."""

from __future__ import annotations

import pytest

from tests.augment.helpers import everything
from tests.augment.test_plugins import plug_in
from uda.augment.conformance import check_policy, probe_policy
from uda.augment.policy import (
    Policy,
    PythonPolicy,
    load_policy,
    packaged_policies,
)
from uda.errors import DataError


@pytest.mark.parametrize("name", sorted(packaged_policies()))
def test_packaged_policies_conform(name):
    check_policy(load_policy(name))


def test_everything_conforms():
    check_policy(everything(3))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return image[:, :, :1]", r"mine\.py: augment returned uint8 of shape"),
        ("return image[:8, :8]", r"mine\.py: augment returned uint8 of shape"),
        (
            "other = np.random.default_rng()\n"
            "return other.integers(0, 256, image.shape, dtype='uint8')",
            r"mine\.py: on .*two calls with the same seed differ",
        ),
        (
            "return image // (image.max() - image.min())",
            r"mine\.py:4: augment failed on .*divide",
        ),
        (
            "global last\nview = globals().get('last', image)\nlast = image\n"
            "return view if view.shape == image.shape else image",
            r"mine\.py: on",
        ),
    ],
)
def test_unfit_plug_ins_are_refused(tmp_path, body, message):
    with pytest.raises(DataError, match=message):
        check_policy(plug_in(tmp_path, body))


def verdicts(policy, **options):
    return {verdict.name: verdict for verdict in probe_policy(policy, **options)}


def test_every_probe_is_told_and_a_good_plug_in_passes_all():
    found = verdicts(load_policy("example_gamma"))
    assert len(found) == 14
    assert all(verdict.passed for verdict in found.values())
    assert "ms per image of 64x64 px" in found["time"].note
    assert "above" not in found["time"].note


def test_a_fault_on_grey_does_not_hide_what_colour_shows(tmp_path):
    body = (
        "if image.shape[2] == 1: raise ValueError('colour only')\n"
        "return (image / 255).astype(np.uint8)"
    )
    found = verdicts(plug_in(tmp_path, body))
    failed = {name for name, verdict in found.items() if not verdict.passed}
    assert failed == {"shape and dtype of grey images", "grey levels up to 255"}
    assert "mine.py:4: augment failed" in found["shape and dtype of grey images"].fault
    assert "multiplied by 255" in found["grey levels up to 255"].fault


def test_nothing_more_is_tried_on_a_plug_in_that_never_works(tmp_path):
    found = verdicts(plug_in(tmp_path, "raise RuntimeError('never')"))
    assert len(found) == 2
    assert not any(verdict.passed for verdict in found.values())


def test_a_library_that_takes_colour_alone_is_told_of():
    pytest.importorskip("torchvision")
    grey = verdicts(load_policy("example_torchvision"))[
        "shape and dtype of grey images"
    ]
    assert grey.passed
    assert grey.note in ("", "as three equal channels, and back by their luminance")


def test_a_new_process_sees_what_this_one_cannot(tmp_path):
    body = "import os\nreturn np.full_like(image, os.getpid() % 251)"
    fault = verdicts(plug_in(tmp_path, body))["same views in a new process"].fault
    assert "other views of the same seed" in fault


def test_a_policy_that_cannot_travel_is_told(tmp_path):
    policy = PythonPolicy("lost", tmp_path / "gone.py", lambda image, rng: 255 - image)
    found = verdicts(policy)
    fault = found.pop("same views in a new process").fault
    assert "a new process cannot run the policy" in fault
    assert all(verdict.passed for verdict in found.values())


def test_slow_and_idle_policies_are_warned_of(tmp_path):
    slow = verdicts(plug_in(tmp_path, "return 255 - image"), slow_ms=1e-9)["time"]
    assert slow.passed
    assert "above 1e-09 ms: training may wait" in slow.warning
    for idle in (Policy("idle"), plug_in(tmp_path, "return image", "idle.py")):
        found = verdicts(idle)["views differ from their images"]
        assert found.passed
        assert "changes nothing" in found.warning
    assert not verdicts(Policy("flip", hflip=0.05))[
        "views differ from their images"
    ].warning


@pytest.mark.parametrize(
    ("body", "other"),
    [
        ("return np.rot90(image)", "non-square images"),
        ("y = image[20:44, 20:44]\nreturn y[np.ix_(*[np.arange(64) * 24 // 64] * 2)]",
         "images of 1 x 1 px"),
    ],
)  # fmt: skip
def test_other_sizes_than_the_trainings_are_no_fault(tmp_path, body, other):
    policy = plug_in(tmp_path, body)
    check_policy(policy)
    found = verdicts(policy)
    assert all(verdict.passed for verdict in found.values())
    assert "fails on other sizes than --imgsz 64x64 alone: " in found[other].warning
    with pytest.raises(DataError, match=r"it must return uint8 of shape \(48, 64, 3"):
        check_policy(policy, size=(48, 64))


def test_costly_policies_are_put_to_fewer_images(tmp_path):
    body = "import time\ncalls.append(1)\ntime.sleep(0.011)\nreturn 255 - image\n"
    policy = plug_in(tmp_path, body)
    calls = policy.function.__globals__["calls"] = []
    check_policy(policy)
    assert len(calls) < 80


def test_prints_are_warned_of(tmp_path, capsys):
    found = verdicts(plug_in(tmp_path, "print('hello')\nreturn 255 - image"))
    assert "lines here; training shows the first 5" in found["prints nothing"].warning
    assert capsys.readouterr().err.count("hello") == 5
