"""One contract for the objects of all libraries: seeded, checked, blamed."""

from __future__ import annotations

import importlib.util
import pickle
import random
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.augment.helpers import make_images
from uda.augment.adapters import Adapter
from uda.augment.conformance import check_policy
from uda.augment.kernels import render
from uda.augment.policy import load_policy
from uda.errors import DataError

LIBRARIES = ("torchvision", "albumentations", "imgaug", "kornia", "randaugment")

V2 = "from torchvision.transforms import v2\n"
V1 = "from torchvision import transforms as T\n"
A = "import albumentations as A\n"
IAA = "import imgaug.augmenters as iaa\n"
NN = "from torch import nn\n"
K = "import kornia.augmentation as K\n"
RA = "from randaugment import *\n"


@pytest.fixture(autouse=True)
def _foreign_warnings():
    """What unmaintained libraries warn about is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def load(folder, head, body, name="mine.py"):
    library = head.replace("from ", "").replace("import ", "").split(".")[0].split()[0]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is missing: install the dev extra")
    path = folder / name
    path.write_text(f"{head}\n{body}\n")
    return load_policy(str(path))


def views(policy, images, counters, *, seed=0, stream="strong"):
    fill = np.zeros(images.shape[3], dtype=np.uint8)
    return render(
        policy, images, seed=seed, stream=stream, counters=counters, fill=fill
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("library", LIBRARIES)
def test_examples_are_functions_of_seed_stream_counter(library, channels):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is missing: install the dev extra")
    policy = load_policy(f"example_{library}")
    assert isinstance(policy.adapter, Adapter)
    assert policy.adapter.library == library
    images = np.repeat(make_images("noise", 1, 12, 14, channels), 24, axis=0)
    all_views = views(policy, images, np.arange(24))
    assert len({view.tobytes() for view in all_views}) > 10  # a quarter is as it was
    np.testing.assert_array_equal(
        views(policy, images[:3], [20, 3, 11]), all_views[[20, 3, 11]]
    )
    assert (views(policy, images, np.arange(24), seed=1) != all_views).any()
    assert (views(policy, images, np.arange(24), stream="weak") != all_views).any()
    again = pickle.loads(pickle.dumps(policy))
    np.testing.assert_array_equal(views(again, images, np.arange(24)), all_views)


@pytest.mark.parametrize("library", LIBRARIES)
def test_examples_conform(library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is missing: install the dev extra")
    state = random.getstate()
    check_policy(load_policy(f"example_{library}"))
    assert random.getstate() == state


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (V2, "augment = v2.RandomHorizontalFlip(1.0)"),
        (V2, "policy = v2.Compose([v2.ToImage(), v2.RandomHorizontalFlip(1.0)])"),
        (
            V2 + "import torch\n",
            "augment = v2.Compose([v2.RandomHorizontalFlip(1.0), v2.ToImage(), "
            "v2.ToDtype(torch.float32, scale=True)])",
        ),
        (V1, "augment = T.Compose([T.RandomHorizontalFlip(1.0), T.ToTensor()])"),
        (V1 + NN, "augment = nn.Sequential(T.RandomHorizontalFlip(1))"),
        (A, "augment = A.HorizontalFlip(p=1.0)"),
        (A, "augment = A.Compose([A.HorizontalFlip(p=1.0), A.ToFloat()])"),
        (
            A + "from albumentations.pytorch import ToTensorV2\n",
            "augment = A.Compose([A.HorizontalFlip(p=1.0), ToTensorV2()])",
        ),
        (IAA, "augment = iaa.Fliplr(1.0)"),
        (IAA, "augment = iaa.Sequential([iaa.Sometimes(1.0, iaa.Fliplr(1.0))])"),
        (K, "augment = K.RandomHorizontalFlip(p=1.0)"),
        (K, "augment = K.AugmentationSequential(K.RandomHorizontalFlip(p=1.0))"),
        (K + NN, "augment = nn.Sequential(K.RandomHorizontalFlip(p=1.0))"),
    ],
)  # fmt: skip
def test_a_certain_flip_is_a_flip(tmp_path, head, body):
    policy = load(tmp_path, head, body)
    for channels in (1, 3):
        images = make_images("noise", 3, 6, 9, channels)
        flipped = views(policy, images, [0, 1, 2])
        np.testing.assert_array_equal(flipped, images[:, :, ::-1])


@pytest.mark.parametrize("name", [
    "RandAugment", "ImageNetPolicy", "CIFAR10Policy", "CIFAR10PolicyAll", "SVHNPolicy",
    "Cutout",
])  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_the_whole_randaugment_package_runs(tmp_path, name, channels):
    policy = load(tmp_path, RA, f"augment = {name}()")
    images = make_images("noise", 150, 16, 16, channels)
    made = views(policy, images, np.arange(150))
    assert (made != images).any(axis=(1, 2, 3)).sum() > 60


def test_randaugment_inside_a_torchvision_compose_takes_gray_images(tmp_path):
    body = "augment = T.Compose([RandAugment(), T.RandomHorizontalFlip()])"
    policy = load(tmp_path, V1 + RA, body)
    images = make_images("noise", 60, 16, 16, 1)
    made = views(policy, images, np.arange(60))
    np.testing.assert_array_equal(views(policy, images[7:9], [7, 8]), made[7:9])


@pytest.mark.parametrize("op", ["v2.RGB()", "v2.Grayscale(3)"])
def test_gray_images_made_three_channels_come_back_as_one(tmp_path, op):
    policy = load(tmp_path, V2, f"augment = v2.Compose([{op}])")
    images = make_images("noise", 3, 9, 7, 1)
    np.testing.assert_array_equal(views(policy, images, np.arange(3)), images)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (V2, "augment = v2.Grayscale()"),
        (V1, "augment = T.Compose([T.Grayscale(), T.ToTensor()])"),
        (A, "augment = A.ToGray(num_output_channels=1, p=1.0)"),
    ],
)
def test_colour_images_made_grey_keep_their_channels(tmp_path, head, body):
    policy = load(tmp_path, head, body)
    images = make_images("noise", 3, 9, 7, 3)
    made = views(policy, images, np.arange(3))
    assert made.shape == images.shape
    assert (made == made[..., :1]).all()
    plain = images @ np.array([0.299, 0.587, 0.114])
    assert np.abs(made[..., 0] - plain).max() <= 1


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (A, "augment = A.Compose([A.RandomSunFlare(p=1.0)])"),
        (IAA, "augment = iaa.AddToHueAndSaturation((-20, 20))"),
        (IAA, "augment = iaa.RandAugment(n=2, m=9)"),
        (K, "augment = K.ColorJitter(0.2, 0.2, 0.2, 0.1, p=1.0)"),
    ],
)
def test_ops_for_color_take_gray_images(tmp_path, head, body):
    policy = load(tmp_path, head, body)
    images = make_images("noise", 5, 32, 32, 1)
    made = views(policy, images, np.arange(5))
    np.testing.assert_array_equal(views(policy, images[2:], [2, 3, 4]), made[2:])


@pytest.mark.parametrize(
    ("head", "body", "message"),
    [
        (
            V2,
            "def boom(image):\n    raise ValueError('no')\n"
            "augment = v2.Compose([v2.RandomHorizontalFlip(), v2.Lambda(boom)])",
            r"mine\.py:4: Lambda \(torchvision\) failed on an image of shape "
            r"\(8, 8, 3\): ValueError: no",
        ),
        (
            V2,
            "augment = v2.Compose([\n    v2.RandomHorizontalFlip(),\n"
            "    v2.RandomCrop(50),\n])",
            r"mine\.py:5: RandomCrop \(torchvision\) failed .*larger",
        ),
        (
            A,
            "augment = A.Compose([\n    A.HorizontalFlip(),\n"
            "    A.RandomCrop(50, 50),\n])",
            r"mine\.py:5: RandomCrop \(albumentations\) failed .*CropSizeError",
        ),
        (
            IAA,
            "def boom(images, rng, parents, hooks):\n    raise ValueError('no')\n"
            "augment = iaa.Sequential([iaa.Fliplr(), iaa.Lambda(boom)])",
            r"mine\.py:4: Lambda \(imgaug\) failed .*ValueError: no",
        ),
        (
            K,
            "augment = K.AugmentationSequential(\n    K.RandomHorizontalFlip(),\n"
            "    K.RandomPlanckianJitter('wrong', p=1.0),\n)",
            r"mine\.py:5: RuntimeError",
        ),
        (
            K,
            "augment = K.AugmentationSequential(\n    K.RandomHorizontalFlip(),\n"
            "    K.RandomJigsaw(grid=(3, 3), p=1.0),\n)",
            r"mine\.py:5: RandomJigsaw \(kornia\) failed",
        ),
    ],
)
def test_the_failing_op_is_named_with_its_line(tmp_path, head, body, message):
    with pytest.raises(DataError, match=message):
        views(load(tmp_path, head, body), make_images("noise", 1, 8, 8, 3), [0])


def test_the_failing_op_of_randaugment_is_named(tmp_path, monkeypatch):
    drawn = "[[(1, 'Invert', 1), (1, 'ShearX', 1)]]"
    body = f"augment = RandAugment()\naugment._policies = {drawn}"
    policy = load(tmp_path, RA, body)
    import randaugment.randaugment as module

    class Broken(module.Image.Image):
        def transform(self, *_, **__):
            raise ValueError("no")

    monkeypatch.setattr(module.ImageOps, "invert", lambda image: Broken())
    with pytest.raises(DataError, match=r"mine\.py:3: ShearX \(randaugment\) failed"):
        views(policy, make_images("noise", 1, 8, 8, 3), [0])


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (V2, "augment = v2.Compose([v2.CenterCrop(4)])"),
        (A, "augment = A.CenterCrop(4, 4)"),
        (IAA, "augment = iaa.CropToFixedSize(4, 4)"),
        (K, "augment = K.CenterCrop((4, 4))"),
    ],
)
def test_another_size_is_refused_with_the_way_out(tmp_path, head, body):
    policy = load(tmp_path, head, body)
    wanted = r"mine\.py: \w+ returned uint8 of shape \(4, 4, 1\).*a resize to 8x8 at"
    with pytest.raises(DataError, match=wanted):
        views(policy, make_images("noise", 1, 8, 8, 1), [0])


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (V1, "augment = T.Compose([T.ToTensor(), T.Normalize([0.5], [0.5])])"),
        (A, "augment = A.Compose([A.OneOf([A.Normalize()])])"),
        (K + "import torch\n", "augment = torch.nn.Sequential(K.Normalize(0.5, 0.2))"),
    ],
)
def test_what_normalises_is_refused_at_once(tmp_path, head, body):
    with pytest.raises(DataError, match=r"mine\.py:\d: .*take Normalize out"):
        load(tmp_path, head, body)


def test_noise_of_any_strength_is_clipped_and_nan_is_a_fault_with_kornia(tmp_path):
    body = "augment = K.RandomGaussianNoise(std=2.0, p=1.0)"
    images = np.full((4, 16, 16, 1), 128, dtype=np.uint8)
    made = views(load(tmp_path, K, body), images, np.arange(4))
    assert {0, 255} <= set(np.unique(made).tolist())
    # Normal noise of 2 about the middle: 40 % lie below 0, and 40 % above 1.
    assert 0.35 < (made == 0).mean() < 0.45
    assert 0.35 < (made == 255).mean() < 0.45
    policy = load(tmp_path, K, body.replace("2.0", "float('nan')"))
    with pytest.raises(DataError, match="NaN or infinite"):
        views(policy, images, np.arange(4))


def test_levels_are_still_refused_where_no_noise_is_added(tmp_path):
    """A module of one's own that scales would leave black and white alone."""
    head = K + "import torch\n"
    body = (
        "class Scaled(torch.nn.Module):\n"
        "    def forward(self, x):\n        return x * 255\n"
        "augment = torch.nn.Sequential(K.RandomHorizontalFlip(p=0.5), Scaled())"
    )
    images = np.full((2, 16, 16, 1), 128, dtype=np.uint8)
    with pytest.raises(DataError, match=r"these look like 0\.\.255"):
        views(load(tmp_path, head, body), images, np.arange(2))


