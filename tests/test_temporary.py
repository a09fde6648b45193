"""Names of what is not finished, and what dead processes left under them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from folders import names

from workbench import temporary
from workbench.files import atomic_file, atomic_folder, remove_folder, staging_folder
from workbench.temporary import maker_lives, prefix_of, sweep

posix = pytest.mark.skipif(os.name != "posix", reason="elsewhere nobody knows who lives")


def left_by(process: int, path: Path) -> Path:
    """A temporary file of a process."""
    name = prefix_of(path).replace(f".{os.getpid()}-", f".{process}-")
    left = path.with_name(f"{name}x_1.part")
    left.write_text("half")
    return left


@pytest.fixture
def dead() -> int:
    """The number of a process that ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_temporary_name_says_what_it_becomes_and_who_makes_it():
    assert re.fullmatch(
        rf"\.log\.parquet\.{os.getpid()}-[0-9a-f]{{8}}-", prefix_of(Path("log.parquet"))
    )
    assert prefix_of(Path(".credit.parts")).startswith(f".credit.parts.{os.getpid()}-")
    # A name may have 255 bytes.
    assert len(prefix_of(Path("ü" * 200)).encode()) < 140


@posix
def test_the_next_run_removes_what_a_dead_one_left_and_nothing_else(
    tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "log[1].parquet"
    mine, named = left_by(os.getpid(), path), tmp_path / f".{path.name}.parts"
    named.mkdir()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(temporary, "_machine", lambda: "0" * 8)
        foreign = left_by(dead, path)
    kept = {mine.name, named.name, foreign.name}
    for make in (atomic_file, staging_folder):
        left = [left_by(dead, path), left_by(dead, tmp_path / "other.parquet")]
        with make(path) as made:
            assert not any(one.exists() for one in left)
            if make is atomic_file:
                made.write_text("whole")
    assert set(names(tmp_path)) == {*kept, path.name}


@posix
def test_folders_that_a_dead_run_left_go_too(tmp_path: Path, dead: int):
    path = tmp_path / "batch"
    for make in (lambda: atomic_folder(path, replace=True), lambda: staging_folder(path)):
        left = left_by(dead, path).with_suffix(".parts")
        (left / "new").mkdir(parents=True)
        with make():
            assert not left.exists()
    left = left_by(dead, path)
    remove_folder(path)
    assert names(tmp_path) == []


@posix
def test_what_cannot_be_removed_stays(tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch):
    left = left_by(dead, tmp_path / "log.parquet")

    def refused(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refused)
        sweep(tmp_path)
    assert left.exists()
    monkeypatch.setattr(os, "name", "nt")
    sweep(tmp_path)
    assert left.exists()


@posix
def test_a_killed_run_leaves_what_the_next_one_removes(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from workbench.files import atomic_folder\n"
        "with atomic_folder(Path('batch')) as made:\n"
        "    (made / 'half').write_text('half'); print('made', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"made\n"
        (left,) = tmp_path.iterdir()
        assert maker_lives(left)
        with atomic_folder(tmp_path / "batch"):
            pass
        assert left.exists()
        process.send_signal(signal.SIGKILL)
    assert not maker_lives(left)
    with atomic_folder(tmp_path / "batch"):
        assert not left.exists()
    assert names(tmp_path) == ["batch"]
