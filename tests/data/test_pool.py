"""The pool: right rows, built once, never half, rebuilt when a file changes."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import uda.data.pool as pool_module
from uda.data.images import fit, read_image
from uda.data.pool import Pool, build_pool, default_cache, write_skipped
from uda.data.preprocessing import Preprocessing
from uda.data.records import Record
from uda.errors import DataError, UsageError


def colour(seed: int, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    for number in range(12):
        shape = [(20, 30), (24, 24), (40, 10)][number % 3]
        Image.fromarray(colour(number, shape)).save(root / f"{number:02d}.png")
    return root


def records_of(root: Path) -> list[Record]:
    files = sorted(path for path in root.iterdir() if path.is_file())
    return [Record(path=path.name, root=root) for path in files]


def build(root: Path, **options) -> Pool:
    settings = {"size": (16, 16), "cache": root.parent / "cache", "threads": 2}
    return build_pool(options.pop("records", records_of(root)), **settings | options)


def count_decodes(monkeypatch) -> list[int]:
    calls: list[int] = []
    original = pool_module.Decoder.__call__

    def counting(self, i):
        calls.append(i)
        return original(self, i)

    monkeypatch.setattr(pool_module.Decoder, "__call__", counting)
    return calls


@pytest.mark.parametrize("mode", ["letterbox", "squash"])
@pytest.mark.parametrize("channels", [1, 3])
def test_rows_equal_reading_each_file_alone(folder, mode, channels):
    pool = build(folder, mode=mode, channels=channels)
    assert pool.images.shape == (12, 16, 16, channels)
    assert pool.images.dtype == np.uint8
    for row, record in enumerate(pool.records):
        image = read_image(record.file, channels=channels, value_range=None)
        expected = fit(image, (16, 16), mode=mode, fill=tuple(pool.fill.tolist()))
        np.testing.assert_array_equal(pool.images[row], expected)
        np.testing.assert_array_equal(
            pool.preprocessing.read(record.file), pool.images[row]
        )
        assert pool.index[record.path] == row


def test_statistics_leave_the_bars_out(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    pixels = []
    for number in range(5):  # half the height of a square: no resampling, only bars
        image = colour(number, (8, 16))
        pixels.append(image)
        Image.fromarray(image).save(root / f"{number}.png")
    pool = build(root)
    values = np.stack(pixels).reshape(-1, 3) / 255
    np.testing.assert_allclose(pool.mean, values.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(pool.std, values.std(axis=0), atol=1e-12)
    assert (pool.fill == np.rint(255 * values.mean(axis=0))).all()
    assert (pool.images[:, :4] == pool.fill).all()
    assert (pool.images[:, 12:] == pool.fill).all()


def test_statistics_of_a_constant_set_can_be_divided_by(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    Image.new("L", (16, 16), 80).save(root / "a.png")
    pool = build(root)
    assert pool.images.shape[3] == 1
    assert pool.std[0] > 0


def test_a_moment_without_file_handles_leaves_no_image_out(folder, monkeypatch):
    """A pool is kept: an image that it skips once would be missing for good."""
    real = Image.open

    def fail(file, **options):
        if Path(file).name == "05.png":
            raise OSError(errno.EMFILE, "Too many open files")
        return real(file, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", fail)
        with pytest.raises(DataError, match=r"05\.png: cannot be read now"):
            build(folder)
    pool = build(folder)
    assert (len(pool), pool.skipped) == (12, [])


def test_what_is_unsure_of_colour_is_kept_with_the_pool(tmp_path, monkeypatch):
    root = tmp_path / "data"
    root.mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8), (number, number, number)).save(root / f"{number}.png")
    monkeypatch.setattr("uda.data.preprocessing._CHANNEL_SAMPLE", 2)
    pool = build(root)
    assert pool.images.shape[3] == 1
    assert "3 files could hold colour; 2 of them" in pool.notes[0]
    calls = count_decodes(monkeypatch)
    assert build(root).notes == pool.notes
    assert calls == []
    assert build(root, channels=1).notes == ()

    # A grey pool of before may have overlooked colour: it is made once more.
    calls.clear()
    for side in (tmp_path / "cache").glob("pool-*.json"):
        content = json.loads(side.read_text())
        side.write_text(json.dumps({k: v for k, v in content.items() if k != "notes"}))
    assert build(root).notes == pool.notes
    assert len(calls) == 3


def test_the_second_time_nothing_is_decoded(folder, monkeypatch):
    first = build(folder)
    calls = count_decodes(monkeypatch)
    stages = []
    again = build(
        folder, progress=lambda *a: stages.append(a), records=records_of(folder)[::-1]
    )
    assert calls == []
    assert {stage for stage, _, _ in stages} == {"hash"}
    assert again.key == first.key
    assert [r.path for r in again.records] == [r.path for r in first.records]
    np.testing.assert_array_equal(again.images, first.images)
    assert again.preprocessing == first.preprocessing


def test_progress_counts_every_file(folder):
    seen = []
    build(folder, progress=lambda *event: seen.append(event))
    decoded = [event for event in seen if event[0] == "decode"]
    assert decoded == [("decode", k + 1, 12) for k in range(12)]


@pytest.mark.parametrize("threads", [1, 5])
def test_the_number_of_threads_changes_nothing(folder, tmp_path, threads):
    one = build(folder, cache=tmp_path / "one", threads=1)
    many = build(folder, cache=tmp_path / "many", threads=threads)
    np.testing.assert_array_equal(one.images, many.images)


def test_an_edit_that_keeps_size_and_time_is_seen(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    file = root / "a.bmp"
    Image.fromarray(colour(1)).save(file)
    Image.fromarray(colour(2)).save(root / "b.bmp")
    before, status = build(root), file.stat()
    Image.fromarray(colour(3)).save(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    after = build(root)
    assert after.key != before.key
    assert not np.array_equal(after.images[0], before.images[0])


def test_a_touched_or_moved_copy_needs_no_new_pool(folder, tmp_path, monkeypatch):
    first = build(folder)
    os.utime(folder / "03.png")
    calls = count_decodes(monkeypatch)
    assert build(folder).key == first.key
    other = tmp_path / "elsewhere"
    folder.rename(other)
    assert build(other).key == first.key
    assert calls == []


def test_settings_have_pools_of_their_own(folder):
    keys = {
        build(folder).key,
        build(folder, size=(16, 12)).key,
        build(folder, mode="squash").key,
        build(folder, channels=1).key,
        build(folder, value_range=(0, 10)).key,
        build(folder, records=records_of(folder)[:-1]).key,
    }
    assert len(keys) == 6


def test_the_rows_cannot_be_written(folder):
    pool = build(folder)
    with pytest.raises(ValueError, match="read-only"):
        pool.images[0, 0, 0, 0] = 1


def test_an_interrupted_build_leaves_nothing_usable(folder, monkeypatch):
    original = pool_module.Decoder.__call__

    def stop(self, i):
        if i == 6:
            raise KeyboardInterrupt
        return original(self, i)

    cache = folder.parent / "cache"
    with monkeypatch.context() as patch:
        patch.setattr(pool_module.Decoder, "__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            build(folder)
    assert not list(cache.glob("*.u8"))
    assert not list(cache.glob(".*.tmp"))
    assert build(folder).images.any(axis=(1, 2, 3)).all()


def test_death_between_the_two_files_means_building_again(folder, monkeypatch):
    reference = np.array(build(folder).images)
    cache = folder.parent / "cache"
    side = next(cache.glob("pool-*.json"))
    side.unlink()
    next(cache.glob("pool-*.u8")).write_bytes(b"\0" * reference.size)
    calls = count_decodes(monkeypatch)
    np.testing.assert_array_equal(build(folder).images, reference)
    assert len(calls) == 12


@pytest.mark.parametrize("damage", ["short", "garbled", "other key", "empty json"])
def test_a_damaged_pool_is_built_again(folder, damage, monkeypatch):
    reference = np.array(build(folder).images)
    cache = folder.parent / "cache"
    data, side = next(cache.glob("pool-*.u8")), next(cache.glob("pool-*.json"))
    if damage == "short":
        data.write_bytes(data.read_bytes()[:-5])
    elif damage == "garbled":
        side.write_bytes(b'{"key": ')
    elif damage == "other key":
        side.write_text(json.dumps(json.loads(side.read_text()) | {"key": "0" * 64}))
    else:
        side.write_text("{}")
    calls = count_decodes(monkeypatch)
    np.testing.assert_array_equal(build(folder).images, reference)
    assert len(calls) == 12


def test_leftovers_of_a_killed_build_are_cleared(folder):
    build(folder)
    cache = folder.parent / "cache"
    data = next(cache.glob("pool-*.u8"))
    next(cache.glob("pool-*.json")).unlink()
    leftover = cache / f".{data.name}.4242.tmp"
    leftover.write_bytes(b"half")
    build(folder)
    assert not leftover.exists()


def test_two_processes_building_at_once_agree(folder):
    code = (
        "import sys; from pathlib import Path; from uda.data.records import Record;"
        "from uda.data.pool import build_pool; r = Path(sys.argv[1]);"
        "p = build_pool([Record(path=f.name, root=r) for f in r.iterdir()],"
        " size=(16, 16), cache=r.parent / 'cache');"
        "import hashlib; print(hashlib.sha256(p.images.tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", code, str(folder)]
    children = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    answers = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert answers[0] == answers[1] != ""
    assert len(list((folder.parent / "cache").glob("*.u8"))) == 1


def add_many(root: Path, number: int) -> None:
    for k in range(number):
        Image.fromarray(colour(100 + k)).save(root / f"more{k:03d}.png")


def test_bad_files_are_listed_and_have_no_row(folder, tmp_path):
    add_many(folder, 36)
    (folder / "05.png").write_bytes(b"")
    (folder / "=cmd.png").write_text("not an image")
    untouched = (folder / "=cmd.png").read_bytes()
    pool = build(folder)
    assert [path for path, _ in pool.skipped] == ["05.png", "=cmd.png"]
    assert all(reason for _, reason in pool.skipped)
    assert len(pool) == len(pool.images) == 47
    assert "05.png" not in pool.index
    for row in (0, 4, 5, 46):
        record = pool.records[row]
        np.testing.assert_array_equal(
            pool.images[row], pool.preprocessing.read(record.file)
        )
    again = build(folder)
    assert again.skipped == pool.skipped
    assert (folder / "=cmd.png").read_bytes() == untouched
    write_skipped(pool, tmp_path / "skipped.csv")
    with (tmp_path / "skipped.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["path", "reason"]
    assert rows[2][0] == "'=cmd.png"


def test_more_than_five_percent_bad_stops(folder):
    add_many(folder, 28)
    for name in ("00.png", "01.png", "02.png"):
        (folder / name).write_bytes(b"junk")
    with pytest.raises(DataError, match="3 of 40 images") as caught:
        build(folder)
    assert caught.value.exit_code == 3
    assert "00.png" in str(caught.value)
    assert not list((folder.parent / "cache").glob("*.u8"))
    Image.fromarray(colour(0)).save(folder / "00.png")
    assert len(build(folder).skipped) == 2


def test_a_small_set_may_hold_one_bad_file(folder):
    (folder / "07.png").write_bytes(b"junk")
    assert len(build(folder)) == 11
    (folder / "08.png").write_bytes(b"junk")
    with pytest.raises(DataError, match="2 of 12"):
        build(folder)
    with pytest.raises(DataError, match="1 of 1"):
        build(folder, records=[Record(path="07.png", root=folder)])


def test_a_file_removed_after_the_scan_is_listed(folder):
    records = records_of(folder)
    (folder / "03.png").unlink()
    pool = build(folder, records=records)
    assert [path for path, _ in pool.skipped] == ["03.png"]
    Image.fromarray(colour(3)).save(folder / "03.png")
    assert build(folder, records=records).skipped == []


def test_a_file_changed_while_the_pool_is_built_is_noticed(folder, monkeypatch):
    original = pool_module.Decoder.__call__

    def meddle(self, i):
        result = original(self, i)
        if i == 11:
            Image.fromarray(colour(77)).save(folder / "02.png")
        return result

    with monkeypatch.context() as patch:
        patch.setattr(pool_module.Decoder, "__call__", meddle)
        with pytest.raises(DataError, match="changed while"):
            build(folder)
    assert len(build(folder)) == 12


def test_hostile_names_survive_the_cache(folder):
    names = ["a,b\n.png", "'\"<img>.png", "x\udcff.png", "ü" * 60 + ".png"]
    for number, name in enumerate(names):
        Image.fromarray(colour(50 + number)).save(folder / "new.png")
        os.rename(folder / "new.png", folder / name)  # noqa: PTH104
    add_many(folder, 10)
    (folder / names[2]).write_bytes(b"")
    first = build(folder)
    assert [path for path, _ in first.skipped] == [names[2]]
    second = build(folder)
    assert second.skipped == first.skipped
    assert second.index == first.index


def test_wrong_requests_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="no images"):
        build(folder, records=[])
    with pytest.raises(DataError, match="listed twice"):
        build(folder, records=records_of(folder)[:1] * 2)
    with pytest.raises(DataError, match="2 channels"):
        build(folder, channels=2)
    with pytest.raises(DataError, match="crop"):
        build(folder, mode="crop")
    with pytest.raises(DataError, match="size"):
        build(folder, size=(0, 4))
    with pytest.raises(DataError, match="low must be below high"):
        build(folder, value_range=(5, 5))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="another cache"):
        build(folder, cache=tmp_path / "file" / "cache")


def test_a_full_disk_is_an_error_and_not_a_crash(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match="No space left"):
        build(folder)


def test_a_watcher_that_goes_away_is_not_a_data_error(folder):
    def closed(*_):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        build(folder, progress=closed)
    assert len(build(folder)) == 12


def test_sixteen_bits_share_one_range(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    for number, values in enumerate(([1000, 2000], [1500, 3000])):
        pixels = np.array([values] * 2, dtype=np.uint16)
        Image.fromarray(pixels).save(root / f"{number}.png")
    pool = build(root, size=(2, 2))
    assert pool.value_range == (1000, 3000)
    assert pool.images[0, 0, :, 0].tolist() == [0, round(1000 / 2000 * 255)]
    assert pool.images[1, 0, :, 0].tolist() == [round(500 / 2000 * 255), 255]
    assert build(root, size=(2, 2)).value_range == (1000, 3000)


def resident_anonymous() -> int:
    """Bytes of memory that belong to this process alone and to no file."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    pytest.skip("no RssAnon here")


