"""What the trainers are given: a scored log with token ids, and a tiny policy.

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

import numpy as np
import polars as pl
import pytest
import tiny_policy
from batches import (
    exportable,
    made,
    step_row,
)

from workbench.exporters import TARGETS, Batch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "disabled")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Trainers warn about their own dependencies, which is nothing of ours."""
    for item in items:
        if "trainers" in Path(item.path).parts:
            item.add_marker(pytest.mark.filterwarnings("ignore"))


Scored = tuple[pl.DataFrame, pl.DataFrame]


def scored(*, logprobs: bool = True, seed: int = 0) -> Scored:
    """Two groups of two trajectories of one to three steps, prompts that extend each other."""
    rng = np.random.default_rng(seed)
    policy = tiny_policy.model()
    rows: list[dict[str, Any]] = []
    for trajectory, length in enumerate((2, 3, 1, 2)):
        sequence: list[int] = []
        for step in range(length):
            prompt = sequence + rng.integers(4, 40, int(rng.integers(2, 5))).tolist()
            response = rng.integers(4, 40, int(rng.integers(1, 4))).tolist()
            sequence = prompt + response
            own = tiny_policy.log_probabilities(policy, sequence)[len(prompt) :].tolist()
            # The policy that acted was not quite the one that is trained: ratios are not 1.
            drifted = [value + float(rng.normal(0, 0.3)) for value in own]
            row = step_row(
                f"t{trajectory}", step, float(rng.normal()), group=f"g{trajectory // 2}",
                prompt_ids=prompt, response_ids=response, train_step=3, policy_version=2,
                response_logprobs=drifted if logprobs else None,
            )  # fmt: skip
            rows.append(row)
    return made(rows, response_logprobs=pl.List(pl.Float32))


@pytest.fixture
def policy() -> Any:
    """The policy that is trained."""
    return tiny_policy.model()


Exported = Callable[..., tuple[Path, Batch]]


@pytest.fixture
def exported(tmp_path: Path) -> Exported:
    """Writes an export and gives its folder and what was to be in it."""

    def export(target: str, log: Scored | None = None, **options: Any) -> tuple[Path, Batch]:
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


def clipped_loss_of_rows(policy: Any, rows: pl.DataFrame, clip: float = 0.2) -> tuple[Any, int]:
    """Σ -min(r A, clip(r, 1 ± clip) A) over the trained tokens, row by row without padding.

    Without logged log-probabilities r is 1, its gradient that of the log-probability.
    """
    import torch

    total, count = torch.zeros(()), 0
    for row in rows.iter_rows(named=True):
        new = tiny_policy.log_probabilities(policy, row["input_ids"])
        old = new.detach() if row["old_logprobs"] is None else torch.tensor(row["old_logprobs"])
        mask, credit = torch.tensor(row["loss_mask"]), torch.tensor(row["advantages"])
        ratio = (new - old).exp()
        limited = ratio.clamp(1 - clip, 1 + clip)
        total = total - (torch.minimum(ratio * credit, limited * credit) * mask).sum()
        count += int(mask.sum())
    return total, count
