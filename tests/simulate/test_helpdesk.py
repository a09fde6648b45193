from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from workbench.errors import ParameterError
from workbench.log.schema import validate
from workbench.simulate import END, Helpdesk, Task, drawn_tasks, policy_values, simulate
from workbench.simulate.helpdesk.states import (
    FIXES,
    Issue,
    informed_choices,
    ticket_calls,
    ticket_model,
    ticket_states,
)

PLAIN: dict[str, Any] = {"paraphrase": 0.0, "aliasing": 0.0, "slips": 0.0}
EXPERT = {**PLAIN, "skill": 1.0, "skill_spread": 0.0}


def one_ticket(world: Helpdesk) -> Task:
    return next(drawn_tasks(world, 1, 0))


def perform(task: Task, state: int, tool: str, **arguments: str) -> tuple[str, int, float]:
    """Make a call that does not time out; gives what is read then, the next state, the reward."""
    text = f"{tool} {json.dumps(arguments, sort_keys=True, separators=(',', ':'))}"
    pair = task.model.pairs_of(state).start + list(task.actions).index(text)
    feedback = task.narrator.feedback(pair, 0, np.random.default_rng(0))
    return feedback, int(task.model.next_state[pair, 0]), float(task.model.reward[pair, 0])


def solving_calls(task: Task) -> list[tuple[str, dict[str, str]]]:
    """Calls of an expert of the first ticket."""
    log = simulate(Helpdesk(**EXPERT), tasks=1, rollouts=1, seed=0)
    parts = [action.partition(" ") for action in log["action"]]
    assert set(log["action"]) <= set(task.actions)
    return [(tool, json.loads(arguments)) for tool, _, arguments in parts]


def test_an_informed_expert_solves_every_ticket_in_the_fewest_steps() -> None:
    log = simulate(Helpdesk(**EXPERT), tasks=20, rollouts=2, seed=0)
    assert log["success"].all()
    lengths = log.group_by("trajectory_id").len()["len"]
    # Verify, close, and for each of two devices: diagnose unless told, inspect, fix.
    assert lengths.is_between(6, 8).all()
    assert set(lengths) == {6, 7, 8}


def test_the_expert_does_not_know_what_nobody_found_out() -> None:
    # Two tickets that differ in their causes alone, which are hidden until a device is inspected.
    tickets = [
        ticket_states([Issue(device="phone", component=1, cause=cause, told=False)])
        for cause in (0, 3)
    ]
    calls = ticket_calls(1)
    one, other = (informed_choices(states, calls) for states in tickets)
    hidden = tickets[0].known[:, 0] < 2
    assert (one[hidden] == other[hidden]).all()
    assert not (one[~hidden] == other[~hidden]).all()
    # Nor can it tell a cure from a spoiled device.
    status = tickets[0].status[:, 0]
    assert (one[status == 1] == one[status == 2]).all()


def test_a_wrong_fix_spoils_for_good_and_reads_like_a_right_one() -> None:
    task = one_ticket(Helpdesk(**EXPERT))
    value = policy_values(task.model, task.policy, horizon=20, gamma=1.0)
    calls = solving_calls(task)
    cure = next(arguments for tool, arguments in calls if tool == "apply_fix")
    state = task.start
    for tool, arguments in calls[: calls.index(("apply_fix", cure))]:
        _, state, _ = perform(task, state, tool, **arguments)
    assert value[5, state] == 1.0
    wrong = next(fix for fix in FIXES if fix != cure["fix"])
    right_text, right_state, _ = perform(task, state, "apply_fix", **cure)
    wrong_text, wrong_state, _ = perform(task, state, "apply_fix", **{**cure, "fix": wrong})
    assert wrong_text == right_text.replace(cure["fix"], wrong)
    assert (value[5, right_state], value[5, wrong_state]) == (1.0, 0.0)
    # The cure comes too late, and a second, wrong fix spoils what was cured.
    _, after, _ = perform(task, wrong_state, "apply_fix", **cure)
    assert after == wrong_state
    _, after, _ = perform(task, right_state, "apply_fix", **{**cure, "fix": wrong})
    assert after == wrong_state


def test_a_fix_before_the_customer_is_verified_is_refused() -> None:
    task = one_ticket(Helpdesk(**EXPERT))
    cure = next(arguments for tool, arguments in solving_calls(task) if tool == "apply_fix")
    feedback, state, _ = perform(task, task.start, "apply_fix", **cure)
    assert feedback.startswith("Refused: the customer's identity is not confirmed.")
    assert state == task.start


def test_only_closing_a_solved_ticket_pays() -> None:
    task = one_ticket(Helpdesk(**EXPERT))
    assert perform(task, task.start, "close_ticket")[1:] == (END, 0.0)
    state, rewards = task.start, []
    for tool, arguments in solving_calls(task):
        _, state, reward = perform(task, state, tool, **arguments)
        rewards.append(reward)
    assert state == END
    assert rewards == [0.0] * (len(rewards) - 1) + [1.0]


def test_milestones_pay_each_cure_when_it_is_made() -> None:
    task = one_ticket(Helpdesk(**EXPERT, milestones=0.5))
    state = task.start
    paid: dict[str, list[float]] = {}
    for tool, arguments in solving_calls(task):
        _, state, reward = perform(task, state, tool, **arguments)
        paid.setdefault(tool, []).append(reward)
    # Half of the reward for two cures, a quarter each, and half for closing.
    assert paid["apply_fix"] == [0.25, 0.25]
    assert paid["close_ticket"] == [0.5]
    assert not any(paid["inspect"] + paid["verify_customer"])


