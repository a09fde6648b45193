"""Gradients of a policy in training, and the truth that they are measured by."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from workbench.bench import conditions, gradients, prediction, scores
from workbench.bench.conditions import family_parts, trainable
from workbench.bench.episodes import play
from workbench.bench.gradient_measures import PARTS, Measures
from workbench.bench.gradients import measured
from workbench.bench.oracles import Truth, truth_of
from workbench.bench.policies import LinearPolicy
from workbench.bench.recipes import RECIPES
from workbench.bench.tables import gradient_rows
from workbench.bench.training import training
from workbench.errors import ParameterError, UnknownNameError
from workbench.methods import create
from workbench.simulate import drawn_tasks, policy_values
from workbench.simulate.helpdesk import Helpdesk
from workbench.simulate.household import Household

MODULE = importlib.import_module("workbench.bench.gradients")  # the package has a function of it
BASE = conditions(["household"], ["base"])[0]


def test_a_family_may_have_dials_of_its_own():
    cell = conditions(["helpdesk issues=1"], ["paraphrase=0"])[0]
    assert (cell.family, cell.name) == ("helpdesk issues=1", "paraphrase=0")
    usual = conditions(["helpdesk"], ["base"])[0].world
    assert isinstance(cell.world, Helpdesk)
    assert isinstance(usual, Helpdesk)
    assert (cell.world.issues, cell.world.paraphrase) == (1, 0.0)
    assert usual.issues != 1
    assert family_parts("codebase modules=2 bugs=1") == ("codebase", {"modules": 2, "bugs": 1})
    with pytest.raises(UnknownNameError, match="unknown dial of helpdesk 'isues'"):
        conditions(["helpdesk isues=1"])
    with pytest.raises(ParameterError, match="'issues=one' sets no dial"):
        conditions(["helpdesk issues=one"])


def test_a_world_too_hard_to_learn_is_refused_with_an_easier_one(tmp_path: Path):
    assert trainable("codebase") == "codebase modules=2 bugs=1"
    assert trainable("household") == "household"
    with pytest.raises(ParameterError, match=r"cannot be learned .*'helpdesk issues=1' can"):
        training(tmp_path, families=["household", "helpdesk"], seeds=1)
    assert not list(tmp_path.iterdir())


def test_values_of_a_history_are_means_of_what_comes_of_it():
    # A policy that likes all options alike, on one task: its exact value is known at the start by
    # the mean of many episodes of its own; 400 of them have a standard error below .03.
    assert isinstance(BASE.world, Household)
    tasks = list(drawn_tasks(replace(BASE.world, milestones=1.0), 1, 3))
    policy = LinearPolicy()
    horizon = BASE.world.horizon
    (episode,) = play(tasks, policy, episodes=1, horizon=horizon, seed=[1])
    truth = truth_of(tasks, [episode], policy, horizon=horizon, gamma=0.9, seed=[2], samples=400)
    many = play(tasks, policy, episodes=400, horizon=horizon, seed=[3])
    paid = [np.array(each.rewards) for each in many]
    expected = np.mean([rewards @ 0.9 ** np.arange(len(rewards)) for rewards in paid])
    assert abs(expected) > 0.01
    assert truth.value[0] == pytest.approx(expected, abs=0.05)
    # At the last step of a cut episode one reward is left.
    if len(episode.rewards) == horizon:
        assert abs(truth.value[-1]) <= 1.0
    assert len(truth.value) == len(episode.rewards)


def test_values_of_a_history_are_exact_where_the_policy_does_not_read():
    # Untrained, all options of a state are alike whatever was read: V is that of the latent state.
    assert isinstance(BASE.world, Household)
    (task,) = drawn_tasks(replace(BASE.world, milestones=1.0), 1, 3)
    horizon, samples = BASE.world.horizon, 300
    episodes = play([task], LinearPolicy(), episodes=4, horizon=horizon, seed=[1])
    truth = truth_of(
        [task], episodes, LinearPolicy(), horizon=horizon, gamma=0.9, seed=[2], samples=samples
    )
    size = np.diff(task.model.offsets)
    exact = policy_values(task.model, np.repeat(1 / size, size), horizon=horizon, gamma=0.9)
    expected = np.array([exact[t, z] for each in episodes for t, z in enumerate(each.states)])
    # Returns lie in [-1, 1], so a mean of 300 has a standard error of .06 at most, and the mean
    # over all steps, whose continuations are independent, one of .06/√steps.
    error = truth.value - expected
    assert np.abs(error).max() < 4 * 0.06
    assert abs(error.mean()) < 4 * 0.06 / np.sqrt(len(error))
    assert np.corrcoef(truth.value, expected)[0, 1] > 0.9


def test_playing_on_leaves_an_episode_as_it_was():
    tasks = list(drawn_tasks(BASE.world, 1, 3))
    (episode,) = play(tasks, None, episodes=1, horizon=5, seed=[1])
    before = (list(episode.rewards), list(episode.chosen), len(episode.decisions))
    truth_of(tasks, [episode], LinearPolicy(), horizon=5, gamma=0.9, seed=[2], samples=2)
    assert (episode.rewards, episode.chosen, len(episode.decisions)) == before


def test_oracles_by_hand():
    # One episode of two steps, γ 1/2: A = (0 + 3/2 − 1, 4 − 3), G − V = (0 + 4/2 − 1, 4 − 3).
    truth = Truth(
        reward=np.array([0.0, 4.0]), index=np.array([0, 1]), value=np.array([1.0, 3.0]), gamma=0.5
    )
    assert truth.advantage.tolist() == [0.5, 1.0]
    assert truth.beyond_value.tolist() == [1.0, 1.0]


def test_products_are_of_different_batches():
    # Two batches: g = (1, 0), (0, 1) share nothing; t = (1, 1) twice; v = 1, so u = g.
    gradient, truth = np.identity(2), np.ones((2, 2))
    found = measured(gradient, truth, np.ones(2))
    expected = {"gain": 1, "stepped": 1, "along": 1, "signal": 0, "square": 1, "true": 2}
    assert found == pytest.approx(expected)


def rows_of(*rows: dict[str, list[float]]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name, [1.0]) for name in PARTS} for row in rows])


def test_adam_scales_each_parameter():
    # The first parameter has a large gradient, the second a small one; Adam makes both 1.
    gradient, truth = np.tile([100.0, 1.0], (2, 1)), np.tile([0.0, 1.0], (2, 1))
    found = measured(gradient, truth, np.array([1e4, 1.0]))
    rows = rows_of({name: [value] for name, value in found.items()})
    assert Measures.of(rows).score == pytest.approx(1 / np.sqrt(2), abs=1e-7)


def test_measures_are_ratios_of_sums_over_seeds_and_conditions():
    found = Measures.of(
        rows_of(
            {"gain": [1.0, 9.0], "stepped": [2.0, 1.0], "along": [1.0, 0.0], "signal": [1.0, -1.0],
             "square": [2.0, 1.0], "true": [4.0, -1.0]},
            {"gain": [3.0, 9.0], "stepped": [2.0, 1.0], "along": [3.0, 0.0], "signal": [3.0, 0.0],
             "square": [6.0, 1.0], "true": [-3.0, -1.0]},
        )
    )  # fmt: skip
    # 4 / √(4 · 1), 4 / √(4 · 1), √(4 / (8 − 4)); a mean square below 0 has no direction.
    first = (found.adam_cosine[0], found.bias_cosine[0], found.signal_to_noise[0])
    assert first == pytest.approx((2.0, 2.0, 1.0))
    assert np.isnan(found.adam_cosine[1])
    assert np.isnan(found.bias_cosine[1])
    assert found.signal_to_noise[1] == 0.0
    assert found.score == 2.0  # of the point where it is known


def test_a_zero_credit_has_an_adam_cosine_of_0_and_no_truth_gives_none():
    assert Measures.of(rows_of({"stepped": [0.0], "gain": [0.0]})).score == 0.0
    assert np.isnan(Measures.of(rows_of({"true": [-1.0]})).score)


def predicted(areas: dict[str, float], values: dict[str, float]) -> pl.DataFrame:
    where = {"family": ["w"] * len(areas), "condition": ["base"] * len(areas)}
    trained = pl.DataFrame({**where, "method": list(areas), "area": list(areas.values())})
    measured = pl.DataFrame({**where, "method": list(values), "score": list(values.values())})
    return prediction(measured, trained)


def test_the_correlation_is_over_methods_and_its_interval_over_draws_of_them():
    areas = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.25}
    values = {"a": 1.0, "b": 3.0, "c": 4.0, "d": 2.0}
    found = predicted(areas, values)
    assert found["family"].to_list() == ["w", "w", None]
    assert found["condition"].to_list() == ["base", None, None]
    # Ranks 1 2 4 3 and 1 3 4 2: 1 − 6 · 2 / (4 · 15) = .8.
    assert found["correlation"].to_list() == pytest.approx([0.8] * 3)
    assert spearmanr(list(areas.values()), list(values.values())).statistic == pytest.approx(0.8)
    assert (found["low"] < 0.8).all()
    assert (found["high"] == 1.0).all()


def test_the_truth_is_its_own_measure_and_what_is_there_is_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    tiny = replace(RECIPES["linear"], pool=6, held_out=4, batch=2, imitation_steps=30)
    monkeypatch.setitem(RECIPES, "linear", tiny)
    monkeypatch.setattr(MODULE, "POINTS", (0, 1, 2))
    monkeypatch.setattr(MODULE, "BATCHES", 3)
    chosen = {"grpo": create("grpo"), "turn-gae": create("turn-gae"), "oracle-advantage": None}
    where: dict[str, Any] = {"families": ["household"], "names": ["base"], "seeds": 1, "workers": 1}
    found = gradients(tmp_path, methods=chosen, batches=3, **where)
    grpo, gae, truth = found.iter_rows(named=True)
    assert [len(truth[name]) for name in PARTS] == [3] * len(PARTS)
    assert truth["along"] == pytest.approx(truth["signal"])
    assert truth["along"] == pytest.approx(truth["true"])
    assert "critic_value" in gae["missing"]
    assert gae["gain"] is None
    assert set(scores(found)["method"]) <= {"grpo", "oracle-advantage"}
    assert grpo["missing"] is None
    shards = sorted((tmp_path / "shards").iterdir())
    again = gradients(tmp_path, methods=chosen, batches=3, **where)
    assert again.equals(found)
    assert sorted((tmp_path / "shards").iterdir()) == shards


def test_a_table_has_a_method_a_row_the_best_first_and_none_that_is_missing():
    one, three = {name: [1.0] for name in PARTS}, {name: [3.0] for name in PARTS}
    given = {"b": one | {"square": [2.0]}, "a": three | {"gain": [6.0], "square": [6.0]}}
    unknown = one | {"true": [-1.0], "square": [2.0]}
    missing: dict[str, Any] = dict.fromkeys(PARTS)
    rows = [{"method": name, **row} for name, row in {"d": unknown, **given, "c": missing}.items()]
    schema: dict[str, Any] = {"method": pl.String, **dict.fromkeys(PARTS, pl.List(pl.Float64))}
    # a: 6 / √(3 · 3) and √(3 / (6 − 3)).
    found = gradient_rows(pl.DataFrame(rows, schema=schema))
    assert [(row["method"], row["adam cosine"]) for row in found] == [
        ("a", "2.000"), ("b", "1.000"), ("d", "nan"),
    ]  # fmt: skip
    assert found[0]["bias cosine"] == found[0]["signal to noise"] == "1.000"
