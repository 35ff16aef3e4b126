from __future__ import annotations

import errno
import os
import pickle
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from uda.data.images import (
    BACKGROUND,
    MAX_PIXELS,
    BadImage,
    ImageInfo,
    fit,
    is_grey,
    letterbox_box,
    probe,
    read_image,
    value_span,
)
from uda.errors import DataError


def ramp(height: int = 6, width: int = 9) -> np.ndarray:
    return np.arange(height * width, dtype=np.uint8).reshape(height, width) * 4


def save(path: Path, array: np.ndarray, mode: str | None = None, **options) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


# --- modes -----------------------------------------------------------------


def test_grey_stays_one_channel_and_repeats_to_three(tmp_path):
    path = save(tmp_path / "a.png", ramp())
    one, three = read_image(path, channels=1), read_image(path, channels=3)
    assert one.shape == (6, 9, 1)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one[:, :, 0], ramp())
    np.testing.assert_array_equal(three, np.repeat(one, 3, axis=2))


def test_rgb_is_exact_and_grey_is_601_luma(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = save(tmp_path / "a.png", rgb)
    np.testing.assert_array_equal(read_image(path, channels=3), rgb)
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_image(path, channels=1)[:, :, 0] - luma).max() <= 1.0


def test_equal_channels_become_exactly_that_grey(tmp_path):
    path = save(tmp_path / "a.png", np.repeat(ramp()[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(read_image(path, channels=1)[:, :, 0], ramp())


def test_one_bit_image_is_black_and_white(tmp_path):
    array = np.zeros((4, 10), dtype=bool)
    array[1, 2:7] = True
    path = save(tmp_path / "a.png", array)
    assert probe(path) == ImageInfo(10, 4, "1", 1)
    np.testing.assert_array_equal(read_image(path, channels=1)[:, :, 0], array * 255)


def test_transparency_lies_on_middle_grey(tmp_path):
    rgba = np.zeros((2, 3, 4), dtype=np.uint8)
    rgba[:, 0] = (10, 200, 30, 255)
    rgba[:, 2] = (255, 255, 255, 0)
    pixels = read_image(save(tmp_path / "a.png", rgba), channels=3)
    assert pixels[0, 0].tolist() == [10, 200, 30]
    assert pixels[0, 1].tolist() == [BACKGROUND] * 3
    assert pixels[0, 2].tolist() == [BACKGROUND] * 3


def test_grey_with_alpha(tmp_path):
    image = Image.merge("LA", [Image.new("L", (4, 2), 77), Image.new("L", (4, 2), 255)])
    image.putpixel((3, 1), (77, 0))
    image.save(tmp_path / "a.png")
    pixels = read_image(tmp_path / "a.png", channels=1)
    assert pixels[0, 0, 0] == 77
    assert pixels[1, 3, 0] == BACKGROUND


def test_palette_with_and_without_transparency(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([9, 9, 9, 250, 0, 0, 0, 0, 250])
    image.putdata([0, 1, 2])
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=bytes([255, 255, 0]))
    image.save(tmp_path / "key.png", transparency=2)
    plain = read_image(tmp_path / "plain.png", channels=3)
    assert plain[0].tolist() == [[9, 9, 9], [250, 0, 0], [0, 0, 250]]
    for name in ("clear.png", "key.png"):
        clear = read_image(tmp_path / name, channels=3)
        assert clear[0].tolist() == [[9, 9, 9], [250, 0, 0], [BACKGROUND] * 3]


def test_transparent_colour_key_of_rgb(tmp_path):
    rgb = np.zeros((1, 2, 3), dtype=np.uint8)
    rgb[0, 1] = (1, 2, 3)
    path = save(tmp_path / "a.png", rgb, transparency=(1, 2, 3))
    assert read_image(path, channels=3)[0].tolist() == [[0, 0, 0], [BACKGROUND] * 3]


def test_cmyk_jpeg_keeps_light_light(tmp_path):
    rgb = np.full((16, 16, 3), 255, dtype=np.uint8)
    rgb[:, 8:] = 0
    path = save(tmp_path / "a.jpg", rgb, mode="CMYK", quality=95)
    assert probe(path).mode == "CMYK"
    pixels = read_image(path, channels=3)
    assert pixels[:, :6].min() > 240
    assert pixels[:, 10:].max() < 15


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_is_scaled_not_cut(tmp_path, suffix):
    values = np.array([[0, 257, 30000, 65535]], dtype=np.uint16)
    path = save(tmp_path / f"a.{suffix}", values)
    expected = np.rint(values / 65535 * 255)[0]
    assert probe(path).bits in (16, 32)
    assert read_image(path, channels=1)[0, :, 0].tolist() == expected.tolist()
    assert value_span(path) == (0.0, 65535.0)


def write_deep_png(path: Path, values: np.ndarray) -> Path:
    """Write (H, W, K) uint16 as a PNG, which Pillow cannot."""
    height, width, channels = values.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(body)) + name + body
            + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks
        )
    )  # fmt: skip
    return path


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bits_of_several_channels_are_refused_in_png(tmp_path, channels):
    values = np.full((3, 5, channels), 4095, dtype=np.uint16)
    path = write_deep_png(tmp_path / "a.png", values)
    for read in (probe, is_grey, value_span, lambda p: read_image(p, channels=1)):
        with pytest.raises(BadImage, match=r"only the upper 8 bits.*8 bits or to grey"):
            read(path)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_16_bits_of_several_channels_are_refused_in_tiff(tmp_path, planar):
    shape = (4, 6, 3) if planar == "contig" else (3, 4, 6)
    path = tmp_path / "a.tif"
    deep = np.full(shape, 4095, dtype=np.uint16)
    tifffile.imwrite(path, deep, photometric="rgb", planarconfig=planar)
    with pytest.raises(BadImage, match="only the upper 8 bits"):
        read_image(path, channels=3)
    flat = np.full(shape, 77, dtype=np.uint8)
    tifffile.imwrite(path, flat, photometric="rgb", planarconfig=planar)
    assert (read_image(path, channels=3) == 77).all()