def test_ten_thousand_images_stay_out_of_anonymous_memory(tmp_path):
    size, number = (64, 64), 10_000
    data = tmp_path / "pool-x.u8"
    with data.open("wb") as stream:
        stream.truncate(number * 64 * 64 * 3)
    images = np.memmap(data, dtype=np.uint8, mode="r", shape=(number, *size, 3))
    plain = Preprocessing(size, 3, "letterbox", None, (0.5,) * 3, (0.2,) * 3)
    before = resident_anonymous()
    records = tuple(Record(path=f"{k}.png", root=tmp_path) for k in range(number))
    pool = Pool(images, records, [], plain, "key")
    assert pool.index["9999.png"] == 9999
    total = 0
    for start in range(0, number, 64):
        total += int(
            np.ascontiguousarray(
                pool.images[np.arange(start, min(start + 64, number))]
            ).sum()
        )
    assert total == 0
    assert resident_anonymous() - before < 100e6


def test_two_depths_in_one_set_are_told_of(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    for number in range(3):
        Image.fromarray(values.astype(np.uint8)).save(root / f"g{number}.png")
    Image.fromarray(values * 40).save(root / "r.png")
    (note,) = build(root).notes
    assert note.startswith("1 of 4 files have more than 8 bits and are stretched")
    assert build(root).notes == (note,)  # from the cache
    (root / "r.png").unlink()
    assert build(root).notes == ()


def test_where_pools_are_kept(monkeypatch, tmp_path):
    for name in ("UDA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    usual = tmp_path / ".cache" / "uda" / "pools"
    assert default_cache() == usual
    monkeypatch.setenv("XDG_CACHE_HOME", "")  # as good as none
    assert default_cache() == usual
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_cache() == Path("/x/uda/pools")
    monkeypatch.setenv("UDA_CACHE", "/mine")
    assert default_cache() == Path("/mine")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setenv("UDA_CACHE", "/mine")
    assert default_cache() == Path("/mine")
    monkeypatch.delenv("UDA_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(UsageError, match=r"no home folder .* UDA_CACHE="):
        default_cache()
