"""rLLM episodes as steps."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from log_files import log_of, written
from samples_of import CANONICAL, SAMPLES, assert_nine_steps

from workbench.errors import LogError
from workbench.readers import import_log, read


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(import_log([SAMPLES / "rllm"]), "rllm")


def rllm(**changes: Any) -> dict[str, Any]:
    path = SAMPLES / "rllm/train_step_12_epoch_0/episode_hash0_idfind-key_1.json"
    return json.loads(path.read_text()) | changes


def test_an_episode_may_stand_over_many_lines_or_on_one(tmp_path: Path):
    pretty = tmp_path / "pretty.json"
    pretty.write_text(json.dumps(rllm(), indent=2))
    other = rllm(episode_id="find-key:7")
    log = log_of(pretty, written(tmp_path, [other, rllm(episode_id="find-key:8")]))
    assert log["trajectory_id"].n_unique() == 3
    assert log["group_id"].n_unique() == 1
    pretty.write_text(json.dumps(rllm(), indent=2)[:-100])
    with pytest.raises(LogError, match=r"pretty.json:1 \(cut off\)"):
        read([pretty])


@pytest.mark.parametrize(
    ("each", "total", "expected", "source"),
    [
        ([0.0, 0.0, 1.0], 1.0, [0.0, 0.0, 1.0], "terminal"),
        ([0.5, 0.0, 0.5], 1.0, [0.5, 0.0, 0.5], "dense"),
        ([0.5, 0.0, 0.5], 3.0, [0.0, 0.0, 3.0], "terminal"),
        ([0.5, 0.0, 0.5], None, [0.5, 0.0, 0.5], "dense"),
        ([None, None, None], None, [None, None, None], None),
    ],
)
def test_rewards_of_steps_count_where_they_add_up(
    tmp_path: Path, each: list[Any], total: Any, expected: list[Any], source: str | None
):
    episode = rllm()
    episode["trajectories"][0]["reward"] = total
    for step, reward in zip(episode["trajectories"][0]["steps"], each, strict=True):
        step["reward"] = reward
    log = log_of(written(tmp_path, [episode]))
    assert log["reward"].to_list() == expected
    assert log["reward_source"][0] == source


def test_each_agent_of_an_episode_has_its_own_group(tmp_path: Path):
    episode = rllm()
    judge = copy.deepcopy(episode["trajectories"][0]) | {"name": "judge", "uid": "j"}
    episode["trajectories"].append(judge)
    log = log_of(written(tmp_path, [episode]))
    assert set(log["group_id"]) == {"step12/find-key/agent", "step12/find-key/judge"}


def test_what_a_step_does_not_say_is_read_off_its_chat(tmp_path: Path):
    episode = rllm()
    for step in episode["trajectories"][0]["steps"]:
        step |= {"observation": None, "action": None, "model_response": ""}
        step |= {"response_ids": [5], "prompt_ids": [4], "logprobs": [-1.0], "advantage": [0.25]}
    log = log_of(written(tmp_path, [episode]))
    assert (
        log.select("observation", "action").rows()
        == CANONICAL[2:5].select("observation", "action").rows()
    )
    assert log["response_ids"].to_list() == [[5]] * 3
    assert log["logged_advantage"].to_list() == [0.25] * 3


def test_an_empty_reason_says_nothing_of_the_length(tmp_path: Path):
    log = log_of(written(tmp_path, [rllm(termination_reason="")]))
    assert "truncated" not in log.columns