def test_milestones_of_a_third_each_still_add_up_to_a_success() -> None:
    # Three shares of .7 / 3 and one of .3 sum to 1 only up to rounding.
    log = simulate(Helpdesk(**EXPERT, issues=3, milestones=0.7), tasks=3, rollouts=2, seed=0)
    assert log["success"].all()
    assert set(log["reward_source"]) == {"dense"}


def test_looking_is_worth_something_to_an_agent_that_does_not_know() -> None:
    log = simulate(Helpdesk(), tasks=10, rollouts=20, seed=0)
    task = list(drawn_tasks(Helpdesk(), 10, 0))
    looking = log.filter(
        pl.col("action").str.starts_with("run_diagnostic") & (pl.col("step_index") == 0)
    )
    told = [
        "fault in the" in task[int(group[-2:])].narrator.opening(np.random.default_rng(1))
        for group in looking["group_id"]
    ]
    untold = looking.filter(~pl.Series(told))
    assert untold.height > 20
    assert (untold["true_advantage"] > 0).all()


def test_calls_are_tool_names_and_canonical_json() -> None:
    log = simulate(Helpdesk(), tasks=3, rollouts=4, seed=0)
    for action in log["action"].unique():
        _, _, arguments = action.partition(" ")
        parsed = json.loads(arguments)
        assert json.dumps(parsed, sort_keys=True, separators=(",", ":")) == arguments


def test_a_ticket_log_keeps_the_rules_of_a_step_log() -> None:
    log = validate(simulate(Helpdesk(), tasks=6, rollouts=4, seed=2)).log
    last = pl.col("step_index") == pl.col("step_index").max().over("trajectory_id")
    checks = log.select(
        done_is_last=pl.col("done") == last,
        outcome_on_last=pl.col("reward") == (last & pl.col("success")).cast(pl.Float64),
        closed_or_cut=~last | (pl.col("action") == "close_ticket {}") | pl.col("truncated"),
        joined=last
        | (pl.col("next_observation") == pl.col("observation").shift(-1).over("trajectory_id")),
    )
    assert {name: checks[name].all() for name in checks.columns} == dict.fromkeys(
        checks.columns, True
    )


def test_plain_notes_say_all_that_the_agent_knows_and_nothing_more() -> None:
    log = simulate(Helpdesk(**PLAIN), tasks=5, rollouts=16, seed=0)
    first = log["observation"].str.contains("Identity: ")
    assert first.all()
    notes = log.with_columns(notes=pl.col("observation").str.extract(r"(Identity: .+)$"))
    by_notes = notes.group_by("group_id", "notes").agg(pl.col("admissible_actions").first())
    by_state = notes.group_by("group_id", "latent_state").agg(pl.col("notes").n_unique())
    assert (by_state["notes"] == 1).all()
    # Fixed and spoiled share their notes, so there are fewer notes than states.
    assert by_notes.height < by_state.height


def test_paraphrase_makes_every_text_new_and_leaves_the_moves() -> None:
    plain, worded = (
        simulate(Helpdesk(paraphrase=share, aliasing=alias), tasks=5, rollouts=8, seed=0)
        for share, alias in ((0.0, 0.0), (1.0, 0.5))
    )
    alone = pl.len().over("group_id", "observation") == 1
    assert plain.select(alone.mean()).item() < 0.3
    assert worded.select(alone.mean()).item() > 0.9
    texts = ["observation", "next_observation"]
    assert_frame_equal(plain.drop(texts), worded.drop(texts))


def test_aliased_states_hide_result_and_notes() -> None:
    log = simulate(Helpdesk(**{**PLAIN, "aliasing": 1.0}), tasks=2, rollouts=4, seed=0)
    later = log.filter(pl.col("step_index") > 0)
    assert set(later["observation"]) == {"The call was processed."}


def test_timeouts_change_nothing() -> None:
    log = simulate(Helpdesk(slips=0.3, paraphrase=0.0, aliasing=0.0), tasks=5, rollouts=8, seed=0)
    late = pl.col("next_observation").str.starts_with("The service did not answer.")
    after = log.with_columns(after=pl.col("latent_state").shift(-1).over("trajectory_id"))
    slipped = after.filter(late & ~pl.col("done"))
    assert (slipped["after"] == slipped["latent_state"]).all()
    # 500 steps or more: the standard error of a share of .3 is below .021.
    assert log.select(late.mean()).item() == pytest.approx(0.3, abs=0.07)


def test_skill_raises_success() -> None:
    chances = []
    for skill in (0.0, 0.4, 0.7, 1.0):
        world = Helpdesk(skill=skill, skill_spread=0.0)
        values = [
            policy_values(task.model, task.policy, horizon=20, gamma=1.0)[0, task.start]
            for task in drawn_tasks(world, 5, 0)
        ]
        chances.append(values)
    assert (np.diff(chances, axis=0) > 0).all()
    assert min(chances[-1]) > 0.99


def test_the_model_has_every_call_in_every_state() -> None:
    issues = [Issue(device="phone", component=0, cause=0, told=True)]
    model = ticket_model(ticket_states(issues), ticket_calls(1), slips=0.1, milestones=0.0)
    # Verified or not, three levels of knowledge, three of what became of the phone.
    assert model.states == 18
    # Verify, diagnose, three components, four fixes, update, close.
    assert np.diff(model.offsets).tolist() == [11] * 18


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"issues": 0}, r"issues must be an integer in \[1, 3\], got 0"),
        ({"milestones": 1.0}, r"milestones must be in \[0.0, 1.0\), got 1.0"),
        ({"slips": 1.0}, r"slips must be in \[0.0, 1.0\), got 1.0"),
    ],
)
def test_dials_out_of_range_are_refused(dials: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Helpdesk(**dials)