@pytest.mark.parametrize(("kind", "largest"), [("P6", 65535), ("P6", 256), ("P3", 999)])
def test_16_bits_of_several_channels_are_refused_in_ppm(tmp_path, kind, largest):
    head = f"{kind}\n2 2\n{largest}\n".encode()
    body = b"200 " * 12 if kind == "P3" else np.full(12, 200, ">u2").tobytes()
    path = tmp_path / "a.ppm"
    path.write_bytes(head + body)
    for read in (probe, is_grey, lambda p: read_image(p, channels=3)):
        with pytest.raises(BadImage, match=r"only the upper 8 bits.*8 bits or to grey"):
            read(path)


def test_8_bits_of_ppm_are_read(tmp_path):
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6\n2 1\n255\n" + bytes(range(6)))
    assert read_image(path, channels=3).ravel().tolist() == list(range(6))


def test_16_bit_big_endian_tiff(tmp_path):
    values = np.array([[0, 1000], [40000, 65535]], dtype=">u2")
    header = b"MM\x00*\x00\x00\x00\x10" + values.tobytes()
    tags = [(256, 3, 2), (257, 3, 2), (258, 3, 16), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 3, 2), (279, 4, 8)]
    body = struct.pack(">H", len(tags))
    for tag, kind, value in tags:
        short = struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
        body += struct.pack(">HHI", tag, kind, 1) + short
    (tmp_path / "a.tif").write_bytes(header + body + b"\0\0\0\0")
    assert probe(tmp_path / "a.tif").mode == "I;16B"
    expected = np.rint(values.astype(float) / 65535 * 255)
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.tif", channels=1)[:, :, 0], expected
    )


def test_value_range_of_a_12_bit_camera(tmp_path):
    values = np.array([[100, 2148, 4196, 5000, 0]], dtype=np.uint16)
    path = save(tmp_path / "a.png", values)
    pixels = read_image(path, channels=1, value_range=(100, 4196))
    assert pixels[0, :, 0].tolist() == [0, 128, 255, 255, 0]


def test_value_range_leaves_8_bit_alone(tmp_path):
    path = save(tmp_path / "a.png", ramp())
    pixels = read_image(path, channels=1, value_range=(0, 65535))
    np.testing.assert_array_equal(pixels[:, :, 0], ramp())
    assert value_span(path) is None


def test_floating_point_images(tmp_path):
    values = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    path = save(tmp_path / "a.tif", values)
    assert read_image(path, channels=3)[0, :, 0].tolist() == [0, 128, 255]
    wide = save(tmp_path / "b.tif", values * 90)
    with pytest.raises(BadImage, match=r"b\.tif: values 0 to 90 lie outside 0 to 1"):
        read_image(wide, channels=1)
    assert read_image(wide, channels=1, value_range=(0, 90))[0, 2, 0] == 255
    broken = save(tmp_path / "c.tif", np.array([[np.nan, 1.0]], dtype=np.float32))
    with pytest.raises(BadImage, match="not finite"):
        read_image(broken, channels=1)


def test_empty_value_range_is_refused(tmp_path):
    path = save(tmp_path / "a.png", np.ones((2, 2), dtype=np.uint16))
    with pytest.raises(DataError, match="value range 5 to 5"):
        read_image(path, channels=1, value_range=(5, 5))


