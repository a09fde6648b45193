"""The household: its values, its texts, its dials, and the bundled log."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import polars as pl
import pytest
from narrow import number
from places import DATA
from polars.testing import assert_frame_equal

from workbench.errors import ParameterError, UnknownNameError
from workbench.simulate import (
    WORLDS,
    Household,
    Task,
    action_values,
    policy_values,
    sampled_returns,
    simulate,
)
from workbench.simulate.model import (
    steps_to_end,
)

SAMPLE = DATA / "household.parquet"
PLAIN: dict[str, Any] = {"paraphrase": 0.0, "aliasing": 0.0, "slips": 0.0}


def drawn_task(world: Household, index: int) -> Task:
    return world.task(index, np.random.default_rng(np.random.SeedSequence(0, spawn_key=(index, 0))))


def perform(task: Task, state: int, text: str) -> tuple[str, int]:
    """Do what a text says, without a slip; gives what is read then and the next state."""
    pairs = task.model.pairs_of(state)
    names = [task.actions[action] for action in task.model.action[pairs]]
    pair = pairs.start + names.index(text)
    feedback = task.narrator.feedback(pair, 0, np.random.default_rng(0))
    return feedback, int(task.model.next_state[pair, 0])


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("gamma", [1.0, 0.95])
def test_exact_values_agree_with_long_monte_carlo(index: int, gamma: float) -> None:
    world = Household(skill=0.45, skill_spread=0.0)
    task = drawn_task(world, index)
    value = policy_values(task.model, task.policy, horizon=30, gamma=gamma)
    rng = np.random.default_rng(index)
    middling = int(np.argmin(np.abs(value[12] - 0.5)))
    for state, time in [(task.start, 0), (middling, 12), (int(rng.integers(task.model.states)), 5)]:
        returns = sampled_returns(
            task.model,
            task.policy,
            state=state,
            steps=30 - time,
            gamma=gamma,
            samples=30_000,
            rng=rng,
        )
        error = returns.std(ddof=1) / np.sqrt(len(returns))
        assert abs(returns.mean() - value[time, state]) < 4 * error + 1e-4


def test_success_in_a_long_log_agrees_with_its_first_value() -> None:
    log = simulate(Household(horizon=20), tasks=2, rollouts=300, seed=4)
    first = log.filter(pl.col("step_index") == 0)
    for _, group in first.group_by("group_id"):
        chance = group["true_value"][0]
        error = np.sqrt(chance * (1 - chance) / group.height)
        assert abs(group["success"].mean() - chance) < 3 * error


def test_advantages_have_mean_zero_under_the_policy_at_every_state_and_time() -> None:
    task = drawn_task(Household(gamma=0.9), 1)
    value = policy_values(task.model, task.policy, horizon=30, gamma=0.9)
    for time in range(30):
        quality = action_values(task.model, value[time + 1], gamma=0.9)
        advantage = quality - np.repeat(value[time], np.diff(task.model.offsets))
        mean = np.add.reduceat(task.policy * advantage, task.model.offsets[:-1])
        np.testing.assert_allclose(mean, 0.0, atol=1e-12)


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_without_slips_the_advantage_is_the_gain_in_value(gamma: float) -> None:
    # Every action has one outcome, so Q_t(z, a) = r_t + γ · V_{t+1}(z_{t+1}) along the log.
    log = simulate(Household(slips=0.0, gamma=gamma), tasks=5, rollouts=4, seed=1)
    following = pl.col("true_value").shift(-1, fill_value=0.0).over("trajectory_id")
    gain = log.select(pl.col("reward") + gamma * following - pl.col("true_value")).to_series()
    np.testing.assert_allclose(log["true_advantage"], gain, atol=1e-12)


def test_the_value_never_leaves_the_unit_interval() -> None:
    log = simulate(Household(), tasks=5, rollouts=4, seed=1)
    assert log["true_value"].is_between(0.0, 1.0 + 1e-12).all()


def test_a_perfect_policy_takes_a_shortest_way() -> None:
    world = Household(**PLAIN, skill=1.0, skill_spread=0.0)
    log = simulate(world, tasks=5, rollouts=2, seed=0)
    for index, (_, group) in enumerate(log.group_by("group_id", maintain_order=True)):
        task = drawn_task(world, index)
        shortest = steps_to_end(task.model)[task.model.pairs_of(task.start)].min()
        assert number(group["step_index"].max()) + 1 == shortest
        assert group["success"].all()
        np.testing.assert_allclose(group["true_advantage"], 0.0, atol=1e-12)


def test_a_success_on_the_last_possible_step_is_not_truncated() -> None:
    dials = {**PLAIN, "skill": 1.0, "skill_spread": 0.0}
    shortest = simulate(Household(**dials), tasks=1, rollouts=1, seed=0).height
    log = simulate(Household(**dials, horizon=shortest), tasks=1, rollouts=1, seed=0)
    assert log.row(-1, named=True)["success"]
    assert not log.row(-1, named=True)["truncated"]


def test_milestones_share_out_the_same_reward_on_the_way() -> None:
    plain, shared = (
        simulate(Household(milestones=share), tasks=5, rollouts=8, seed=0) for share in (0.0, 0.5)
    )
    # The moves are the same; a success is worth 1 either way, a failure at most its share.
    assert plain.drop("reward", "reward_source", "true_value", "true_advantage").equals(
        shared.drop("reward", "reward_source", "true_value", "true_advantage")
    )
    ends = shared.group_by("trajectory_id").agg(pl.col("reward").sum(), pl.col("success").first())
    solved = ends.filter("success")["reward"]
    failed = ends.filter(~pl.col("success"))["reward"]
    np.testing.assert_allclose(solved, 1.0)
    assert failed.is_between(0.0, 0.5, closed="left").all()
    assert number(failed.max()) > 0.0
    assert set(shared["reward_source"]) == {"dense"}
    assert set(plain["reward_source"]) == {"terminal"}
    # What was taken and put back is paid and taken back.
    assert number(shared["reward"].min()) < 0.0


def test_a_treatment_shows_and_its_opposite_undoes_it() -> None:
    world = Household(**PLAIN, skill=1.0, skill_spread=0.0)
    log = simulate(world, tasks=3, rollouts=1, seed=0)
    task = drawn_task(world, 2)
    heating = log.filter(pl.col("action").str.starts_with("heat ")).row(0, named=True)
    thing = heating["action"].split()[1]
    state = heating["latent_state"]
    read = []
    for text in (
        "inventory",
        f"heat {thing} 1 with microwave 1",
        "inventory",
        "go to fridge 1",
        f"cool {thing} 1 with fridge 1",
        "inventory",
    ):
        feedback, state = perform(task, state, text)
        read.append(feedback)
    assert read[0] == f"You are carrying: a {thing} 1."
    assert read[2] == f"You are carrying: a hot {thing} 1."
    assert read[5] == read[0]


def test_only_the_target_can_be_treated_as_asked() -> None:
    task = drawn_task(Household(**PLAIN), 1)
    target = task.text.split()[3]
    assert task.text.startswith("put a clean ")
    state = np.repeat(np.arange(task.model.states), np.diff(task.model.offsets))
    others = [
        number
        for number, text in enumerate(task.actions)
        if text.startswith("clean ") and not text.startswith(f"clean {target} ")
    ]
    about_others = np.isin(task.model.action, others)
    assert about_others.any()
    assert (task.model.next_state[about_others, 0] == state[about_others]).all()


def test_each_goal_asks_for_what_it_says() -> None:
    world = Household(**PLAIN, skill=1.0, skill_spread=0.0)
    log = simulate(world, tasks=5, rollouts=1, seed=0)
    ways = log.group_by("group_id", maintain_order=True).agg("action", pl.col("task").first())
    for verb, condition, (actions, goal) in zip(
        ["take", "clean", "heat", "cool", "put"],
        ["put a", "clean", "hot", "cool", "two"],
        ways.select("action", "task").iter_rows(),
        strict=True,
    ):
        assert condition in goal
        verbs = [action.split()[0] for action in actions]
        assert verb in verbs[:-1]
        assert verbs[-1] == "put"
        assert verbs.count("put") == (2 if condition == "two" else 1)


def test_texts_read_like_a_household() -> None:
    log = simulate(Household(**PLAIN), tasks=5, rollouts=4, seed=0)
    first = log.filter(pl.col("step_index") == 0)["observation"]
    opening = r"^You are in the middle of the .+ you see a .+\. Your task is to: (put|find) .+\.$"
    assert first.str.contains(opening).all()
    for action, feedback in [
        (r"^take (.+) from (.+)$", "You pick up the $1 from the $2."),
        (r"^put (.+) (in|on) (.+)$", "You put the $1 $2 the $3."),
        (r"^close (.+)$", "You close the $1."),
        (r"^clean (.+) with (.+)$", "You clean the $1 using the $2."),
    ]:
        done = log.filter(pl.col("action").str.contains(action))
        assert done.height > 0
        assert (done["action"].str.replace(action, feedback) == done["next_observation"]).all()
    arrived = log.filter(pl.col("action").str.contains(r"^go to .+ \d$"))
    assert arrived["next_observation"].str.contains(r"^You arrive at .+ (you see|is closed)").all()


def test_what_is_behind_a_door_is_seen_and_taken_only_when_it_is_open() -> None:
    log = simulate(Household(**PLAIN), tasks=10, rollouts=4, seed=0)
    closed = log.filter(pl.col("observation").str.contains("is closed"))
    openings = pl.col("admissible_actions").list.join("; ")
    assert closed.height > 0
    assert closed.select(openings.str.contains("open ").all()).item()
    assert not closed.select(openings.str.contains("take |put ").any()).item()
    looked = closed.filter(pl.col("action") == "look")
    assert looked.height > 0
    assert looked["next_observation"].str.contains("is closed").all()
    opened = log.filter(pl.col("action").str.starts_with("open "))
    assert opened["next_observation"].str.contains("you see").all()


def test_a_log_keeps_the_rules_of_a_step_log() -> None:
    log = simulate(Household(), tasks=6, rollouts=4, seed=2)
    assert log.select(pl.struct("group_id", "trajectory_id", "step_index").is_sorted()).item()
    last = pl.col("step_index") == pl.col("step_index").max().over("trajectory_id")
    checks = log.select(
        contiguous=pl.col("step_index") == pl.int_range(pl.len()).over("trajectory_id"),
        within_horizon=pl.col("step_index") < 30,
        done_is_last=pl.col("done") == last,
        outcome_on_last=pl.col("reward") == (last & pl.col("success")).cast(pl.Float64),
        cut_off=pl.col("truncated") == (last & ~pl.col("success")),
        cut_at_horizon=~pl.col("truncated") | (pl.col("step_index") == 29),
        admissible=pl.col("admissible_actions").list.contains(pl.col("action")),
        joined=last
        | (pl.col("next_observation") == pl.col("observation").shift(-1).over("trajectory_id")),
    )
    assert {name: checks[name].all() for name in checks.columns} == dict.fromkeys(
        checks.columns, True
    )
    assert log["trajectory_id"][0] == "household-s2/task-00/rollout-0"
    assert log["run_id"].unique().to_list() == ["household-s2"]
    assert log["reward_source"].unique().to_list() == ["terminal"]
    assert log.null_count().sum_horizontal().item() == 0


def test_slips_happen_as_often_as_said_and_change_nothing() -> None:
    log = simulate(Household(slips=0.2, paraphrase=0.0), tasks=5, rollouts=20, seed=0)
    slipped = log.filter(pl.col("next_observation") == "Nothing happens.")
    # The standard error of a share of .2 in more than 2000 steps is below .009.
    assert slipped.height / log.height == pytest.approx(0.2, abs=0.03)
    following = log.with_columns(
        after=pl.col("latent_state").shift(-1).over("trajectory_id")
    ).filter((pl.col("next_observation") == "Nothing happens.") & ~pl.col("done"))
    assert (following["after"] == following["latent_state"]).all()
    without = simulate(Household(slips=0.0, paraphrase=0.0), tasks=5, rollouts=4, seed=0)
    assert not without["next_observation"].str.contains("Nothing happens").any()


def test_paraphrase_makes_equal_states_differ_in_text() -> None:
    plain, reworded = (
        simulate(Household(paraphrase=share), tasks=5, rollouts=8, seed=0) for share in (0.0, 1.0)
    )
    alone = pl.len().over("group_id", "observation") == 1
    assert plain.select(alone.mean()).item() < 0.1
    assert reworded.select(alone.mean()).item() > 0.98
    assert set(plain["observation"]).isdisjoint(reworded["observation"])


def test_wording_leaves_the_moves_as_they_are() -> None:
    texts = ["observation", "next_observation"]
    plain = simulate(Household(**{**PLAIN, "slips": 0.1}), tasks=5, rollouts=3, seed=0)
    worded = simulate(
        Household(slips=0.1, paraphrase=0.7, aliasing=0.6), tasks=5, rollouts=3, seed=0
    )
    assert_frame_equal(plain.drop(texts), worded.drop(texts))


def test_without_wording_and_aliases_the_text_follows_from_state_and_action() -> None:
    log = simulate(Household(**PLAIN), tasks=5, rollouts=16, seed=0)
    texts = log.group_by("group_id", "latent_state", "action").agg(
        pl.col("next_observation").n_unique()
    )
    assert (texts["next_observation"] == 1).all()


def test_aliasing_merges_states_and_does_so_at_every_visit() -> None:
    world = Household(**{**PLAIN, "aliasing": 0.5})
    later = simulate(world, tasks=5, rollouts=16, seed=0).filter(pl.col("step_index") > 0)
    visits = later.group_by("group_id", "latent_state").agg(
        vague=pl.col("observation").str.starts_with("You are somewhere in the").mean()
    )
    assert visits["vague"].is_in([0.0, 1.0]).all()
    assert visits["vague"].mean() == pytest.approx(0.5, abs=0.1)
    clear = simulate(Household(**PLAIN), tasks=5, rollouts=16, seed=0)
    sharing = pl.col("latent_state").n_unique().over("group_id", "observation").mean()
    unaliased = clear.filter(pl.col("step_index") > 0).select(sharing).item()
    assert later.select(sharing).item() > 2 * unaliased


def test_a_larger_share_of_aliases_contains_a_smaller_one() -> None:
    masks = [
        drawn_task(Household(aliasing=share), 0).narrator.aliased  # type: ignore[attr-defined]
        for share in (0.0, 0.2, 0.7, 1.0)
    ]
    assert not masks[0].any()
    assert masks[3].all()
    assert (masks[1] <= masks[2]).all()


def test_skill_raises_success() -> None:
    chances = []
    for skill in (0.0, 0.3, 0.6, 1.0):
        world = Household(skill=skill, skill_spread=0.0)
        tasks = [drawn_task(world, index) for index in range(5)]
        chances.append(
            [
                policy_values(task.model, task.policy, horizon=30, gamma=1.0)[0, task.start]
                for task in tasks
            ]
        )
    assert (np.diff(chances, axis=0) > 0).all()
    assert min(chances[-1]) > 0.99


def test_a_blind_policy_takes_every_admissible_action_equally_often() -> None:
    task = drawn_task(Household(skill=0.0, skill_spread=0.0), 0)
    counts = np.diff(task.model.offsets)
    np.testing.assert_allclose(task.policy, 1.0 / np.repeat(counts, counts))


def test_a_horizon_below_the_shortest_way_always_fails() -> None:
    log = simulate(Household(horizon=2), tasks=3, rollouts=2, seed=0)
    assert not log["success"].any()
    assert (log["true_value"] == 0.0).all()


def test_the_same_arguments_give_the_same_bytes() -> None:
    files = []
    for _ in range(2):
        files.append(io.BytesIO())
        simulate(Household(), tasks=3, rollouts=2, seed=7).write_parquet(files[-1])
    assert files[0].getvalue() == files[1].getvalue()


def test_another_seed_gives_another_log() -> None:
    logs = [simulate(Household(), tasks=2, rollouts=2, seed=seed) for seed in (0, 1)]
    assert set(logs[0]["trajectory_id"]).isdisjoint(logs[1]["trajectory_id"])
    assert logs[0]["action"].to_list() != logs[1]["action"].to_list()


def test_a_task_does_not_depend_on_how_many_are_asked_for() -> None:
    few = simulate(Household(), tasks=2, rollouts=2, seed=3)
    many = simulate(Household(), tasks=4, rollouts=3, seed=3)
    assert_frame_equal(
        few, many.filter(pl.col("trajectory_id").is_in(few["trajectory_id"].unique().implode()))
    )


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"slips": 1.0}, r"slips must be in \[0.0, 1.0\), got 1.0"),
        ({"paraphrase": 1.5}, r"paraphrase must be in \[0.0, 1.0\], got 1.5"),
        ({"aliasing": -0.1}, r"aliasing must be in \[0.0, 1.0\], got -0.1"),
        ({"skill": float("nan")}, r"skill must be in \[0.0, 1.0\], got nan"),
        ({"skill_spread": 0.6}, r"skill_spread must be in \[0.0, 0.5\], got 0.6"),
        ({"gamma": 2}, r"gamma must be in \[0.0, 1.0\], got 2"),
        ({"horizon": 0}, r"horizon must be an integer in \[1, 200\], got 0"),
        ({"rooms": 4}, r"rooms must be an integer in \[1, 3\], got 4"),
        ({"rooms": 1.5}, r"rooms must be an integer in \[1, 3\], got 1.5"),
        ({"receptacles": 5}, r"receptacles must be an integer in \[6, 12\], got 5"),
        ({"objects": True}, r"objects must be an integer in \[2, 3\], got True"),
        ({"skill": "much"}, r"skill must be in \[0.0, 1.0\], got much"),
    ],
)
def test_dials_out_of_range_are_refused(dials: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Household(**dials)


@pytest.mark.parametrize("wrong", [{"tasks": 0}, {"rollouts": 0}, {"seed": -1}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ParameterError, match="must be at least"):
        simulate(Household(), **{"tasks": 1, "rollouts": 1, "seed": 0, **wrong})


@pytest.mark.parametrize(
    "dials",
    [
        {"rooms": 1, "receptacles": 6, "objects": 2},
        {"rooms": 3, "receptacles": 6, "objects": 3},
        {"rooms": 3, "receptacles": 12, "objects": 2},
    ],
)
def test_the_smallest_and_largest_houses_can_be_solved(dials: dict[str, int]) -> None:
    world = Household(**dials, skill=1.0, skill_spread=0.0, slips=0.0)
    assert simulate(world, tasks=5, rollouts=1, seed=0)["success"].all()


def test_worlds_are_found_by_name() -> None:
    assert WORLDS["household"] is Household
    assert WORLDS["household"] is Household
    assert Household.name == "household"
    with pytest.raises(UnknownNameError, match=r"unknown world 'househld'; expected .*'household'"):
        WORLDS["househld"]


def test_the_sample_log_is_what_the_defaults_give() -> None:
    assert SAMPLE.stat().st_size < 1_000_000
    log = simulate(Household(), tasks=20, rollouts=8, seed=0)
    assert_frame_equal(pl.read_parquet(SAMPLE), log)
    solved = log.filter("done").group_by("group_id").agg(pl.col("success").mean())["success"]
    assert 0.4 < number(solved.mean()) < 0.6
    assert (solved == 0.0).any()
    assert (solved == 1.0).any()
    assert number(solved.is_between(0.0, 1.0, closed="none").mean()) > 0.5
