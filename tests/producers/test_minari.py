"""Minari datasets as Minari itself writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

minari = pytest.importorskip("minari")

import gymnasium as gym  # noqa: E402  after the check that Minari is there
from minari.data_collector import EpisodeBuffer  # noqa: E402

from workbench.errors import LogError  # noqa: E402
from workbench.readers import import_log  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
TEXT = gym.spaces.Text(20)


def write(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    episodes: list[EpisodeBuffer],
    *,
    form: str,
    observation: gym.Space[Any] = TEXT,
    action: gym.Space[Any] = TEXT,
) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    minari.create_dataset_from_buffers(
        dataset_id="demo/test-v0",
        buffer=episodes,
        observation_space=observation,
        action_space=action,
        data_format=form,
    )
    return folder


def episode(number: int, observations: Any, actions: Any, **fields: Any) -> EpisodeBuffer:
    count = len(fields.setdefault("rewards", [0.0, 1.0]))
    return EpisodeBuffer(
        id=number,
        observations=observations,
        actions=actions,
        terminations=[False] * (count - 1) + [True],
        truncations=[False] * count,
        **fields,
    )


@pytest.mark.parametrize("form", ["hdf5", "arrow"])
def test_texts_and_rewards_are_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str):
    episodes = [
        episode(n, ["start", "middle", "end"], ["go", f"take {n}"], seed=5) for n in range(3)
    ]
    log = import_log([write(tmp_path, monkeypatch, episodes, form=form)]).validated.log
    assert log["observation"].to_list() == ["start", "middle"] * 3
    assert log["action"].to_list() == ["go", "take 0", "go", "take 1", "go", "take 2"]
    assert log["next_observation"].to_list() == ["middle", "end"] * 3
    assert log["reward"].to_list() == [0.0, 1.0] * 3
    assert log["done"].to_list() == [False, True] * 3
    assert set(log["group_id"]) == {"seed 5"}


@pytest.mark.parametrize("form", ["hdf5", "arrow"])
def test_composed_spaces_become_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str):
    space = gym.spaces.Dict(
        {"at": gym.spaces.Discrete(9), "map": gym.spaces.Box(0, 1, (2,), np.float32)}
    )
    observations = {
        "at": np.array([1, 2, 3]),
        "map": np.array([[0, 1], [1, 0], [0.5, 0.5]], dtype=np.float32),
    }
    episodes = [episode(0, observations, np.array([3, 4]), options={"level": 2})]
    folder = write(
        tmp_path,
        monkeypatch,
        episodes,
        form=form,
        observation=space,
        action=gym.spaces.Discrete(9),
    )
    log = import_log([folder]).validated.log
    assert log["action"].to_list() == ["3", "4"]
    seen = json.loads(log["observation"][0])
    assert json.loads(str(seen["at"])) == 1
    assert json.loads(str(seen["map"])) == [0.0, 1.0]
    assert "level" in log["group_id"][0]


def test_episodes_without_a_seed_are_one_group_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    episodes = [episode(n, ["a", "b", "c"], ["x", "y"]) for n in range(2)]
    imported = import_log([write(tmp_path, monkeypatch, episodes, form="hdf5")])
    assert dict(imported.report.rollouts) == {2: 1}
    assert any("neither options nor seed" in notice for notice in imported.report.notices)


def test_a_dataset_whose_file_is_gone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write(tmp_path, monkeypatch, [episode(0, ["a", "b", "c"], ["x", "y"])], form="hdf5")
    next(folder.rglob("*.hdf5")).unlink()
    with pytest.raises(LogError, match="does not lie next to the metadata"):
        import_log([folder])
