"""The way from a log to credit on real rollouts, and agreement with a trainer's own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from workbench.log.facts import facts
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.readers import import_log
from workbench.states.space import Space
from workbench.workspace.pipeline import run


def steps_of(path: Path) -> Steps:
    return Steps.from_log(import_log([path]).validated.log)


def test_grpo_of_verl_agent_is_what_the_webshop_trainer_used(shared: Path):
    # Logged advantages are averages over a step's tokens, rounded; the source is known to agree
    # within 1e-4 on 97 % of the steps of this table and within .016 on all of them.
    steps = steps_of(shared / "data" / "webshop_grpo_dev.parquet")
    assert (steps.copies > 1).sum() == 14
    method = create("grpo:verl-agent", {"invalid_penalty": 0.1})
    ours = method(steps, Space(steps, embedder="tfidf")).advantage
    off = np.abs(ours - steps.column("logged_advantage").to_numpy())
    assert (off <= 1e-4).mean() >= 0.965
    assert off.max() <= 0.016


def test_the_right_grpo_differs_from_what_the_trainer_used(shared: Path):
    # The comparison above must be able to fail: over trajectories the numbers are others.
    steps = steps_of(shared / "data" / "webshop_grpo_dev.parquet")
    ours = create("grpo")(steps, Space(steps, embedder="tfidf")).advantage
    off = np.abs(ours - steps.column("logged_advantage").to_numpy())
    assert (off <= 1e-4).mean() < 0.7


def test_tau_bench_goes_all_the_way(shared: Path, tmp_path: Path):
    result = run([shared / "data" / "taubench_airline_gpt4o.parquet"], tmp_path, embedder="tfidf")
    assert (result.facts.groups, result.facts.trajectories, result.facts.rows) == (50, 200, 2454)
    assert result.facts.mixed_outcome_groups == 26
    assert result.comparison is not None
    assert result.comparison.compared == 2454


def test_tau_bench_results_as_they_come_go_all_the_way(shared: Path, tmp_path: Path):
    raw = shared / "data" / "raw" / "tau_bench_airline_3tasks_4trials.json"
    result = run([raw], tmp_path, embedder="tfidf")
    assert (result.facts.groups, result.facts.trajectories) == (3, 12)


def test_alfworld_mint_is_scored_by_every_method(shared: Path):
    steps = steps_of(shared / "data" / "alfworld_mint.parquet")
    assert (len(steps), steps.groups, steps.trajectories) == (24_401, 134, 6834)
    space = Space(steps, embedder="tfidf")
    for name in ("grpo", "rloo", "gigpo", "proxmo"):
        assert np.isfinite(create(name)(steps, space).advantage).all()


@pytest.mark.parametrize("name", ["grpo", "rloo", "gigpo", "proxmo"])
def test_webshop_react_has_groups_of_one_and_graded_rewards(shared: Path, name: str):
    steps = steps_of(shared / "data" / "webshop_react.parquet")
    credit = create(name)(steps, Space(steps, embedder="tfidf"))
    size = np.bincount(steps.trajectory_group)
    alone = size[steps.group] == 1
    assert alone.any()
    assert (credit.terms["episode"].value[alone] == 0.0).all()
    assert np.isfinite(credit.advantage).all()


def test_facts_agree_with_what_is_known_of_the_data(shared: Path):
    known = {
        "webshop_grpo_dev": (16, 0.438, 6, 0.095),
        "taubench_airline_gpt4o": (50, 0.420, 26, 0.617),
        "alfworld_mint": (134, 0.430, 134, 0.278),
        "alfworld_knowagent": (510, 0.310, 120, 0.234),
        "webshop_react": (500, 0.175, 145, 0.320),
    }
    for name, (groups, success, mixed, singletons) in known.items():
        found = facts(steps_of(shared / "data" / f"{name}.parquet").log)
        assert found.groups == groups
        assert found.success["rate"] == pytest.approx(success, abs=6e-4)
        assert found.mixed_outcome_groups == mixed
        assert found.singleton_rate == pytest.approx(singletons, abs=6e-4)


def test_originals_are_never_touched(shared: Path, tmp_path: Path):
    path = shared / "data" / "webshop_grpo_dev.parquet"
    before = path.read_bytes()
    run([path], tmp_path, methods=["grpo"])
    assert path.read_bytes() == before
    assert pl.read_parquet(path).columns == pl.read_parquet(before).columns
