"""Hints of messages in the words of the app."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from places import ROOT

from workbench.ui.hints import OPTIONS, in_words

NOTATION = re.compile(r"(?<![\w-])-p [a-z_]+|(?<![\w-])--[a-z][a-z-]+|\bworkbench [a-z]+ ?-")
ELSEWHERE = {
    "analysis/audit/report.py": "the report of the command line",
    "exporters/folder.py": "a folder that is there already; the app makes a new one for each batch",
    "exporters/targets/slime/__init__.py": "an option of slime",
    "exporters/targets/weighted_batch.py": "an option of OpenRLHF",
    "simulate/codebase/lexicon.py": "what an agent of a simulated world types",
    "simulate/codebase/text.py": "what an agent of a simulated world types",
    "states/embedders/model_files.py": "an option of pip",
    "engines.py": "an engine, which no page offers",
    "workspace/export_to.py": "an export in parts, which no page offers",
    "workspace/trackers/__init__.py": "a tracker, which no page offers",
    "workspace/trackers/tensorboard.py": "a tracker, which no page offers",
    "ui/hints.py": "the notation itself",
    "ui/upload.py": "a file for the command line, which the page makes",
    "ui/state.py": "how the server is started",
}
"""Modules whose texts speak of a command line and mean it, and why."""


def messages(path: Path) -> list[str]:
    """The texts in a module that are no docstrings and no parts of a command."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in formatted for part in node.values}
    found = [
        "".join(
            str(getattr(part, "value", 1)) if isinstance(part, ast.Constant) else "1"
            for part in node.values
        )
        for node in formatted
    ]
    found += [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docs | parts
    ]
    return [text for text in found if " " in text]


def test_no_message_that_the_app_can_show_speaks_of_the_command_line():
    package = ROOT / "workbench"
    left, seen = {}, 0
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if name.startswith(("cli/", "bench/", "ui/command", "ui/pages/")) or name in ELSEWHERE:
            continue
        for text in messages(path):
            seen += bool(NOTATION.search(text))
            if NOTATION.search(in_words(text)) and path.name != "loader.py":
                left[name] = text
    assert not left
    assert seen > 30  # the messages are found at all


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "; or -p step_weight=0.01; or divide the rewards.",
            "; or step weight = 0.01; or divide the rewards.",
        ),
        (
            "accept wrong chains with --allow-unchained (allow_unchained=True in Python)",
            "accept wrong chains with “Take the guessed order anyway”",
        ),
        (
            "`workbench import FILE… --map columns.json -o LOG` takes it from a column",
            "a mapping (“Add a log”) takes it from a column",
        ),
        ("read some with `workbench explain`.", "read some on the page Rollouts."),
        ("Set -p invalid_penalty=0 or drop these.", "Set invalid penalty = 0 or drop these."),
        (
            "Before it is shared: --redact likely, for reports and exports.",
            "Before it is shared: “Redact” on the page Export, for reports and exports.",
        ),
        (
            "Hint: or --to datasets, which keeps both",
            "Hint: or the target datasets, which keeps both",
        ),
        ("an action such as `ls --all` stays", "an action such as `ls --all` stays"),
    ],
)
def test_a_hint_is_said_as_the_pages_call_it(message: str, expected: str):
    assert in_words(message) == expected


def test_options_are_called_what_the_pages_say():
    pages = "\n".join(p.read_text() for p in (ROOT / "workbench" / "ui").rglob("*.py"))
    labels = [label for said in OPTIONS.values() for label in re.findall("“([^”]+)”", said)]
    rest = pages.replace((ROOT / "workbench/ui/hints.py").read_text(), "")
    # Labels of options of an export are made of the options' names.
    made = {"Groups", "Tasks", "Tokenizer"}
    assert {label for label in labels if label not in rest} <= made
