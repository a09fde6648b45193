"""slime on an export. Written by the trajectory workbench; needs only `torch`.

python workbench_slime.py            # writes rollout_0.pt next to this file, a torch pickle
--load-debug-rollout-data BATCH/rollout_{rollout_id}.pt
--custom-advantage-function-path workbench_slime.advantages     (BATCH on PYTHONPATH)
(and no --normalize-advantages)
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).parent


def _lines(folder: Path, name: str) -> list[dict[str, Any]]:
    with (folder / name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def rollout(folder: str | Path = FOLDER, rollout_id: int = 0) -> dict[str, Any]:
    """Parts of a rollout that slime keeps, as `--save-debug-rollout-data` writes it."""
    found = []
    for row in _lines(Path(folder), "samples.jsonl"):
        kept = {name: value for name, value in row.items() if value is not None}
        found.append({"prompt": "", "response": "", "label": None, **kept})
    return {"rollout_id": rollout_id, "samples": found}


@functools.cache
def _credit(folder: Path) -> dict[int, list[float]]:
    return {row["index"]: row["advantages"] for row in _lines(folder, "advantages.jsonl")}


def advantages(args: Any, rollout_data: dict[str, Any], folder: str | Path = FOLDER) -> None:
    """Set `advantages` and `returns` of a rollout: a tensor per sample, a value per response token.

    Raises:
        ValueError: The export has another number of tokens for a sample.
    """
    credit, found = _credit(Path(folder)), []
    for index, length in zip(
        rollout_data["sample_indices"], rollout_data["response_lengths"], strict=True
    ):
        values = credit[int(index)]
        if len(values) != int(length):
            raise ValueError(f"sample {index} has {length} tokens here and {len(values)} there")
        found.append(torch.tensor(values, dtype=torch.float32))
    rollout_data["advantages"] = found
    rollout_data["returns"] = [values.clone() for values in found]


if __name__ == "__main__":
    torch.save(rollout(), FOLDER / "rollout_0.pt")
