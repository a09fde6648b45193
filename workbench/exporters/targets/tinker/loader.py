"""Tinker datums of an export. Written by the trajectory workbench; needs only `tinker`.

from workbench_tinker import datums

future = training_client.forward_backward(datums("batch"), loss_fn="importance_sampling")
"""

from __future__ import annotations

import json
from pathlib import Path

import tinker


def datums(folder: str | Path) -> list[tinker.Datum]:
    """The datums of an export, in its order; a list that was not logged is left out."""
    found = []
    for line in (Path(folder) / "datums.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        inputs = {name: value for name, value in row["loss_fn_inputs"].items() if value is not None}
        model_input = tinker.ModelInput.from_ints(row["model_input"])
        found.append(tinker.Datum(model_input=model_input, loss_fn_inputs=inputs))
    return found
