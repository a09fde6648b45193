"""ART writes its own trajectories, and the reader reads them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from producers import tiny
from workbench.errors import LogError
from workbench.readers import import_log

pytestmark = [tiny.needs("openpipe-art"), pytest.mark.filterwarnings("ignore")]


def choice(content: str | None, calls: list[dict[str, Any]] | None = None) -> Any:
    from openai.types.chat.chat_completion import Choice

    message = {"role": "assistant", "content": content, "tool_calls": calls}
    return Choice.model_validate({"finish_reason": "stop", "index": 0, "message": message})


def call(number: int, arguments: str) -> dict[str, Any]:
    function = {"name": "act", "arguments": arguments}
    return {"id": f"c{number}", "type": "function", "function": function}


def run_apart(write: Callable[[Path], None], path: Path) -> None:
    """Writes in a process of its own: importing ART patches transformers for all that follows."""
    process = multiprocessing.get_context("spawn").Process(target=write, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == 0


def write_two_groups(path: Path) -> None:
    from art import Trajectory, TrajectoryGroup
    from art.utils.trajectory_logging import write_trajectory_groups_parquet

    acting = Trajectory(
        messages_and_choices=[
            {"role": "system", "content": "rules"},
            {"role": "user", "content": "go"},
            choice(None, [call(0, '{"b": 1, "a": 2}')]),
            {"role": "tool", "tool_call_id": "c0", "content": "seen"},
            choice("done"),
        ],
        reward=1.0,
        metrics={"turns": 2},
        metadata={"task": "go"},
    )
    shown = Trajectory(
        messages_and_choices=[
            {"role": "user", "content": "example"},
            {"role": "assistant", "content": "answer"},
            {"role": "user", "content": "go"},
            choice("stay"),
        ],
        reward=float("nan"),
    )
    idle = Trajectory(messages_and_choices=[{"role": "user", "content": "go"}], reward=0.0)
    groups = [
        TrajectoryGroup([acting, shown], exceptions=[]),
        TrajectoryGroup([idle, acting], exceptions=[ValueError("lost")]),
    ]
    write_trajectory_groups_parquet(groups, path)


def write_nothing(path: Path) -> None:
    from art.utils.trajectory_logging import write_trajectory_groups_parquet

    write_trajectory_groups_parquet([], path)


def test_groups_with_tool_calls_history_and_no_reward(tmp_path: Path):
    path = tmp_path / "trajectories/val/0042.parquet"
    path.parent.mkdir(parents=True)
    run_apart(write_two_groups, path)
    imported = import_log([path])
    log = imported.validated.log
    assert imported.report.format == "art"
    assert imported.report.rollouts == {1: 1, 2: 1}
    assert log.select("group_id", "observation", "action").rows() == [
        ("step42/val/0", "go", '{"arguments": {"a": 2, "b": 1}, "name": "act"}'),
        ("step42/val/0", "seen", "done"),
        ("step42/val/0", "go", "stay"),
        ("step42/val/1", "go", '{"arguments": {"a": 2, "b": 1}, "name": "act"}'),
        ("step42/val/1", "seen", "done"),
    ]
    assert imported.report.excluded == {"reward is not finite": 1}
    assert "hold no trainable message" in str(imported.report)


def test_an_empty_step_has_nothing_to_read(tmp_path: Path):
    run_apart(write_nothing, tmp_path / "0001.parquet")
    with pytest.raises(LogError, match="there are none"):
        import_log([tmp_path / "0001.parquet"])
