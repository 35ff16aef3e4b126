"""Fixtures of the export tests: tiny surfaces, and one exported ONNX file."""

from __future__ import annotations

import pytest

from tests.export.runs import make_run, write_data
from uda.export.description import KINDS
from uda.export.write import export_run


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("export-data"))


@pytest.fixture(scope="session")
def made(tmp_path_factory, data):
    """A run, and its model as ONNX; to be read alone."""
    run = make_run(tmp_path_factory.mktemp("export") / "train", data)
    export_run(run)
    return run


@pytest.fixture(scope="session")
def exports(made, tmp_path_factory):
    """A folder with the run's model in each format; to be read alone."""
    folder = tmp_path_factory.mktemp("exports")
    for kind in KINDS:
        export_run(made, kind=kind, out=folder / kind / f"model.{kind}")
    return folder
