"""The README says what is so: its blocks run, its tables come from the code.

`UPDATE_README=1 pytest tests/docs/test_readme.py` writes the generated parts anew.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from workbench import cli
from workbench.log.columns import column_table
from workbench.methods.base import METHODS, TRAITS, methods_table

README = ROOT / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> list[list[str]]:
    """Every `workbench …` of the bash blocks, without the set-up before it."""
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [shlex.split(part) for part in parts if part.startswith("workbench ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder with the bundled data, as after a clone."""
    shutil.copytree(ROOT / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def markdown(rows: list[dict[str, str]]) -> str:
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(cells).replace("\n", " ") + " |" for cells in lines)


def methods_markdown() -> str:
    rows = methods_table().to_dicts()
    return markdown([{**row, "method": f"`{row['method']}`"} for row in rows])


def traits_markdown() -> str:
    traits = {
        name: entry.traits
        for method in METHODS.values()
        for name, entry in (
            (method.name, method),
            *((f"{method.name}:{dialect.name}", dialect) for dialect in method.dialects.values()),
        )
    }
    return markdown(
        [
            {
                "trait": trait,
                "meaning": meaning,
                "holds for": ", ".join(f"`{name}`" for name in traits if trait in traits[name]),
            }
            for trait, meaning in TRAITS.items()
        ]
    )


def columns_markdown() -> str:
    rows = []
    for column in column_table():
        name = f"`{column['column']}`"
        default = "" if column["default"] is None else f" Default {str(column['default']).lower()}."
        rows.append(
            {
                "column": f"**{name}**" if column["required"] else name,
                "type": column["type"],
                "meaning": column["meaning"] + default,
                "aliases": ", ".join(column["aliases"]),
            }
        )
    return markdown(rows)


GENERATED = {"methods": methods_markdown, "traits": traits_markdown, "columns": columns_markdown}


def part(name: str) -> str:
    found = re.search(
        rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", README.read_text("utf-8"), re.DOTALL
    )
    assert found, name
    return found.group(1)


def replace(name: str, text: str) -> None:
    whole = README.read_text(encoding="utf-8")
    pattern = rf"(<!-- {name} -->\n).*?\n?(<!-- /{name} -->)"
    new = re.sub(pattern, lambda m: f"{m.group(1)}{text}\n{m.group(2)}", whole, flags=re.DOTALL)
    README.write_text(new, encoding="utf-8")


@pytest.mark.parametrize("name", GENERATED)
def test_generated_tables_are_current(name: str):
    if os.environ.get("UPDATE_README"):
        replace(name, GENERATED[name]())
    assert part(name) == GENERATED[name]()


def test_the_first_screen_has_the_two_commands_in_one_line_each():
    first, second = blocks("bash")[:2]
    assert first.strip() == (
        'pip install -c constraints.txt -e ".[offline]" '
        "&& workbench run data/household.parquet -o work/"
    )
    assert second.strip() == 'pip install -c constraints.txt -e ".[offline,test]" && pytest'
    assert README.read_text(encoding="utf-8").index(second) < 2000
    assert second.strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_command_of_the_readme_runs_and_the_main_job_prints_what_it_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    ran = [command for command in commands() if command[1] != "app"]
    assert len(ran) >= 12
    for arguments in ran:
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 0, capsys.readouterr().err
        printed = capsys.readouterr().out
        if arguments[1] == "run":
            shown = f"```text\n{printed}```"
            if os.environ.get("UPDATE_README"):
                replace("run", shown)
            assert without_last_digits(part("run")) == without_last_digits(shown)


def without_last_digits(text: str) -> str:
    """Text with numbers cut to two digits and hashes left out: those vary with library versions."""
    text = re.sub(r"\b[0-9a-f]{16}\b", "HASH", text)
    return re.sub(r"-?\d+\.\d+", lambda number: f"{float(number.group()):.1g}", text)


def test_the_python_session_runs(folder: Path):
    (session,) = blocks("python")
    assert len([line for line in session.splitlines() if line]) == 5
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", session], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "spearman" in done.stdout
    assert "similarity" in done.stdout


def test_every_command_is_in_the_readme():
    named = {command[1] for command in commands()} | {"import"}
    assert named == {info.name or info.callback.__name__ for info in cli.app.registered_commands}


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)h][^)]*)\)", README.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
