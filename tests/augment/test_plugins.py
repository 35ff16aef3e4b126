"""Python policies: seeded from the counter, checked, blamed by name."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest

from tests.augment.helpers import make_images
from uda.augment.kernels import render
from uda.augment.plugins import images_per_second
from uda.augment.policy import load_policy
from uda.errors import DataError

HEAD = "import random\nimport numpy as np\n"


def plug_in(folder, body, name="mine.py"):
    path = folder / name
    lines = "\n".join("    " + line for line in body.splitlines())
    path.write_text(f"{HEAD}def augment(image, rng):\n{lines}\n")
    return load_policy(str(path))


def views(policy, images, counters, *, seed=0, stream="strong"):
    fill = np.zeros(images.shape[3], dtype=np.uint8)
    return render(
        policy, images, seed=seed, stream=stream, counters=counters, fill=fill
    )


def test_example_policy_is_a_function_of_seed_stream_counter():
    policy = load_policy("example_gamma")
    images = make_images("noise", 6, 8, 9, 1)
    everyone = views(policy, images, np.arange(6))
    assert (everyone != images).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(views(policy, images[3:5], [3, 4]), everyone[3:5])
    assert (views(policy, images, np.arange(6), seed=1) != everyone).any()
    assert (views(policy, images, np.arange(6), stream="weak") != everyone).any()


@pytest.mark.parametrize(
    "draw", ["random.randrange(256)", "np.random.randint(256)", "rng.integers(256)"]
)
def test_global_generators_are_seeded_and_put_back(tmp_path, draw):
    policy = plug_in(tmp_path, f"return np.full_like(image, {draw})")
    images = make_images("constant", 5, 4, 4, 1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = (random.random(), np.random.random())  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    first = views(policy, images, np.arange(5))
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002
    np.testing.assert_array_equal(
        views(policy, images[::-1], [4, 3, 2, 1, 0]), first[::-1]
    )
    assert len(np.unique(first)) > 1


def test_torchs_generator_is_seeded_and_put_back(tmp_path):
    torch = pytest.importorskip("torch")
    body = "import torch\nreturn np.full_like(image, int(torch.randint(256, (1,))))"
    policy = plug_in(tmp_path, body)
    images = make_images("constant", 3, 2, 2, 1)
    before = torch.get_rng_state()
    first = views(policy, images, [0, 1, 2])
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(views(policy, images[2:], [2]), first[2:])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return image[1:]", r"mine\.py: augment returned uint8 of shape \(3, 4, 1\)"),
        ("return image / 255", r"returned float64 .*; round 255 times the values"),
        ("return image * 0.9 + 9", r"float64 .*look like 0\.\.255: return them as"),
        ("return image / 50 - 3", r"float64 .*take out whatever normalises"),
        ("return image * np.nan", r"float64 .*it returned NaN"),
        ("return image.astype('i2')", r"returned int16 of shape \(4, 4, 1\)"),
        ("return np.pad(image, ((1, 1), (0, 0), (0, 0)))", r"a resize to 4x4 at its"),
        ("return None", r"mine\.py: augment returned NoneType"),
        ("return image.tolist()", r"mine\.py: augment returned list"),
        ("raise ValueError('no')", r"mine\.py:4: .*ValueError: no"),
        ("return image[9, 9, 9]", r"mine\.py:4: .*IndexError"),
        ("raise SystemExit(3)", r"mine\.py:4: .*SystemExit: 3"),
        ("assert False", r"mine\.py:4: .*AssertionError"),
    ],
)
def test_faults_name_the_file(tmp_path, body, message):
    policy = plug_in(tmp_path, body)
    with pytest.raises(DataError, match=message):
        views(policy, make_images("noise", 1, 4, 4, 1), [0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = = 2\n", r"mine\.py:2: SyntaxError"),
        ("x = 1\nimport no_such_module_here\n", r"mine\.py:2: ModuleNotFoundError"),
        ("x = 1\n", r"mine\.py: a Python policy must define augment"),
        ("augment = 3\n", r"mine\.py:1: augment is of type builtins\.int"),
        ("raise SystemExit\n", r"mine\.py:1: SystemExit"),
    ],
)
def test_files_that_cannot_be_loaded(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        load_policy(str(path))


def test_the_image_is_a_copy(tmp_path):
    policy = plug_in(tmp_path, "image[:] = 0\nreturn image")
    images = make_images("noise", 2, 4, 4, 3)
    images.setflags(write=False)
    assert views(policy, images, [0, 1]).max() == 0
    assert images.max() > 0


def test_loading_leaves_nothing_beside_the_file(tmp_path):
    plug_in(tmp_path, "return image")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_fingerprint_follows_the_content(tmp_path):
    one = plug_in(tmp_path, "return image", "one.py")
    two = plug_in(tmp_path, "return image", "two.py")
    other = plug_in(tmp_path, "return 255 - image", "other.py")
    assert one.fingerprint() == two.fingerprint() != other.fingerprint()


def test_a_policy_travels_to_worker_processes(tmp_path):
    policy = plug_in(tmp_path, "return 255 - image")
    clone = pickle.loads(pickle.dumps(policy))
    images = make_images("noise", 2, 4, 4, 1)
    np.testing.assert_array_equal(
        views(clone, images, [0, 1]), views(policy, images, [0, 1])
    )


def test_what_a_plug_in_prints_does_not_reach_the_results(tmp_path, capsys):
    policy = plug_in(tmp_path, "print('hello')\nreturn image")
    views(policy, make_images("noise", 2, 4, 4, 1), [0, 1])
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\nhello\n")


def test_torch_computes_in_one_thread_meanwhile(tmp_path):
    torch = pytest.importorskip("torch")
    body = "import torch\nreturn image * 0 + torch.get_num_threads()"
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = views(plug_in(tmp_path, body), make_images("noise", 1, 2, 2, 1), [0])
        assert seen.max() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_rate_is_that_of_the_function(tmp_path):
    slow = plug_in(tmp_path, "import time\ntime.sleep(0.02)\nreturn image")
    rate = images_per_second(slow, make_images("noise", 3, 4, 4, 1), seconds=0.2)
    assert 10 < rate <= 50
