"""Each library's policy trains on real images by the command line, repeatably."""

from __future__ import annotations

import importlib.util
import os
import signal
import warnings

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from uda.cli import main

pytestmark = pytest.mark.slow

QUICK = [
    "--imgsz", "32", "--group", "none", "--batch", "8", "--mu", "3", "--steps", "16",
    "--start-share", "0.2", "--ramp-share", "0", "--threads", "1", "--model", "small",
    "--labels-per-class", "20", "--eval-every", "16", "--quiet",
    "--threshold", "0", "--set", "consistency.texture_weight=0",
]  # fmt: skip
LIBRARIES = ("albumentations", "imgaug", "kornia", "randaugment", "torchvision")
OBJECTS = {
    "albumentations": """
import albumentations as A
augment = A.Compose([
    A.RandomCrop(28, 28), A.Resize(32, 32), A.SomeOf([
        A.CLAHE(), A.GridDistortion(), A.GaussianBlur(), A.CoarseDropout(),
        A.RandomGamma(), A.Sharpen(), A.HueSaturationValue(), A.Posterize(),
    ], n=3),
], seed=5)
""",
    "imgaug": """
import imgaug.augmenters as iaa
augment = iaa.Sequential([
    iaa.CropAndPad(percent=(-0.1, 0.1)), iaa.Fliplr(0.5),
    iaa.SomeOf((0, 3), [
        iaa.GaussianBlur((0, 1)), iaa.Cutout(), iaa.Multiply((0.7, 1.3)),
        iaa.AddToHueAndSaturation((-20, 20)), iaa.JpegCompression((10, 60)),
    ], random_order=True),
])
""",
    "kornia": """
import torch
import kornia.augmentation as K
augment = torch.nn.Sequential(
    K.auto.RandAugment(n=2, m=10), K.RandomErasing(p=0.5), K.RandomHorizontalFlip(),
)
""",
    "randaugment": """
from randaugment import ImageNetPolicy
policy = ImageNetPolicy()
""",
    "torchvision": """
from randaugment import RandAugment
from torchvision import transforms as T
augment = T.Compose([
    T.RandomResizedCrop(32, scale=(0.7, 1.0)), T.RandAugment(num_ops=3, magnitude=12),
    T.RandomApply([T.GaussianBlur(3)]), T.ToTensor(), T.RandomErasing(),
])
""",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, cache):
    """Work in an empty folder; leave signals and warnings as they were."""
    before = {number: signal.getsignal(number) for number in (2, 15)}
    monkeypatch.setenv("UDA_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what old libraries warn about is not ours
        yield
    torch.set_num_threads(threads)
    for number, handler in before.items():
        signal.signal(number, handler)


def train(folder, strong, *words):
    call = ["train", folder, "--strong", strong, *QUICK, *words]
    done = CliRunner().invoke(main, [os.fspath(word) for word in call])
    assert done.exit_code == 0, done.output
    return load_file("runs/latest/weights/raw.safetensors")


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_policy_of_the_library_trains_repeatably(library, real_data, tmp_path):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is missing: install the dev extra")
    file = tmp_path / "mine.py"
    file.write_text(OBJECTS[library])
    first = train(real_data / "neu", file, "--workers", "0")
    assert same(first, train(real_data / "neu", file, "--workers", "2"))


def test_the_strong_views_decide_about_the_weights(real_data):
    """Or else the test above would compare nothing."""
    one = train(real_data / "neu", "example_torchvision")
    assert not same(one, train(real_data / "neu", "weak"))


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_examples_train_by_name(library, real_data):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is missing: install the dev extra")
    assert train(real_data / "neu", f"example_{library}", "--steps", "6")
