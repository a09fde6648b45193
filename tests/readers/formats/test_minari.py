"""Minari datasets as steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from log_files import problems_of, write_json
from samples_of import SAMPLES, assert_nine_steps

from workbench.errors import MissingDependencyError
from workbench.readers import import_log, read

MINARI = SAMPLES / "minari"


def test_the_sample_becomes_the_nine_canonical_steps():
    pytest.importorskip("h5py")
    imported = import_log([MINARI])
    assert_nine_steps(imported, "minari", group="seed 7", trajectory="seed 7/episode_{n}")


def test_without_h5py_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match=r"trajectory-workbench\[minari\]"):
        read([MINARI])


def test_a_damaged_hdf5_file_is_named(tmp_path: Path):
    pytest.importorskip("h5py")
    content = next(MINARI.rglob("*.hdf5")).read_bytes()
    path = tmp_path / "main_data.hdf5"
    path.write_bytes(content[: len(content) // 2])
    write_json(tmp_path / "metadata.json", {})
    assert "cannot be read as HDF5 (" in problems_of(path)
