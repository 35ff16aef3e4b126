"""The compiled executor is found, made once, or done without."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.augment.helpers import everything, make_images
from tests.augment.test_kernels import views
from uda.augment import loading
from uda.errors import UsageError

PYTHON = "py{}{}".format(*sys.version_info)


def test_asking_whether_it_is_compiled_imports_nothing():
    code = (
        "import sys; from uda.augment import loading; loading.is_compiled();"
        "print('numba' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_once_compiled_it_is_found_in_the_cache():
    pytest.importorskip("numba")
    loading.warm_up()
    assert loading.is_compiled()


def test_an_empty_cache_means_that_it_must_be_compiled(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delitem(sys.modules, "uda.augment.compiled", raising=False)
    assert not loading.is_compiled()
    monkeypatch.setenv("UDA_EXECUTOR", "pillow")
    assert loading.is_compiled()


def test_without_numba_pillow_takes_over(monkeypatch):
    monkeypatch.setattr(loading, "compiled", lambda: None)
    assert loading.warm_up() == "pillow"
    assert views(everything(1), make_images("noise", 2, 8, 8, 1)).any()
    monkeypatch.setenv("UDA_EXECUTOR", "numba")
    with pytest.raises(UsageError, match="numba cannot be imported"):
        loading.warm_up()


def test_kernels_of_other_sources_do_not_count(tmp_path, monkeypatch):
    """Where the user chose numba's folder, ours inside still follows the source."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.delitem(sys.modules, "uda.augment.compiled", raising=False)
    (tmp_path / "augment_1").mkdir()
    name = f"compiled._execute-1.{PYTHON}.nbi"
    (tmp_path / "augment_1" / name).touch()
    assert not loading.is_compiled()
    folder = Path(loading.cache_folder())
    assert folder.is_relative_to(tmp_path)
    (folder / "compiled._execute-1.py27.nbi").touch()  # another Python's
    (folder / f"compiled._execute-1.{PYTHON}9.nbi").touch()
    assert not loading.is_compiled()
    (folder / name).touch()
    assert loading.is_compiled()


def test_the_cache_folder_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = loading.cache_folder()
    assert folder.startswith(str(tmp_path / "uda" / "kernels"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert loading.cache_folder() == ""


def without_folder(tmp_path, monkeypatch):
    """No folder of the user's own, and no choice of numba's."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)


def test_without_a_cache_folder_nothing_beside_the_source_is_run(tmp_path, monkeypatch):
    numba = pytest.importorskip("numba")
    loading.warm_up()
    without_folder(tmp_path, monkeypatch)
    before, real, seen = numba.config.CACHE_DIR, importlib.import_module, {}

    def watched(name):
        seen[name] = Path(numba.config.CACHE_DIR)
        if name != "numba":
            assert list(seen[name].iterdir()) == []
            assert seen[name].stat().st_mode & 0o077 == 0
        return real(name)

    monkeypatch.setattr(importlib, "import_module", watched)
    assert loading.compiled.__wrapped__() is not None
    folder = seen["uda.augment.compiled"]
    assert folder == seen["uda.augment.compiled_random"] != seen["numba"]
    assert not folder.exists()
    assert before == numba.config.CACHE_DIR

    def refuse(**_):
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(loading, "TemporaryDirectory", refuse)
    monkeypatch.setattr(importlib, "import_module", real)
    assert loading.compiled.__wrapped__() is not None


@pytest.mark.slow
def test_without_a_cache_folder_no_file_stays(tmp_path, monkeypatch):
    pytest.importorskip("numba")
    without_folder(tmp_path, monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    beside = Path(loading.__file__).parent
    before = set(beside.rglob("*.nb?"))
    code = "from uda.augment import loading; print(loading.warm_up())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "numba"
    assert set(beside.rglob("*.nb?")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_all_its_parts_are_in_the_name_of_the_cache(tmp_path, monkeypatch):
    """numba does not see that a file changed whose functions another one calls."""
    from uda.augment import compiled_filters, compiled_geometry, compiled_levels

    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(loading, "__file__", str(tmp_path / "loading.py"))
    for part in (compiled_filters, compiled_geometry, compiled_levels):
        text = Path(part.__file__).read_text()
        (tmp_path / Path(part.__file__).name).write_text(text)
    names = {loading.cache_folder()}
    for part in (compiled_filters, compiled_geometry, compiled_levels):
        with (tmp_path / Path(part.__file__).name).open("a") as file:
            file.write("#\n")
        names.add(loading.cache_folder())
    assert len(names) == 4