def test_timms_transforms_sit_in_a_torchvision_compose(tmp_path):
    make = "augment = rand_augment_transform('rand-m5-n2', {'img_mean': (9, 9, 9)})"
    head = "from timm.data.auto_augment import rand_augment_transform\n"
    images = make_images("noise", 6, 16, 16, 3)
    for body in (make, f"{make}\nfrom torchvision.transforms import Compose\n"
                 "augment = Compose([augment])"):  # fmt: skip
        policy = load(tmp_path, head, body)
        made = views(policy, images, np.arange(6))
        np.testing.assert_array_equal(views(policy, images[3:], [3, 4, 5]), made[3:])


def test_versions_of_albumentations_without_shared_state_are_seeded_too(tmp_path):
    policy = load(tmp_path, A, "augment = A.Compose([A.RandomGamma(p=1.0)])")

    class Old:
        """What the adapter may rely on in any version."""

        def __init__(self, compose):
            self.set_random_seed, self.compose = compose.set_random_seed, compose

        def __call__(self, **data):
            return self.compose(**data)

    policy.adapter.transform = Old(policy.adapter.transform)
    images = make_images("noise", 6, 8, 8, 1)
    made = views(policy, images, np.arange(6))
    np.testing.assert_array_equal(views(policy, images[3:], [3, 4, 5]), made[3:])


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_page_shows_the_examples_as_they_are(library):
    project = Path(__file__).resolve().parents[3]
    page = (project / "docs" / "plugins.md").read_text(encoding="utf-8")
    example = project / "policies" / f"example_{library}.py"
    code = example.read_text(encoding="utf-8").rpartition('"""\n\n')[2]
    assert f"```python\n{code}```" in page


def test_boxes_asked_for_in_a_compose_are_explained(tmp_path):
    pytest.importorskip("albumentations")
    path = tmp_path / "mine.py"
    path.write_text(
        "import albumentations as A\n"
        "augment = A.Compose([A.HorizontalFlip()], bbox_params=A.BboxParams(\n"
        "    format='pascal_voc', label_fields=['labels']))\n"
    )
    with pytest.raises(DataError, match="take bbox_params and keypoint_params out"):
        check_policy(load_policy(str(path)))
