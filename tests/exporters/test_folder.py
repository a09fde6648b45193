"""Export folders: written whole or not at all, replaced only on demand, checked when read."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from batches import export, text_log, token_log, write

from workbench.errors import ArtefactError, ParameterError
from workbench.exporters import read_batch, read_manifest
from workbench.exporters.targets.weighted_batch import FILE
from workbench.files import MANIFEST


def test_a_finished_export_is_replaced_only_on_demand(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(*token_log(), out)
    with pytest.raises(ParameterError, match="finished export"):
        write(*text_log(), out)
    assert read_manifest(out).token_level
    write(*text_log(), out, overwrite=True)
    assert not read_manifest(out).token_level
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_not_an_export_is_never_replaced(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.txt").write_text("years of work")
    with pytest.raises(ParameterError, match="not a finished export"):
        write(*token_log(), thesis, overwrite=True)
    with pytest.raises(ParameterError, match="is a file"):
        write(*token_log(), thesis / "chapter.txt", overwrite=True)
    write(*token_log(), tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ParameterError, match=r"notes\.txt"):
        write(*token_log(), tmp_path / "out", overwrite=True)
    assert (thesis / "chapter.txt").read_text() == "years of work"


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(*token_log(), tmp_path / "empty")
    write(*token_log(), tmp_path / "a" / "b" / "c")
    assert read_batch(tmp_path / "empty").equals(read_batch(tmp_path / "a" / "b" / "c"))


@pytest.mark.parametrize("moment", ["targets.weighted_batch.write_parquet", "base.require_equal"])
@pytest.mark.parametrize("stands", [True, False])
def test_an_interrupted_export_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, stands: bool
) -> None:
    out = tmp_path / "out"
    if stands:
        write(*token_log(), out)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"workbench.exporters.{moment}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(*text_log(), out, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert out.exists() == stands


def test_a_failing_rename_brings_the_old_export_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write(*token_log(), out)
    rename = type(out).rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError("disk gone")
        return rename(path, target)

    monkeypatch.setattr(type(out), "rename", fail)
    with pytest.raises(OSError, match="disk gone"):
        write(*text_log(), out, overwrite=True)
    assert read_manifest(out).token_level


KILLED = """
import dataclasses, os, signal, sys
from pathlib import Path
from batches import exportable, token_log
from workbench.exporters import TARGETS

def half(batch, folder):
    target.write(batch, folder)
    os.kill(os.getpid(), signal.SIGKILL)

target = TARGETS["verl"]
dataclasses.replace(target, write=half)(*exportable(token_log()), Path(sys.argv[1]))
"""


def test_a_killed_export_leaves_nothing_under_its_name_and_the_next_one_works(tmp_path: Path):
    out = tmp_path / "out"
    paths = os.pathsep.join(map(str, (Path(__file__).parents[1], Path(__file__).parents[2])))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(out)],
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert re.fullmatch(r"\.out\..*\.part", left.name)
    assert export("verl", token_log(), out) == read_manifest(out)


def test_a_tampered_file_is_refused(tmp_path: Path) -> None:
    write(*token_log(), tmp_path / "out")
    path = tmp_path / "out" / FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    for read in (read_manifest, read_batch):
        with pytest.raises(ArtefactError, match=rf"{FILE} is not the file that"):
            read(tmp_path / "out")
    path.unlink()
    with pytest.raises(ArtefactError, match="is missing"):
        read_batch(tmp_path / "out")


def test_a_folder_without_a_manifest_is_not_an_export(tmp_path: Path) -> None:
    write(*token_log(), tmp_path / "out")
    manifest = tmp_path / "out" / MANIFEST
    for text in ("{", "[]", '{"format": "x"}'):
        manifest.write_text(text)
        with pytest.raises(ArtefactError, match=r"manifest\.json"):
            read_batch(tmp_path / "out")
    manifest.unlink()
    with pytest.raises(ArtefactError, match=r"has no manifest\.json"):
        read_batch(tmp_path / "out")


def test_a_new_folder_has_the_usual_permissions(tmp_path: Path) -> None:
    write(*token_log(), tmp_path / "out")
    (tmp_path / "plain").mkdir()
    assert os.stat(tmp_path / "out").st_mode == os.stat(tmp_path / "plain").st_mode  # noqa: PTH116
