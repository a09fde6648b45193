"""Imports point one way, and starting up is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from places import DATA, ROOT

from workbench.methods import METHODS, Method

PACKAGE = ROOT / "workbench"

# A room may use only the floors above it in this list.
FLOORS = [
    {"glossary", "temporary", "wording"},
    {"errors"},
    {"engines", "files", "parameters", "registry"},
    {"log"},
    {"readers", "simulate"},
    {"states"},
    {"exporters", "methods"},
    {"analysis", "trainers"},
    {"plots", "workspace"},
    {"bench", "ui"},
    {"cli"},
]
HEAVY = {"torch", "faiss", "sentence_transformers", "streamlit", "sklearn", "transformers"}


def imported(path: Path, *, typing_too: bool = True) -> set[str]:
    """Names of the package's own modules (or packages) that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "workbench":
                names = [f"workbench.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("workbench.")}
    return found


def test_imports_point_one_way():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        floor = next((n for n, rooms in enumerate(FLOORS) if room in rooms), None)
        assert floor is not None, f"{room} has no floor"
        allowed = {room}.union(*FLOORS[:floor])
        wrong += [f"{path.name} imports {name}" for name in imported(path) - allowed]
    assert not wrong


def test_at_most_three_levels_of_inheritance_under_a_method():
    def levels(cls: type) -> int:
        above = [base for base in cls.__bases__ if issubclass(base, Method)]
        return 1 + max(map(levels, above)) if above else 0

    # A method's fields stand in its own file and in methods/parts/fields.py.
    assert {info.name for info in METHODS.values() if levels(info.cls) > 3} == set()


def test_no_module_has_a_name_that_says_nothing():
    for path in PACKAGE.rglob("*.py"):
        assert path.stem not in {"utils", "common", "core", "config", "helpers", "misc"}


def loaded_after(code: str) -> set[str]:
    """Top-level modules in memory after running some code in a fresh interpreter."""
    script = f"import sys\n{code}\nprint(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(result.stdout.splitlines()[-1].split())


def run_cli(*arguments: str) -> str:
    return (
        f"sys.argv = ['workbench', *{list(arguments)!r}]\n"
        "from workbench.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code in (0, None), end.code"
    )


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded_after("import workbench") & (HEAVY | {"polars", "numpy"})


def test_help_loads_neither_numpy_nor_polars():
    assert not loaded_after(run_cli("--help")) & (HEAVY | {"polars", "numpy"})


def test_validate_and_score_grpo_load_no_model_library(tmp_path: Path):
    log = str(DATA / "household.parquet")
    assert not loaded_after(run_cli("validate", log)) & HEAVY
    credit = str(tmp_path / "credit.parquet")
    assert not loaded_after(run_cli("score", log, "-m", "grpo", "-o", credit)) & HEAVY


def test_no_python_runs_in_the_threads_of_polars():
    # One that waits for Python, while Python waits for it in another thread (`to_pandas`, which
    # st.dataframe calls), stops the app for good: `ui.text.each` does it outside.
    inside = {"map_elements", "map_batches", "map_groups", "map_rows", "rolling_map"}
    for path in sorted(PACKAGE.rglob("*.py")):
        called = {
            node.func.attr
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        assert not called & inside, path
