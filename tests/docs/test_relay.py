"""The bundled log of a team: made by its script, read by every method of agents and trees."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from places import DATA
from polars.testing import assert_frame_equal
from scipy.stats import spearmanr

from workbench.analysis.decomposition import decompose
from workbench.log.nodes import sharing
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.states.space import Space


@pytest.fixture(scope="module")
def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_relay", DATA / "make_relay.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def space() -> Space:
    steps = Steps.from_log(validate(pl.read_parquet(DATA / "relay.parquet")).log)
    return Space(steps, embedder="tfidf")


def test_the_script_makes_the_bundled_log(made: ModuleType):
    assert_frame_equal(made.relay(), pl.read_parquet(DATA / "relay.parquet"))


def test_the_bundled_log_is_as_its_readme_says(space: Space):
    log = space.steps.log
    assert [log[name].n_unique() for name in ("group_id", "trajectory_id")] == [24, 144]
    assert log.height == 864
    assert log["replay_returns"].list.len().unique().to_list() == [8]
    # Three first plans a task, each shared by two rollouts.
    found = sharing(log)
    assert (found.shared, found.groups) == (3 * 24, 24)
    assert (DATA / "relay.parquet").stat().st_size < 200_000


def test_true_advantages_are_zero_in_the_mean_over_what_could_be_said(made: ModuleType):
    task = made.Task(3, 4, 5, 0.5)
    for stage in range(len(made.STAGES)):
        state = made.State(good_plan=True, right=stage > 1, accepted=stage > 2)
        possible = made.outcomes(task, stage, state)
        mean = sum(chance * made.value(task, stage + 1, then) for chance, then in possible)
        assert sum(chance for chance, _ in possible) == pytest.approx(1.0)
        assert mean == pytest.approx(made.value(task, stage, state))


def test_values_are_what_replays_come_to(made: ModuleType):
    rng = np.random.default_rng(1)
    task, state = made.Task(3, 4, 5, 0.5), made.State()
    mean = np.mean([made.played(task, 0, state, rng) for _ in range(2000)])
    assert mean == pytest.approx(made.value(task, 0, state), abs=0.03)


@pytest.mark.parametrize("method", ["dr-mas", "treemem", "spo", "treerl", "c3", "vineppo"])
def test_the_methods_of_teams_and_trees_read_it(space: Space, method: str):
    found = create(method)(space.steps, space)
    assert np.abs(found.advantage).max() > 0.1


def test_replays_find_the_true_credit_better_than_the_outcome(space: Space):
    true = space.steps.column("true_advantage").to_numpy()
    rank = {
        method: spearmanr(create(method)(space.steps, space).advantage, true).statistic
        for method in ("vineppo", "grpo")
    }
    assert rank["vineppo"] > rank["grpo"] + 0.1


def test_the_true_credit_is_larger_where_the_last_word_is_said(space: Space):
    log = space.steps.log
    credit = log.select(
        "group_id", "trajectory_id", "step_index", advantage=pl.col("true_advantage")
    )
    found = decompose(log, credit)
    cells = {(role, round_): share for role, round_, *_, share in found.cells.iter_rows()}
    assert max(cells, key=lambda cell: cells[cell]) == ("checker", 1)
    assert found.residual > 0.95
