"""Core commands and `workbench.trainers` need nine packages and what these pull in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

NINE = (
    "numpy",
    "polars",
    "pyarrow",
    "scipy",
    "scikit-learn",
    "faiss-cpu",
    "typer",
    "rich",
    "threadpoolctl",
)
BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pulled(names: tuple[str, ...]) -> set[str]:
    """Packages and all that they require without an extra."""
    found, left = set[str](), [normal(name) for name in names]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needed = requires(name) or []
        except PackageNotFoundError:
            continue  # of another platform or version of Python
        plain = [entry for entry in needed if "extra ==" not in entry]
        left += [normal(re.split(r"[^A-Za-z0-9._-]", entry)[0]) for entry in plain]
    return found


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which only the nine packages can be imported."""
    allowed = pulled(NINE) | {"trajectory-workbench"}
    blocked = {
        module
        for module, packages in packages_distributions().items()
        if not {normal(package) for package in packages} & allowed
    }
    assert {"torch", "streamlit", "plotly", "sentence_transformers", "pandas", "PIL"} <= blocked
    folder = tmp_path_factory.mktemp("light")
    (folder / "sitecustomize.py").write_text(BLOCKER.format(blocked=sorted(blocked)))
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    # Vectors that another run kept would need no model.
    cache = str(tmp_path_factory.mktemp("cache"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "XDG_CACHE_HOME": cache}


STEP = "household-s0/task-18/rollout-1:12"
COMMANDS = [
    "validate household",
    "facts household",
    "import household -o log.parquet",
    "score household -m grpo -o grpo.parquet",
    "score household -m proxmo --embedder tfidf -o proxmo.parquet",
    "compare grpo.parquet proxmo.parquet",
    f"explain household -m proxmo --embedder tfidf --step {STEP}",
    f"neighbours household --embedder tfidf --step {STEP}",
    "audit household --credit grpo.parquet --draws 4",
    "tune household -m proxmo --embedder tfidf",
    "keys household --action-key tool",
    "export household --credit grpo.parquet -o batch",
    "run household -m grpo -m proxmo --embedder tfidf -o work",
    "simulate helpdesk --tasks 2 --rollouts 2 -o simulated.parquet",
    "methods proxmo",
    "formats",
]


def workbench(command: str, light: dict[str, str], here: Path) -> subprocess.CompletedProcess[str]:
    code = "from workbench.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *command.split()],
        cwd=here,
        env=light,
        check=False,
        capture_output=True,
        text=True,
    )


def test_core_commands_run_with_nine_packages(light: dict[str, str], tmp_path: Path):
    for command in COMMANDS:
        done = workbench(command, light, tmp_path)
        assert done.returncode == 0, f"workbench {command}\n{done.stderr}"


def test_the_trainers_room_runs_with_nine_packages(light: dict[str, str], tmp_path: Path):
    code = (
        "import numpy as np; from workbench.trainers import step_advantages\n"
        "print(step_advantages('grpo', group_id=['g', 'g'], trajectory_id=['a', 'b'],"
        " reward=np.array([1.0, 0.0])).tolist())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=light, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("command", "package", "needs"),
    [
        ("app", "streamlit", "workbench app"),
        ("score household -m proxmo -o p.parquet", "sentence_transformers", "the embedder"),
        (
            "decompose relay --credit team.parquet --figure map.html",
            "plotly",
            "workbench decompose",
        ),
    ],
)
def test_a_missing_package_is_named_with_what_needs_it(
    light: dict[str, str], tmp_path: Path, command: str, package: str, needs: str
):
    workbench("score relay -m grpo -o team.parquet", light, tmp_path)
    done = workbench(command, light, tmp_path)
    assert done.returncode == 2
    assert package in done.stderr
    assert needs in done.stderr
    assert "Hint: pip install" in done.stderr
    assert "Traceback" not in done.stderr
