"""docs/plugins.md adds a method from outside; here it is run, and held to the contract."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import method_contract
import pytest
from narrow import some
from places import ROOT

import workbench as wb
from workbench.errors import PluginError, UnknownNameError
from workbench.methods import METHODS, create
from workbench.ui.state import View

DOCUMENT = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def block(name: str, language: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found, name
    return found.group(1)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(block("file", "python"), encoding="utf-8")
    return file


@pytest.fixture
def registered():
    """Takes methods that a test registers out again."""
    before = set(METHODS)
    yield
    for name in set(METHODS) - before:
        METHODS.remove(name)


def workbench(here: Path, *arguments: str, path: Path | None = None):
    paths = [str(path)] if path else []
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    return subprocess.run(
        [sys.executable, "-c", "from workbench.cli import main; main()", *arguments],
        cwd=here,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_documented_file_is_twenty_lines():
    lines = [line for line in block("file", "python").splitlines() if line.strip()]
    assert len(lines) <= 20


@pytest.mark.usefixtures("registered")
def test_a_method_of_a_file_holds_the_contract(mine: Path):
    name = f"{mine}:FirstStep"
    space = wb.open_log("household", embedder="tfidf")
    credit = wb.score(space, name, scale=2.0)
    assert credit.name == "first-step"
    assert len(some(credit.provenance).method["code"]) == 64
    assert not credit.advantage[space.steps.step_index > 0].any()
    for rule in method_contract.RULES:
        for arguments in rule.arguments:
            rule.check("first-step", **arguments)


def test_commands_take_a_file(mine: Path):
    done = workbench(mine.parent, "score", "household", "-m", "./mine.py:FirstStep", "-o", "c.pq")
    assert done.returncode == 0, done.stderr
    for wrong, says in (
        ("./mine.py:Other", "registers no method 'Other'; it registers ['FirstStep']"),
        ("./none.py:FirstStep", "./none.py is not there"),
    ):
        done = workbench(mine.parent, "score", "household", "-m", wrong, "-o", "c.pq")
        assert done.returncode == 2
        assert says in done.stderr


def test_only_a_user_s_own_words_run_a_file(mine: Path):
    name = f"{mine}:FirstStep"
    mine.write_text("raise RuntimeError('was run')")
    with pytest.raises(UnknownNameError, match="method"):
        create(name)
    for key, value in (
        ("methods", name),
        ("pair", f"grpo,{name}"),
        ("export", json.dumps({"method": name})),
    ):
        view, wrong = View.from_url({key: value}, ())
        assert view == View()
        assert len(wrong) == 1
    space = wb.open_log("household", embedder="tfidf")
    with pytest.raises(wb.WorkbenchError):
        create("salt", {"of": name})(space.steps, space)


@pytest.mark.usefixtures("registered")
def test_an_edited_file_is_another_method(mine: Path):
    space = wb.open_log("household", embedder="tfidf")
    name = f"{mine}:FirstStep"
    before = some(wb.score(space, name).provenance)
    mine.write_text(mine.read_text().replace('"first-step"', '"first-of-all"'))
    after = some(wb.score(space, name).provenance)
    assert (before.name, after.name) == ("first-step", "first-of-all")
    assert before.method["code"] != after.method["code"]
    mine.write_text("1 / 0")
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        wb.score(space, name)


def test_an_installed_package_is_found_by_its_entry_point(mine: Path):
    site = mine.parent
    declared = block("package", "toml")
    assert '[project.entry-points."workbench.methods"]' in declared
    folder = site / "my_credit-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: my-credit\nVersion: 1.0\n")
    points = declared.partition('"workbench.methods"]')[2].replace('"', "").strip()
    (folder / "entry_points.txt").write_text(f"[workbench.methods]\n{points}\n")
    listed = workbench(site, "methods", "first-step", path=site)
    assert listed.returncode == 0, listed.stderr
    assert "scale" in listed.stdout
    mine.write_text("raise RuntimeError('not today')")
    broken = workbench(site, "methods", "grpo", path=site)
    assert broken.returncode == 2
    assert "my-credit 1.0 names 'mine' under workbench.methods" in broken.stderr
