"""SkyRL's generator output, read by plain code and not by the target's own reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from batches import export, one_advantage, partly_trained, token_log, with_advantage

from workbench.exporters.targets import skyrl


def tokens(path: Path) -> Iterator[tuple[int, float, int | None]]:
    """Each token of the file: its id, its advantage, what the mask says."""
    whole = json.loads(path.read_text())
    for row in zip(whole["response_ids"], whole["rewards"], whole["loss_masks"], strict=True):
        yield from zip(*row, strict=True)


def test_a_single_advantage_lands_on_its_own_tokens(tmp_path: Path):
    export("skyrl", one_advantage(), tmp_path / "out")
    assert with_advantage(tokens(tmp_path / "out" / skyrl.FILE)) == [(5, 3.0), (6, 3.0)]


def test_only_what_the_policy_sampled_and_trains_on_is_trained(tmp_path: Path):
    export("skyrl", partly_trained(), tmp_path / "out")
    found = list(tokens(tmp_path / "out" / skyrl.FILE))
    assert with_advantage(found) == [(3, 2.0), (5, 2.0), (10, 0.5)]
    assert sorted(token for token, _, mask in found if mask) == [3, 5, 10]


def test_skyrl_knows_the_steps_of_a_trajectory_by_its_repetition(tmp_path: Path):
    export("skyrl", token_log(), tmp_path / "out", unit="step")
    whole = json.loads((tmp_path / "out" / skyrl.FILE).read_text())
    assert [entry["repetition_id"] for entry in whole["trajectory_ids"]] == [0, 0, 1]
    assert whole["is_last_step"] == [False, True, True]
