"""Artefacts are built once, named by what made them, and never half."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from folders import names

from workbench.errors import ArtefactError
from workbench.files import (
    MANIFEST,
    digest,
    file_digest,
    package_version,
    read_artefact_manifest,
)
from workbench.workspace.store import Workspace


class Builder:
    """Writes one file, and counts how often."""

    def __init__(self, text: str = "built") -> None:
        self.text = text
        self.times = 0

    def __call__(self, folder: Path) -> None:
        self.times += 1
        (folder / "file.txt").write_text(self.text)


def test_an_artefact_is_built_once_and_then_used_again(tmp_path: Path) -> None:
    workspace, build = Workspace(tmp_path / "ws"), Builder()
    folder, built = workspace.artefact("credit", "grpo", {"gamma": 0.95}, build)
    assert built
    assert (folder / "file.txt").read_text() == "built"
    again, built = workspace.artefact("credit", "grpo", {"gamma": 0.95}, build)
    assert (again, built, build.times) == (folder, False, 1)
    # Another process finds it by the same name.
    other, built = Workspace(tmp_path / "ws").artefact("credit", "grpo", {"gamma": 0.95}, build)
    assert (other, built) == (folder, False)


def test_an_artefact_is_named_by_what_made_it(tmp_path: Path) -> None:
    workspace, build = Workspace(tmp_path), Builder()
    inputs = {"gamma": 0.95, "tau": 0.1}
    folder, _ = workspace.artefact("credit", "grpo", inputs, build)
    expected = digest({"inputs": inputs, "version": package_version()})[:16]
    assert folder == tmp_path / "credit" / f"grpo-{expected}"
    assert workspace.artefact("log", "", inputs, build)[0] == tmp_path / "log" / expected
    other, built = workspace.artefact("credit", "grpo", {**inputs, "tau": 0.2}, build)
    assert built
    assert other != folder
    swapped, built = workspace.artefact("credit", "grpo", {"tau": 0.1, "gamma": 0.95}, build)
    assert (swapped, built) == (folder, False)


def test_an_artefact_carries_what_made_it(tmp_path: Path) -> None:
    folder, _ = Workspace(tmp_path).artefact("index", "", {"embedder": "tfidf"}, Builder())
    assert read_artefact_manifest(folder) == {
        "inputs": {"embedder": "tfidf"},
        "version": package_version(),
        "files": {"file.txt": file_digest(folder / "file.txt")},
    }


def test_another_version_of_the_workbench_builds_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, build = Workspace(tmp_path), Builder()
    old, _ = workspace.artefact("log", "", {}, build)
    monkeypatch.setattr("workbench.files.version", lambda package: "99.0")
    new, built = workspace.artefact("log", "", {}, build)
    assert built
    assert new != old


def test_a_damaged_artefact_is_named_and_neither_read_nor_rebuilt(tmp_path: Path) -> None:
    workspace, build = Workspace(tmp_path), Builder()
    folder, _ = workspace.artefact("log", "", {}, build)
    (folder / "file.txt").write_text("spoilt")
    with pytest.raises(ArtefactError, match=re.escape(f"{folder / 'file.txt'} is damaged")):
        workspace.artefact("log", "", {}, build)
    assert build.times == 1
    assert (folder / "file.txt").read_text() == "spoilt"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_build_that_fails_leaves_nothing_and_can_be_run_again(
    tmp_path: Path, error: type[BaseException]
) -> None:
    workspace = Workspace(tmp_path)

    def broken(folder: Path) -> None:
        (folder / "file.txt").write_text("half")
        raise error

    with pytest.raises(error):
        workspace.artefact("log", "", {}, broken)
    assert names(tmp_path / "log") == []
    folder, built = workspace.artefact("log", "", {}, Builder())
    assert built
    assert (folder / "file.txt").read_text() == "built"


def test_a_killed_build_leaves_nothing_under_a_final_name(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from workbench.workspace.store import Workspace\n"
        "def killed(folder):\n"
        "    (folder / 'file.txt').write_text('half')\n"
        "    os._exit(9)\n"
        "Workspace(Path(sys.argv[1])).artefact('log', '', {}, killed)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert ended.returncode == 9
    # What was begun is hidden and says that it is a part.
    assert all(re.fullmatch(r"\..*\.part", name) for name in names(tmp_path / "log"))
    folder, built = Workspace(tmp_path).artefact("log", "", {}, Builder())
    assert built
    assert names(folder) == ["file.txt", MANIFEST]


def test_a_workspace_is_made_when_first_written_to(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "a" / "b")
    assert not workspace.root.exists()
    workspace.artefact("log", "", {}, Builder())
    assert workspace.root.is_dir()
