"""The samples of each format: `samples/<format>` holds logs of it, a file or a folder each.

A new format needs no more than that folder to be held to the contract of the readers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from log_files import act

from workbench.readers.importing import Imported

SAMPLES = Path(__file__).parent / "samples"
CANONICAL = pl.read_parquet(SAMPLES / "parquet/canonical_steps.parquet")
"""Four rollouts of one task in nine steps, which most samples tell in the words of their format."""

SAMPLE_FILES = {
    "verifiers/prime_traces.jsonl": "verifiers",
    "verifiers-legacy/vf_eval_0.1.14/results.jsonl": "verifiers-legacy",
    "verifiers-legacy/vf_eval_0.1.5/results.jsonl": "verifiers-legacy",
    "verl/v1/12.jsonl": "verl",
    "verl/legacy/12.jsonl": "verl",
    "verl-agent/12.jsonl": "verl-agent",
    "verl-agent-bare/12.jsonl": "verl-agent-bare",
    "nemo-rl/train_data_step12.jsonl": "nemo-rl",
    "open-instruct/demo_rollouts_000000.jsonl": "open-instruct",
    "skyrl/find_key.jsonl": "skyrl",
    "areal/rollout/11/0.jsonl": "areal",
}
"""Samples of a record per line whose format is told by the first sound one."""

_STEPS = ("step_index", "observation", "action", "reward")
_BESIDE = {"chat": "openai_chat.jsonl", "tau-bench": "tau_bench.json"}
"""Samples that lie next to the folders, since other tests name them by their path."""


def samples_of(format: str) -> list[Path]:
    """Each log of a format that is a sample; none where it has no folder."""
    beside = [SAMPLES / _BESIDE[format]] if format in _BESIDE else []
    folder = SAMPLES / format
    return beside + (sorted(folder.iterdir()) if folder.is_dir() else [])


def formats_with_samples() -> set[str]:
    """The formats that samples are meant for, whether or not they exist."""
    return {folder.name for folder in SAMPLES.iterdir() if folder.is_dir()} | set(_BESIDE)


def lines(name: str) -> list[dict[str, Any]]:
    """The records of the first JSONL file under this name."""
    path = SAMPLES / name
    path = path if path.is_file() else next(path.rglob("*.jsonl"))
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_nine_steps(
    imported: Imported,
    form: str,
    *,
    action: Callable[[str], str] = str,
    scale: float = 1,
    group: str | None = None,
    trajectory: str | None = None,
) -> None:
    """The log of a sample is the canonical one.

    Args:
        imported: The sample.
        form: What format it must be recognised as.
        action: What the format makes of an action.
        scale: Reward of a solved rollout.
        group: Its only group, where that has a name.
        trajectory: The name of trajectory n, likewise, with `{n}` in it.
    """
    log, report = imported.validated.log, imported.report
    actions = pl.Series("action", [action(text) for text in CANONICAL["action"]])
    expected = CANONICAL.with_columns(actions, pl.col("reward") * scale)
    assert report.format == form
    assert (report.rows, report.rows_read, report.dropped) == (9, 9, ())
    assert (dict(report.rollouts), report.null_rewards) == ({4: 1}, 0)
    assert log.select(_STEPS).to_dicts() == expected.select(_STEPS).to_dicts()
    assert log["trajectory_id"].rle_id().to_list() == [0, 0, 1, 1, 1, 2, 2, 3, 3]
    if group is not None:
        assert set(log["group_id"]) == {group}
    if trajectory is not None:
        names = [trajectory.format(n=text.removeprefix("t")) for text in CANONICAL["trajectory_id"]]
        assert log["trajectory_id"].to_list() == names


def assert_nine_steps_of_sessions(imported: Imported, form: str, *, text: str = "") -> None:
    """The log of a sample of sessions is the canonical one, but for rewards and names of tasks.

    Args:
        imported: The sample.
        form: What format it must be recognised as.
        text: What the model says before its call of the tool `act`.
    """
    log, report = imported.validated.log, imported.report
    calls = [act(command) for command in CANONICAL["action"]]
    assert report.format == form
    assert (report.rows, report.rows_read, report.dropped) == (9, 9, ())
    assert (dict(report.rollouts), report.null_rewards) == ({4: 1}, 9)
    assert report.excluded == {"reward is null": 4}
    assert log["observation"].to_list() == CANONICAL["observation"].to_list()
    assert log["action"].to_list() == [f"{text}\n{call}" if text else call for call in calls]
    assert log["trajectory_id"].rle_id().to_list() == [0, 0, 1, 1, 1, 2, 2, 3, 3]
    assert set(log["reconstructed"]) == {"groups"}


def assert_canonical_tokens(log: pl.DataFrame) -> None:
    """Token ids and log-probabilities are the canonical ones, all of them sampled."""
    for name in ("prompt_ids", "response_ids", "response_logprobs"):
        assert log[name].to_list() == CANONICAL[name].to_list()
    assert log["response_mask"].to_list() == [[1] * len(ids) for ids in log["response_ids"]]


def assert_canonical_advantages(log: pl.DataFrame, eps: float) -> None:
    """The trainer's own advantages are those of the four outcomes under GRPO."""
    # Outcomes 1, 1, 0, 0: mean 0.5 and sample deviation sqrt(1/3), so ±0.5 / (0.57735 + eps).
    sign = log.group_by("trajectory_id").agg(pl.col("reward").sum() * 2 - 1)
    both = log.join(sign, on="trajectory_id", suffix="_sign")
    expected = both["reward_sign"] * 0.5 / ((1 / 3) ** 0.5 + eps)
    assert (both["logged_advantage"] - expected).abs().max() <= 1e-6
    assert both["logged_advantage"].null_count() == 0
