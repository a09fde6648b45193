"""Minari datasets as steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from log_files import problems_of, write_json
from samples_of import SAMPLES, assert_nine_steps

from workbench.errors import MissingDependencyError
from workbench.readers import hdf5, import_log, read

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


def dataset(path: Path, **members: Any) -> Path:
    """A dataset of one episode of two steps, some of its members replaced."""
    h5py = pytest.importorskip("h5py")
    plain: dict[str, Any] = {
        "observations": ["a", "b", "c"],
        "actions": ["go", "stay"],
        "rewards": [0.0, 1.5],
        "terminations": [False, True],
        "truncations": [False, False],
    }
    path.mkdir()
    write_json(path / "metadata.json", {"total_episodes": 1, "data_format": "hdf5"})
    with h5py.File(path / "main_data.hdf5", "w") as file:
        group = file.create_group("episode_0")
        group.attrs["seed"] = 7
        for name, value in (plain | members).items():
            if value is not None:
                group[name] = value
    return path


def test_numbers_may_lie_in_lists_of_their_own(tmp_path: Path):
    columns: dict[str, Any] = {
        "rewards": [[0.0], [1.5]],
        "terminations": [[False], [True]],
        "truncations": [[False], [False]],
    }
    (one, other) = (
        read([dataset(tmp_path / name, **made)]).frame.drop("source_file")
        for name, made in (("one", {}), ("other", columns))
    )
    assert one["reward"].to_list() == [0.0, 1.5]
    assert one["done"].to_list() == [False, True]
    assert one["truncated"].to_list() == [False, False]
    assert one["observation"].to_list() == ["a", "b"]
    assert one["group_id"].to_list() == ["seed 7"] * 2
    assert one.equals(other)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"rewards": None}, "lacks ['rewards']"),
        ({"rewards": ["much", "more"]}, "rewards are not one number per step"),
        ({"rewards": 3.0}, "2 actions and 1 rewards"),
        ({"terminations": [True]}, "terminations are not one number per step"),
        (
            {"truncations": [[False, True], [True, False]]},
            "truncations are not one number per step",
        ),
        ({"observations": ["a", "b"]}, "expected one observation more than actions"),
        ({"rewards": [1j, 2j]}, "rewards are not one number per step"),
    ],
)
def test_an_episode_that_is_none_is_named(tmp_path: Path, members: dict[str, Any], says: str):
    path = dataset(tmp_path / "set", **members)
    said = problems_of(path)
    assert says in said
    assert f"at {path / 'main_data.hdf5'} episode_0" in said


def test_a_file_that_its_library_never_ends_to_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("h5py")
    content = bytearray(next(MINARI.rglob("*.hdf5")).read_bytes())
    # The size of a text in the heap, larger than the heap: found by `benchmarks/fuzz.py`.
    content[content.rindex(b"\x1c" + bytes(7) + b"You see a key in ") + 1] = 3
    path = tmp_path / "main_data.hdf5"
    path.write_bytes(content)
    write_json(tmp_path / "metadata.json", {})
    monkeypatch.setattr(hdf5, "SECONDS", 3)
    assert "cannot be read as HDF5 (it is not read after 3 seconds), at " in problems_of(path)


def test_arrays_that_are_declared_without_end_are_refused(tmp_path: Path):
    path = dataset(tmp_path / "set", rewards=None)
    h5py = pytest.importorskip("h5py")
    with h5py.File(path / "main_data.hdf5", "a") as file:
        # 10⁹ numbers of 8 bytes, of which none is written.
        file["episode_0"].create_dataset("rewards", (10**9,), "f8", chunks=(1000,))
    said = problems_of(path)
    assert f"unpacks to more than 268,435,456 bytes, 200 times its size, at {path}" in said
    assert "--max-unpacked BYTES allows more" in said


def test_a_process_that_ends_while_it_reads_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = dataset(tmp_path / "set")
    code = "import os, sys; sys.stderr.write('lost\\n'); sys.stderr.flush(); os.abort()"
    monkeypatch.setattr(hdf5, "_CODE", code)
    assert "cannot be read as HDF5 (its reader ended with status -6: lost)" in problems_of(path)
