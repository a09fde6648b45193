"""Inputs of the trainers: an export of a scored log with token ids, and a tiny policy.

These tests run where the extra `trainers` is installed, one environment for all of them:

    pip install -c constraints-trainers.txt -e ".[trainers]" && pytest tests/trainers
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tiny_policy
from batches import Log, exportable
from policy_rollouts import scored

from workbench.exporters import TARGETS, Batch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "disabled")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Trainers warn about their own dependencies, which is nothing of ours."""
    for item in items:
        if "trainers" in Path(item.path).parts:
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture
def policy() -> Any:
    """The policy that is trained."""
    return tiny_policy.model()


Exported = Callable[..., tuple[Path, Batch]]


@pytest.fixture
def exported(tmp_path: Path) -> Exported:
    """Writes an export and gives its folder and what was to be in it."""

    def export(target: str, log: Log | None = None, **options: Any) -> tuple[Path, Batch]:
        exporter = TARGETS[target]
        batch = exporter.assemble(*exportable(log or scored()), **options)
        folder = tmp_path / "-".join([target, *map(str, options.values())])
        exporter.save(batch, folder)
        return folder, batch

    return export


@pytest.fixture
def loader() -> Callable[[Path], ModuleType]:
    """Imports the module that an export took along, from where it lies."""

    def load(folder: Path) -> ModuleType:
        (path,) = folder.glob("workbench_*.py")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
