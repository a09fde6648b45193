from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch


def test_the_functions_that_slime_calls_give_our_advantages(
    exported: Any, loader: Any, tmp_path: Path
):
    folder, batch = exported("slime")
    module = loader(folder)
    torch.save(module.rollout(folder, rollout_id=4), tmp_path / "rollout_4.pt")
    kept = torch.load(tmp_path / "rollout_4.pt", weights_only=True)
    assert kept["rollout_id"] == 4
    samples = kept["samples"]
    data = {
        "sample_indices": [sample["index"] for sample in samples][::-1],
        "response_lengths": [sample["response_length"] for sample in samples][::-1],
    }
    module.advantages(SimpleNamespace(), data, folder)
    found = list(reversed(data["advantages"]))
    for sample, values, row in zip(samples, found, batch.rows.iter_rows(named=True), strict=True):
        assert sample["tokens"] == row["input_ids"]
        cut = len(row["input_ids"]) - sample["response_length"]
        assert values.tolist() == pytest.approx(row["advantages"][cut:])
        assert sample["loss_mask"] == row["loss_mask"][cut:]
    data["response_lengths"][0] += 1
    with pytest.raises(ValueError, match="tokens here"):
        module.advantages(SimpleNamespace(), data, folder)
