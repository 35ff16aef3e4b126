from __future__ import annotations

import random
import warnings

import numpy as np
import pytest

from uda.augment.box_adapters import BoxRenderer
from uda.augment.boxes import BoxRules, transform_boxes
from uda.augment.ops import OPS
from uda.augment.policy import OpSpec, Policy, load_policy
from uda.errors import DataError, UsageError

FILL = np.zeros(1, dtype=np.uint8)
BOXES = [[10.0, 5.0, 25.0, 20.0], [40.0, 20.0, 55.0, 38.0]]


def policy(tmp_path, text):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_policy(str(path))


def drawn(boxes=BOXES):
    image = np.zeros((40, 60, 1), dtype=np.uint8)
    for number, (x0, y0, x1, y1) in enumerate(np.asarray(boxes, dtype=int)):
        image[y0:y1, x0:x1] = 100 * (number + 1)
    return image


def view(renderer, boxes=BOXES, counter=0, image=None):
    image = drawn(boxes) if image is None else image
    return renderer(image, boxes, seed=3, stream="boxes", counter=counter, fill=FILL)


ALBUMENTATIONS = """
import albumentations as A
augment = A.Compose([
    A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5),
    A.Affine(translate_px={"x": (-20, 20), "y": (-9, 9)}, interpolation=0, p=1),
])
"""
IMGAUG = """
import imgaug.augmenters as iaa
augment = iaa.Sequential([
    iaa.Fliplr(0.5), iaa.Flipud(0.5),
    iaa.Affine(translate_px={"x": (-20, 20), "y": (-9, 9)}, order=0),
])
"""


@pytest.mark.parametrize("text", [ALBUMENTATIONS, IMGAUG])
def test_a_librarys_own_boxes_follow_its_pixels(tmp_path, text):
    library = text.split()[1].partition(".")[0]
    pytest.importorskip("albumentations") if library == "albumentations" else None
    renderer = BoxRenderer(policy(tmp_path, text), BoxRules(min_side=0))
    assert not renderer.knows_boxes_first
    different = set()
    for counter in range(20):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels, moved = view(renderer, counter=counter)
            again, same = view(renderer, counter=counter)
        assert (again == pixels).all()
        assert (same.boxes == moved.boxes).all()
        different.add(pixels.tobytes())
        for box, index in zip(moved.boxes, moved.index, strict=True):
            rows, columns = np.nonzero(pixels[..., 0] == 100 * (index + 1))
            seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(box - seen).max() <= 1
        gone = {1, 2} - {index + 1 for index in moved.index.tolist()}
        assert all(not (pixels == 100 * number).any() for number in gone)
    assert len(different) > 15


GLOBALS = """
import random
import numpy as np
import albumentations as A
def shake(image, **_):
    print("shaken")
    return np.full_like(image, random.randrange(16) + 16 * np.random.randint(16))
augment = A.Compose([A.Lambda(image=shake, p=1)])
"""


def test_global_generators_are_seeded_and_put_back(tmp_path, capsys):
    """A copy of an image must be the same when the work is done again."""
    renderer = BoxRenderer(policy(tmp_path, GLOBALS))
    before = random.getstate(), str(np.random.get_state())  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, again = (
            [view(renderer, counter=counter)[0].tobytes() for counter in range(8)]
            for _ in range(2)
        )
    assert first == again
    assert len(set(first)) > 4
    assert (random.getstate(), str(np.random.get_state())) == before  # noqa: NPY002
    assert capsys.readouterr().out == ""


def test_a_policy_that_exits_is_a_fault_like_any_other(tmp_path):
    text = GLOBALS.replace('print("shaken")', "raise SystemExit(3)")
    renderer = BoxRenderer(policy(tmp_path, text))
    with (
        warnings.catch_warnings(),
        pytest.raises(DataError, match=r"mine\.py: failed .* SystemExit: 3"),
    ):
        warnings.simplefilter("ignore")
        view(renderer)


def test_albumentations_compares_the_original_area(tmp_path):
    text = """
import albumentations as A
augment = A.Compose([A.Affine(translate_px={"x": -13}, p=1),
                     A.Affine(translate_px={"x": -3}, p=1)])
"""
    mine = policy(tmp_path, text)
    boxes = [BOXES[0]]
    kept = view(BoxRenderer(mine, BoxRules(min_visibility=0.55)), boxes)[1]
    assert kept.boxes[0] == pytest.approx([0, 5, 9, 20], abs=1e-4)
    gone = view(BoxRenderer(mine, BoxRules(min_visibility=0.65)), boxes)[1]
    assert gone.reasons == ("library",)


OUT_AND_BACK = """
import imgaug.augmenters as iaa
augment = iaa.Sequential([iaa.Affine(translate_px={"x": -60}, order=0),
                          iaa.Affine(translate_px={"x": 60}, order=0)])
"""
COVERED = """
import imgaug.augmenters as iaa
augment = iaa.Cutout(nb_iterations=1, position=(0.5, 0.5), size=1.0, squared=False)
"""


