"""rLLM's episodes, read by plain code and not by the target's own reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from batches import export, lines, one_advantage, partly_trained, token_log, with_advantage

from workbench.exporters import TARGETS, read_manifest
from workbench.exporters.targets import rllm

# What rLLM's `from_dict` of Episode, Trajectory and Step looks up without a default.
RLLM_EPISODE = {"id", "task", "is_correct", "trajectories"}


RLLM_TRAJECTORY = {"name", "task", "reward"}


RLLM_STEP = {
    *("prompt_ids", "response_ids", "logprobs", "chat_completions", "observation", "thought"),
    *("action", "model_response", "reward", "done", "mc_return"),
}


def tokens(path: Path) -> Iterator[tuple[int, float, int | None]]:
    """Each token of the file: its id, its advantage, what the mask says."""
    for episode in lines(path):
        for step in episode["trajectories"][0]["steps"]:
            names = ("response_ids", "advantage", "response_mask")
            yield from zip(*(step[name] for name in names), strict=True)


def test_a_single_advantage_lands_on_its_own_tokens(tmp_path: Path):
    export("rllm", one_advantage(), tmp_path / "out")
    assert with_advantage(tokens(tmp_path / "out" / rllm.FILE)) == [(5, 3.0), (6, 3.0)]


def test_only_what_the_policy_sampled_and_trains_on_is_trained(tmp_path: Path):
    export("rllm", partly_trained(), tmp_path / "out")
    found = list(tokens(tmp_path / "out" / rllm.FILE))
    assert with_advantage(found) == [(3, 2.0), (5, 2.0), (10, 0.5)]
    assert sorted(token for token, _, mask in found if mask) == [3, 5, 10]


def test_rllm_finds_all_that_it_looks_up(tmp_path: Path):
    log, credit = token_log()
    export("rllm", (log, credit), tmp_path / "out")
    episodes = lines(tmp_path / "out" / rllm.FILE)
    ids = [episode["id"] for episode in episodes]
    assert len(set(ids)) == len(ids)
    for episode in episodes:
        assert episode.keys() >= RLLM_EPISODE
        # rLLM refuses a reason that it does not know, null too; without one it takes "unknown".
        assert "termination_reason" not in episode
        assert episode["id"].rsplit(":", 1)[0] == episode["task"]
        (trajectory,) = episode["trajectories"]
        assert trajectory.keys() >= RLLM_TRAJECTORY
        steps = trajectory["steps"]
        assert [step["done"] for step in steps] == [False] * (len(steps) - 1) + [True]
        for step in steps:
            assert step.keys() >= RLLM_STEP
            # Lists of another length are replaced with zeros, and a number is refused.
            assert len(step["advantage"]) == len(step["response_ids"])
            # No probabilities is an empty list there: its length is asked for.
            assert len(step["logprobs"]) in (0, len(step["response_ids"]))


def test_without_logged_probabilities_rllm_gets_empty_lists(tmp_path: Path):
    log, credit = token_log()
    log = log.drop("response_logprobs", strict=False)
    export("rllm", (log, credit), tmp_path / "out")
    for episode in lines(tmp_path / "out" / rllm.FILE):
        assert all(step["logprobs"] == [] for step in episode["trajectories"][0]["steps"])
    manifest = read_manifest(tmp_path / "out")
    again = TARGETS["rllm"].read(tmp_path / "out", manifest)
    assert again["old_logprobs"].null_count() == again.height