@pytest.mark.parametrize("suffix", ["bmp", "tiff", "webp", "ppm", "png"])
def test_lossless_formats_are_exact(tmp_path, suffix):
    rgb = np.random.default_rng(1).integers(0, 256, (8, 5, 3), dtype=np.uint8)
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", rgb, **options)
    np.testing.assert_array_equal(read_image(path, channels=3), rgb)


# --- EXIF ------------------------------------------------------------------

# Independent of Pillow: how the stored pixels must be turned to stand upright.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
def test_exif_rotation_is_applied(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    rgb = np.repeat(ramp()[:, :, None], 3, axis=2)
    path = save(tmp_path / f"a.{suffix}", rgb, exif=exif, **options)
    expected = UPRIGHT[orientation](ramp())
    np.testing.assert_array_equal(read_image(path, channels=1)[:, :, 0], expected)
    info = probe(path)
    assert (info.height, info.width) == expected.shape


def test_broken_exif_does_not_cost_the_image(tmp_path):
    path = save(tmp_path / "a.png", ramp(), exif=b"Exif\0\0II*\0garbage" * 3)
    assert read_image(path, channels=1).shape == (6, 9, 1)


# --- grey or colour --------------------------------------------------------


def test_is_grey(tmp_path):
    rgb = np.repeat(ramp()[:, :, None], 3, axis=2)
    assert is_grey(save(tmp_path / "l.png", ramp()))
    assert is_grey(save(tmp_path / "rgb.png", rgb))
    assert is_grey(save(tmp_path / "rgb.jpg", rgb))
    assert is_grey(save(tmp_path / "deep.png", ramp().astype(np.uint16)))
    rgb[0, 0, 1] += 1
    assert not is_grey(save(tmp_path / "tint.png", rgb))


# --- hostile files ---------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp", "webp", "ppm"])
def test_truncated_files_are_named(tmp_path, suffix):
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"cut.{suffix}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadImage, match=rf"cut\.{suffix}: ") as caught:
        read_image(path, channels=3)
    assert caught.value.path == path
    assert caught.value.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (b"just some text, not an image", "not an image"),
        (b"\xff\xd8\xff\xe0 nothing follows", "decoded|not an image"),
        (b"GIF89a" + b"\0" * 50, "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
def test_files_that_are_no_images(tmp_path, content, reason):
    path = tmp_path / "fake.jpg"
    path.write_bytes(content)
    for read in (probe, is_grey, value_span, lambda p: read_image(p, channels=1)):
        with pytest.raises(BadImage, match=reason):
            read(path)


@pytest.mark.parametrize(
    "code",
    [
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO),
        *(errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN),
    ],
)
def test_trouble_of_the_computer_is_no_fault_of_the_image(tmp_path, monkeypatch, code):
    path = save(tmp_path / "a.png", ramp())

    def fail(*args, **options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Image, "open", fail)
    for read in (probe, is_grey, value_span, lambda p: read_image(p, channels=1)):
        with pytest.raises(DataError, match=r"a\.png: cannot be read now") as caught:
            read(path)
        assert not isinstance(caught.value, BadImage)  # which would be left out


def test_a_lack_of_memory_is_no_fault_of_the_image(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", ramp())

    def fail(*args, **options):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(DataError, match=r"a\.png: .*no memory is left") as caught:
        read_image(path, channels=3)
    assert not isinstance(caught.value, BadImage)  # which would be left out


def test_content_decides_not_the_suffix(tmp_path):
    path = save(tmp_path / "really.png", ramp())
    path = path.rename(tmp_path / "called.jpg")
    np.testing.assert_array_equal(read_image(path, channels=1)[:, :, 0], ramp())


def png_bomb(path: Path, width: int, height: int) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        code = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", code)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


@pytest.mark.parametrize("side", [9_001, 9_900, 20_000, 2**31 - 1])
def test_decompression_bombs_are_refused(tmp_path, side):
    assert side * side > MAX_PIXELS
    path = png_bomb(tmp_path / "bomb.png", side, side)
    for read in (probe, lambda p: read_image(p, channels=1)):
        with pytest.raises(BadImage, match=r"bomb\.png.*decompression bomb; cut"):
            read(path)


def test_bombs_are_refused_in_threads_whatever_the_warning_filter(tmp_path):
    path = png_bomb(tmp_path / "bomb.png", 9_900, 9_900)

    def refused(_: int) -> bool:
        try:
            probe(path)
        except BadImage:
            return True
        return False

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(refused, range(32)))


def test_missing_file_folder_and_pipe(tmp_path):
    with pytest.raises(BadImage, match=r"gone\.png: the file is missing"):
        probe(tmp_path / "gone.png")
    with pytest.raises(BadImage, match="not a regular file"):
        probe(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadImage, match="not a regular file"):
        probe(tmp_path / "pipe.png")


def test_messages_stay_on_one_line(tmp_path):
    path = tmp_path / "a\nb\udcff.png"
    path.write_bytes(b"")
    with pytest.raises(BadImage) as caught:
        probe(path)
    assert "\n" not in str(caught.value)
    str(caught.value).encode("utf-8")


def test_bad_image_survives_pickling():
    error = pickle.loads(pickle.dumps(BadImage(Path("a.png"), "torn")))
    assert (error.path, error.reason, str(error)) == (
        Path("a.png"),
        "torn",
        "a.png: torn",
    )
    assert error.exit_code == 3


@given(
    data=st.binary(max_size=200),
    head=st.sampled_from(
        [
            b"\x89PNG\r\n\x1a\n",
            b"BM",
            b"II*\0",
            b"P5 ",
            b"RIFF\0\0\0\0WEBP",
            b"\xff\xd8\xff",
        ]
    ),
)
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_an_image_or_bad_image(tmp_path_factory, data, head):
    path = tmp_path_factory.mktemp("fuzz") / "x.png"
    path.write_bytes(head + data)
    try:
        pixels = read_image(path, channels=1)
    except BadImage:
        return
    assert pixels.dtype == np.uint8


# --- fit -------------------------------------------------------------------

SIDES = st.integers(1, 70)


@given(height=SIDES, width=SIDES, out_h=SIDES, out_w=SIDES)
@settings(max_examples=150, deadline=None)
def test_letterbox_keeps_the_aspect_to_a_pixel(height, width, out_h, out_w):
    top, left, h, w = letterbox_box((height, width), (out_h, out_w))
    assert 0 <= top <= top + h <= out_h
    assert 0 <= left <= left + w <= out_w
    assert h == out_h or w == out_w
    assert abs((out_h - h) - 2 * top) <= 1
    assert abs((out_w - w) - 2 * left) <= 1
    scale = min(out_h / height, out_w / width)
    assert abs(h - height * scale) < 1.0
    assert abs(w - width * scale) < 1.0


@given(height=SIDES, width=SIDES, out_h=SIDES, out_w=SIDES, grey=st.booleans())
@settings(max_examples=100, deadline=None)
def test_letterbox_crops_nothing_and_pads_with_fill(height, width, out_h, out_w, grey):
    # a bright frame one pixel wide must show on all four sides of the content
    channels = 1 if grey else 3
    image = np.zeros((height, width, channels), dtype=np.uint8)
    image[[0, -1]] = 255
    image[:, [0, -1]] = 255
    fill = (7,) if grey else (7, 8, 9)
    out = fit(image, (out_h, out_w), fill=fill)
    top, left, h, w = letterbox_box((height, width), (out_h, out_w))
    assert out.shape == (out_h, out_w, channels)
    content = out[top : top + h, left : left + w]
    for edge in (content[0], content[-1], content[:, 0], content[:, -1]):
        assert edge.max() > 0
    outside = np.ones((out_h, out_w), dtype=bool)
    outside[top : top + h, left : left + w] = False
    assert (out[outside] == np.array(fill)).all()


def test_shrinking_by_a_whole_factor_keeps_the_mean():
    image = np.random.default_rng(3).integers(0, 256, (64, 64, 1), dtype=np.uint8)
    small = fit(image, (16, 16))
    assert abs(small.mean() - image.mean()) < 3.0
    line = np.zeros((64, 64, 1), dtype=np.uint8)
    line[:, 31] = 255  # one pixel wide: fades, never vanishes
    assert fit(line, (16, 16)).max() > 30


def test_squash_fills_the_frame():
    image = np.full((10, 40, 3), 50, dtype=np.uint8)
    assert (fit(image, (16, 16), mode="squash", fill=(0, 0, 0)) == 50).all()


def test_same_size_changes_nothing():
    image = np.random.default_rng(4).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fit(image, (9, 9)), image)


@pytest.mark.parametrize("size", [(1, 1), (10, 10_000), (10_000, 10)])
def test_extreme_shapes(tmp_path, size):
    path = save(tmp_path / "a.png", np.full(size, 200, dtype=np.uint8))
    image = read_image(path, channels=1)
    for mode in ("letterbox", "squash"):
        out = fit(image, (32, 48), mode=mode, fill=(1,))
        assert out.shape == (32, 48, 1)
        assert 200 in out


def test_fit_refuses_nonsense():
    image = np.zeros((2, 2, 1), dtype=np.uint8)
    with pytest.raises(ValueError, match="letterbox"):
        fit(image, (4, 4), mode="crop")
    with pytest.raises(ValueError, match="at least 1"):
        fit(image, (0, 4))