@pytest.mark.parametrize("text", [OUT_AND_BACK, COVERED])
def test_what_imgaug_does_not_know_to_be_gone_keeps_its_box(tmp_path, text):
    """The limits that docs/boxes.md tells of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels, moved = view(BoxRenderer(policy(tmp_path, text)))
    assert not (pixels == 100).any()
    np.testing.assert_allclose(moved.boxes, BOXES, atol=1e-4)


def test_single_transforms_and_images_without_boxes(tmp_path):
    text = "import albumentations as A\naugment = A.HorizontalFlip(p=1)\n"
    renderer = BoxRenderer(policy(tmp_path, text))
    pixels, moved = view(renderer, [], image=drawn())
    assert moved.boxes.shape == (0, 4)
    assert (pixels == drawn()[:, ::-1]).all()


COLOR = """
import albumentations as A
augment = A.Compose([A.HorizontalFlip(p=1), A.RandomSunFlare(p=1)])
"""
IMGAUG_COLOR = """
import imgaug.augmenters as iaa
augment = iaa.Sequential([iaa.Fliplr(1.0), iaa.AddToHueAndSaturation((-9, 9))])
"""


@pytest.mark.parametrize("text", [COLOR, IMGAUG_COLOR])
def test_ops_for_colour_take_grey_images_with_their_boxes(tmp_path, text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        renderer = BoxRenderer(policy(tmp_path, text), BoxRules(min_side=0))
        pixels, moved = view(renderer)
        again, same = view(renderer)
    assert pixels.shape == (40, 60, 1)
    assert (pixels == again).all()
    mirrored = [[60 - x1, y0, 60 - x0, y1] for x0, y0, x1, y1 in BOXES]
    np.testing.assert_allclose(moved.boxes, mirrored, atol=1e-4)
    assert (same.boxes == moved.boxes).all()


@pytest.mark.parametrize(("channels", "made"), [(1, 3), (3, 1)])
def test_a_change_of_channels_is_undone_as_in_training(tmp_path, channels, made):
    text = f"""
import albumentations as A
def other(image, **_):
    return image.mean(axis=2, keepdims=True).astype("u1").repeat({made}, axis=2)
augment = A.Lambda(image=other, p=1)
"""
    image = np.repeat(drawn(), channels, axis=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        renderer = BoxRenderer(policy(tmp_path, text))
        pixels, moved = view(renderer, image=image)
    np.testing.assert_array_equal(pixels, image)
    np.testing.assert_allclose(moved.boxes, BOXES, atol=1e-4)


def test_versions_of_albumentations_without_shared_state_are_seeded_too(tmp_path):
    albumentations = pytest.importorskip("albumentations")
    renderer = BoxRenderer(policy(tmp_path, ALBUMENTATIONS))

    class Old:
        """What may be relied on in any version."""

        def __init__(self, compose):
            self.set_random_seed, self.compose = compose.set_random_seed, compose

        def __call__(self, **data):
            return self.compose(**data)

    assert isinstance(renderer._handler._compose, albumentations.Compose)
    renderer._handler._compose = Old(renderer._handler._compose)
    views = [view(renderer, counter=counter) for counter in (0, 1, 2, 3, 2, 1)]
    for one, two in ((1, 5), (2, 4)):
        assert (views[one][0] == views[two][0]).all()
        assert (views[one][1].boxes == views[two][1].boxes).all()
    assert len({pixels.tobytes() for pixels, _ in views}) == 4


def test_a_crop_may_change_the_size(tmp_path):
    text = "import albumentations as A\naugment = A.Crop(5, 5, 45, 30)\n"
    pixels, moved = view(BoxRenderer(policy(tmp_path, text)))
    assert pixels.shape == (25, 40, 1)
    expected = [[5, 0, 20, 15], [35, 15, 40, 25]]  # the library counts in float32
    np.testing.assert_allclose(moved.boxes, expected, atol=1e-4)


FUNCTION = "def augment(image, rng):\n    return 255 - image\n"


def test_a_plain_function_must_say_that_it_moves_nothing(tmp_path):
    mine = policy(tmp_path, FUNCTION)
    with pytest.raises(UsageError, match=r"mine\.py: nobody can know .*--pixels-only"):
        BoxRenderer(mine)
    renderer = BoxRenderer(mine, pixels_only=True)
    assert renderer.knows_boxes_first
    pixels, moved = view(renderer)
    assert (pixels == 255 - drawn()).all()
    assert moved.boxes.tolist() == BOXES


def test_faults_of_a_users_pipeline_name_its_file(tmp_path):
    text = """
import albumentations as A
def broken(image, **kwargs):
    raise RuntimeError("no light")
augment = A.Lambda(image=broken, p=1)
"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        renderer = BoxRenderer(policy(tmp_path, text))
        with pytest.raises(DataError, match=r"mine\.py: failed .* 2 boxes: .*no light"):
            view(renderer)


def test_native_policies_draw_and_move_by_the_same_plan():
    moving = Policy(
        "moves", ops=(OpSpec("Rotate", 5, 30), OpSpec("ShearX", 0.1, 0.3)), count=2,
        hflip=0.5, crop_pad=0.2,
    )  # fmt: skip
    renderer = BoxRenderer(moving)
    assert renderer.knows_boxes_first
    assert OPS["Rotate"].signed
    for counter in range(5):
        _, moved = view(renderer, counter=counter)
        where = {"seed": 3, "stream": "boxes"}
        alone = renderer.boxes((40, 60), BOXES, counter=counter, **where)
        assert (alone.boxes == moved.boxes).all()
        from uda.augment.plan import draw

        plan = draw(moving, counters=[counter], shape=(40, 60), **where)
        assert (transform_boxes(plan, 0, BOXES).boxes == moved.boxes).all()
