"""Documents run: commands, the tutorial with its output, the Python session."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documents import DOCS, README, blocks, commands
from narrow import some
from places import ROOT

from workbench import cli

TUTORIAL = DOCS / "tutorial.md"
TOUR = DOCS / "command_line.md"


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0, shlex.join(arguments)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder with what a clone has of data, samples and examples."""
    shutil.copytree(ROOT / "data", tmp_path / "data")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for name in ("verl-agent", "verl-agent-bare"):
        shutil.copytree(ROOT / "tests" / "samples" / name, tmp_path / "tests" / "samples" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_every_command_of_the_tour_runs(monkeypatch: pytest.MonkeyPatch):
    ran = commands(TOUR)
    assert len(ran) >= 18
    for arguments in ran:
        run(arguments, monkeypatch)


def test_every_command_is_in_a_document():
    documents = [README, *DOCS.glob("*.md")]
    named = {command[1] for document in documents for command in commands(document)}
    assert named == {
        info.name or some(info.callback).__name__ for info in cli.app.registered_commands
    }


def test_the_tutorial_runs_and_prints_what_it_shows(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    text = TUTORIAL.read_text(encoding="utf-8")
    found = re.findall(r"```(bash|text)\n(.*?)```", text, re.DOTALL)
    assert [language for language, _ in found].count("text") == 3
    printed = ""
    for language, block in found:
        if language == "text":
            assert rounded(block) == rounded(printed)
            continue
        for command in block.splitlines():
            arguments = shlex.split(command)
            if arguments[0] == "python":
                done = subprocess.run(
                    [sys.executable, *arguments[1:]], capture_output=True, text=True, check=True
                )
                printed = done.stdout[done.stdout.index("log-probability") :]
            else:
                run(arguments, monkeypatch)
                printed = capsys.readouterr().out
            assert printed
    assert (folder / "batch" / "manifest.json").is_file()


def rounded(text: str) -> str:
    """Text with long fractions cut to two digits: training differs in the last ones."""
    return re.sub(r"-?\d+\.\d{3,}", lambda n: f"{float(n.group()):.2g}", text)


def test_the_bare_dump_says_what_the_tutorial_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert (folder / "tests").is_dir()
    run(commands(TUTORIAL)[0], monkeypatch)
    line = "reconstructed     groups and trajectories of 100.0% of the rows"
    assert line in capsys.readouterr().out
    assert line in TUTORIAL.read_text(encoding="utf-8")


@pytest.mark.usefixtures("folder")
def test_the_python_session_runs():
    (session,) = blocks(DOCS / "python.md", "python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", session], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "spearman" in done.stdout
    assert "similarity" in done.stdout


@pytest.mark.parametrize(
    "word",
    [
        *("step", "group", "live", "dead", "credit", "term", "baseline", "peer", "singleton"),
        *("anchor", "dialect", "trait", "psc"),
    ],
)
def test_the_glossary_has_the_word(word: str):
    assert f"\n| **{word}** | " in (DOCS / "concepts.md").read_text(encoding="utf-8")
