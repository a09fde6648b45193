"""TRL's samples, read by plain code and not by the target's own reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from batches import export, lines, one_advantage, partly_trained, shared_log, with_advantage

from workbench.exporters.targets import trl


def tokens(path: Path) -> Iterator[tuple[int, float, int | None]]:
    """Each token of the file: its id, its advantage, what the mask says."""
    for row in lines(path):
        for token, mask in zip(row["input_ids"], row["completion_mask"], strict=True):
            yield token, mask * row["advantage"], mask


def test_a_single_advantage_lands_on_its_own_tokens(tmp_path: Path):
    export("trl", one_advantage(), tmp_path / "out")
    assert with_advantage(tokens(tmp_path / "out" / trl.FILE)) == [(5, 3.0), (6, 3.0)]


def test_only_what_the_policy_sampled_and_trains_on_is_trained(tmp_path: Path):
    export("trl", partly_trained(), tmp_path / "out")
    found = list(tokens(tmp_path / "out" / trl.FILE))
    assert with_advantage(found) == [(3, 2.0), (5, 2.0), (10, 0.5)]
    assert sorted(token for token, _, mask in found if mask) == [3, 5, 10]


def test_the_trl_sample_comes_out(shared: Path, tmp_path: Path):
    export("trl", shared_log(shared), tmp_path / "out")
    expected = lines(shared / "samples" / "exports" / "trl_async_rollout_samples.jsonl")
    assert lines(tmp_path / "out" / trl.FILE) == expected
