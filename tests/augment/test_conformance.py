"""check_policy passes what is fit for training and names what is not."""

from __future__ import annotations

import pytest

from tests.augment.helpers import everything
from tests.augment.test_plugins import plug_in
from uda.augment.conformance import check_policy
from uda.augment.policy import load_policy, packaged_policies
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
        ("return np.rot90(image)", r"mine\.py: augment returned uint8 of shape"),
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
