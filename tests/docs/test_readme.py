"""The README says what is so: its blocks run, its findings are found.

`UPDATE_README=1 pytest tests/docs/test_readme.py` writes what the main job now prints, into
docs/first_run.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documents import DOCS, README, blocks, commands, marked, part
from places import ROOT

from workbench import cli

FIRST_RUN = DOCS / "first_run.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder with the bundled data, as after a clone, and the README's own logs."""
    shutil.copytree(ROOT / "data", tmp_path / "data")
    for name in ("jsonl", "csv"):
        (tmp_path / f"mine.{name}").write_text(marked(README, name), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_it_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


def test_the_first_screens_have_the_two_commands_in_one_line_each():
    first, second = blocks(README, "bash")[:2]
    assert first.strip() == (
        'pip install -c constraints.txt -e ".[offline]" '
        "&& workbench run data/household.parquet -o work/"
    )
    assert second.strip() == (
        'pip install -c constraints.txt -e ".[offline,test]" && pytest -n auto --dist loadfile'
    )
    assert README.read_text(encoding="utf-8").index(second) < 2000
    assert second.strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_my_own_log_is_five_lines_of_two_rollouts():
    assert len(marked(README, "jsonl").splitlines()) + len(marked(README, "csv").splitlines()) == 5


def test_every_command_of_the_readme_runs_and_the_main_job_prints_what_is_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    ran = [command for command in commands(README) if command[1] != "app"]
    assert len(ran) >= 9
    for arguments in ran:
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 0, capsys.readouterr().err
        printed = capsys.readouterr().out
        if arguments == ran[0]:
            shown = f"```text\n{printed}```"
            if os.environ.get("UPDATE_README"):
                replace(shown)
            assert without_last_digits(part(FIRST_RUN, "run")) == without_last_digits(shown)


def replace(shown: str) -> None:
    whole = FIRST_RUN.read_text(encoding="utf-8")
    pattern = r"(<!-- run -->\n).*?\n?(<!-- /run -->)"
    new = re.sub(pattern, lambda m: f"{m.group(1)}{shown}\n{m.group(2)}", whole, flags=re.DOTALL)
    FIRST_RUN.write_text(new, encoding="utf-8")


def without_last_digits(text: str) -> str:
    """Text with numbers cut to two digits and hashes left out: those vary with library versions."""
    text = re.sub(r"\b[0-9a-f]{16}\b", "HASH", text)
    return re.sub(r"-?\d+\.\d+", lambda number: f"{float(number.group()):.1g}", text)


def test_the_findings_are_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def printed(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["workbench", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 0
        return capsys.readouterr().out

    for method in ("gigpo", "proxmo"):
        printed("score", "household", "-m", method, "--embedder", "tfidf", "-o", f"{method}.pq")
    text = printed("audit", "household", "--credit", "gigpo.pq", "--credit", "proxmo.pq")
    says = README.read_text(encoding="utf-8")
    shares = {name: line(text, name) for name in ("zero_step_term_rate", "self_weight")}
    gigpo, proxmo = shares["zero_step_term_rate"][:2]
    assert f"0 at {gigpo:.0f} % of the steps, ProxMO's at {proxmo:.0f} %" in says
    assert f"median weight of {shares['self_weight'][1]:.0f} % in its own baseline" in says
    facts = json.loads(printed("facts", "household", "--json"))
    assert facts["rows"] == 3732
    assert facts["group_kinds"]["live"] == 20 - 6
    assert round(facts["singleton_rate"] * 100) == 35


def line(text: str, measure: str) -> list[float]:
    """The shares of an audit's line, in the order of its credits."""
    (found,) = re.findall(rf"^{measure} .*$", text, re.MULTILINE)
    return [float(number) for number in re.findall(r"(\d+\.\d) %", found)]


def test_the_python_session_runs(folder: Path):
    (session,) = blocks(README, "python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", session], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "spearman" in done.stdout
    assert (folder / "batch" / "manifest.json").is_file()


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)h][^)]*)\)", README.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
