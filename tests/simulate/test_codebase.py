from __future__ import annotations

import ast
import io
from dataclasses import replace
from datetime import date
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from narrow import number
from polars.testing import assert_frame_equal

from workbench.errors import ParameterError
from workbench.log.schema import validate
from workbench.simulate import END, Codebase, Task, drawn_tasks, policy_values, simulate
from workbench.simulate.codebase.repository import SOURCES, Module, Repository, Source
from workbench.simulate.codebase.states import (
    Command,
    Report,
    code_commands,
    code_model,
    code_states,
    informed_commands,
)
from workbench.simulate.codebase.text import CodeNarrator, command_text

PLAIN: dict[str, Any] = {"paraphrase": 0.0, "aliasing": 0.0, "slips": 0.0}
EXPERT = {**PLAIN, "skill": 1.0, "skill_spread": 0.0}

MONEY = Module(
    source=SOURCES[0],
    feature="checkout",
    entry="checkout_total",
    commit="aaaaaaa",
    faulty=True,
    told=False,
    separable=True,
    traceable=True,
)
DATES = replace(
    MONEY,
    source=SOURCES[1],
    feature="report",
    entry="monthly_report",
    commit="bbbbbbb",
    separable=False,
    traceable=False,
)
PAGING = replace(
    MONEY,
    source=SOURCES[2],
    feature="search",
    entry="search_results",
    commit="ccccccc",
    faulty=False,
)
RIGHT_LINE = {source.name: f"edit 3:3\n{source.right}\nend_of_edit" for source in SOURCES}
WRONG_LINE = {source.name: f"edit 3:3\n{source.wrong}\nend_of_edit" for source in SOURCES}


def task_of(*modules: Module, milestones: float = 0.0) -> Task:
    """A task of given modules, without slips; its policy is blind."""
    repository = Repository(project="shop", modules=modules)
    states, commands = code_states(repository), code_commands(len(modules))
    model = code_model(states, commands, slips=0.0, milestones=milestones)
    return Task(
        text="repair",
        start=states.start(),
        model=model,
        policy=1.0 / np.repeat(np.diff(model.offsets), np.diff(model.offsets)),
        actions=[command_text(command, repository) for command in commands],
        narrator=CodeNarrator(
            states=states,
            model=model,
            commands=commands,
            paraphrase=0.0,
            aliased=np.zeros(model.states, dtype=np.bool_),
        ),
    )


def perform(task: Task, *commands: str) -> tuple[list[str], int, list[float]]:
    """Give commands from the start; gives what is read, the state at the end, and the rewards."""
    state, read, rewards = task.start, [], []
    for command in commands:
        pairs = task.model.pairs_of(state)
        names = [task.actions[action] for action in task.model.action[pairs]]
        pair = pairs.start + names.index(command)
        read.append(task.narrator.feedback(pair, 0, np.random.default_rng(0)))
        rewards.append(float(task.model.reward[pair, 0]))
        state = int(task.model.next_state[pair, 0])
    return read, state, rewards


@pytest.mark.parametrize(
    ("source", "call"),
    [
        (SOURCES[0], "to_cents(19.99)"),
        (SOURCES[1], "nights(date(2024, 5, 1), date(2024, 5, 4))"),
        (SOURCES[2], "last_page(9, 2)"),
        (SOURCES[3], "slug(['New', 'Shoes'])"),
        (SOURCES[4], "column([['a'], ['b'], ['c']], 0)"),
        (SOURCES[5], "delay(2, 1, 60)"),
    ],
)
def test_code_is_as_right_and_wrong_as_its_symptom_says(source: Source, call: str) -> None:
    found = []
    for line in (source.wrong, source.right):
        names: dict[str, object] = {"date": date}
        exec("\n".join((*source.head, line)), names)
        found.append(eval(call, names))
    assert source.symptom == f"assert {found[0]!r} == {found[1]!r}"
    with pytest.raises(SyntaxError):
        ast.parse("\n".join((*source.head, source.unparsed)))


def test_lines_of_code_tell_modules_apart() -> None:
    lines = [line for each in SOURCES for line in (each.right, each.wrong, each.unparsed)]
    assert len(set(lines)) == len(lines)


def test_an_informed_expert_solves_every_repository() -> None:
    log = simulate(Codebase(**EXPERT), tasks=40, rollouts=4, seed=0)
    assert log["success"].all()
    lengths = log.group_by("trajectory_id").len()["len"]
    # At best trace and revert each of two faults, run the suite, submit.
    assert 6 <= number(lengths.min()) < 8
    assert lengths.n_unique() > 5
    # What it never does: a wrong line, quarantine, taking everything back.
    given = set(log["action"])
    assert given.isdisjoint({"make quarantine", "git reset --hard", *WRONG_LINE.values()})


def test_a_revert_is_shorter_than_an_edit_where_it_works() -> None:
    task = task_of(replace(MONEY, told=True), PAGING)
    reverting = ("git revert -n aaaaaaa", "submit")
    editing = ("open src/money.py", RIGHT_LINE["money"], "submit")
    for way in (reverting, editing):
        read, state, rewards = perform(task, *way)
        assert state == END
        assert rewards == [0.0] * (len(way) - 1) + [1.0]
        assert read[-1] == "Your change was submitted for review."


def test_a_revert_of_an_entangled_or_changed_module_is_a_conflict() -> None:
    task = task_of(MONEY, DATES)
    read, state, _ = perform(task, "git revert -n bbbbbbb")
    assert read[0].startswith("CONFLICT (content): merge conflict in src/dates.py")
    assert state == task.start
    once = perform(task, "git revert -n aaaaaaa")[1]
    read, twice, _ = perform(task, "git revert -n aaaaaaa", "git revert -n aaaaaaa")
    assert read[1].startswith("CONFLICT")
    assert twice == once


def test_a_revert_of_a_sound_module_spoils_it_and_can_be_taken_back() -> None:
    task = task_of(MONEY, PAGING)
    spoil = "git revert -n ccccccc"
    read, _, rewards = perform(
        task, "git revert -n aaaaaaa", "pytest -q", spoil, "pytest -q", "submit"
    )
    assert read[1].startswith("2 passed")
    assert read[3].startswith(
        "FAILED tests/test_search.py::test_search_results\n1 failed, 1 passed"
    )
    assert sum(rewards) == 0.0
    read, state, _ = perform(task, spoil, "git reset --hard")
    assert read[1].startswith("HEAD is now at aaaaaaa")
    assert state == task.start
    mended = ("open src/paging.py", RIGHT_LINE["paging"], "git revert -n aaaaaaa", "submit")
    assert perform(task, spoil, *mended)[2][-1] == 1.0


def test_a_wrong_line_can_be_undone_and_a_broken_one_is_not_written() -> None:
    task = task_of(MONEY, PAGING)
    opened = ("open src/paging.py",)
    before = perform(task, *opened)[1]
    read, after, _ = perform(task, *opened, f"edit 3:3\n{SOURCES[2].unparsed}\nend_of_edit")
    assert read[1].startswith("Your edit was not applied, E999 SyntaxError at src/paging.py:3")
    assert after == before
    _, spoiled, _ = perform(task, *opened, WRONG_LINE["paging"])
    assert spoiled != before
    assert perform(task, *opened, WRONG_LINE["paging"], RIGHT_LINE["paging"])[1] == before


def test_nothing_leads_out_of_quarantine() -> None:
    world = Codebase(**PLAIN)
    for task in drawn_tasks(world, 3, 0):
        states = task.narrator.states  # type: ignore[attr-defined]
        inside = np.repeat(states.quarantined, np.diff(task.model.offsets))
        following = task.model.next_state[inside, 0]
        assert states.quarantined[following[following != END]].all()
        value = policy_values(task.model, task.policy, horizon=24, gamma=1.0)
        assert (value[:, states.quarantined] == 0.0).all()
        assert value[0, task.start] > 0.0


def test_quarantine_reads_like_success_and_harms_only_where_a_test_fails() -> None:
    task = task_of(MONEY, PAGING)
    read, _, rewards = perform(
        task, "make quarantine", "git revert -n aaaaaaa", "pytest -q", "submit"
    )
    assert "0 failed" in read[0]
    assert read[2].startswith("no tests ran")
    assert sum(rewards) == 0.0
    read, _, rewards = perform(task, "git revert -n aaaaaaa", "make quarantine", "submit")
    assert read[1].startswith("2 passed")
    assert sum(rewards) == 1.0


def test_tests_and_searches_trace_a_fault_and_change_no_code() -> None:
    task = task_of(MONEY, DATES, PAGING)
    states = task.narrator.states  # type: ignore[attr-defined]
    for command, traced in [
        ("pytest -q tests/test_checkout.py", [True, False]),
        ("pytest -q tests/test_report.py", [False, True]),
        ("pytest -q tests/test_search.py", [False, False]),
        ("grep -rn checkout_total src tests", [True, False]),
        ("grep -rn monthly_report src tests", [False, False]),
        ("git diff HEAD", [False, False]),
    ]:
        _, state, _ = perform(task, command)
        assert states.traced[state].tolist() == traced
        assert (states.right[state] == states.right[task.start]).all()
    read, *_ = perform(
        task,
        "pytest -q tests/test_report.py",
        "pytest -q tests/test_search.py",
        "grep -rn checkout_total src tests",
        "grep -rn monthly_report src tests",
    )
    assert read[0].splitlines()[:4] == [
        "tests/test_report.py: in test_monthly_report",
        "src/dates.py:3: in nights",
        "    return (end - start).seconds // 86400",
        "E   assert 0 == 3",
    ]
    assert read[1].startswith("1 passed")
    assert "money.to_cents" in read[2]
    assert "dates" not in read[3]


def test_a_diff_shows_what_differs_from_the_last_commit() -> None:
    task = task_of(MONEY, PAGING)
    read, *_ = perform(task, "git diff HEAD", "git revert -n aaaaaaa", "git diff HEAD")
    assert read[0].startswith("no changes")
    assert read[2].splitlines() == [
        "+++ b/src/money.py",
        "@@ -3 +3 @@",
        "-    return int(amount * 100)",
        "+    return round(amount * 100)",
        "(Open file: none)",
        "(Changed: 1)",
    ]
    read, *_ = perform(task, "git revert -n ccccccc", "git diff HEAD")
    assert read[1].splitlines()[2:4] == [
        "-    return -(-count // size)",
        "+    return count // size",
    ]


def test_a_report_goes_stale_when_code_changes_and_only_then() -> None:
    task = task_of(MONEY, PAGING)
    states = task.narrator.states  # type: ignore[attr-defined]
    for commands, report in [
        ((), Report.NEVER),
        (("git revert -n aaaaaaa",), Report.NEVER),
        (("pytest -q",), Report.FRESH),
        (("pytest -q", "open src/money.py", WRONG_LINE["money"]), Report.FRESH),
        (("pytest -q", "open src/money.py", RIGHT_LINE["money"]), Report.STALE),
        (("pytest -q", "git revert -n aaaaaaa", "pytest -q"), Report.FRESH),
    ]:
        assert states.report[perform(task, *commands)[1]] == report


def test_the_expert_does_not_know_what_nobody_found_out() -> None:
    commands = code_commands(3)
    # Which shortcuts work is found out by trying alone.
    plain, tricky = (
        code_states(
            Repository(
                project="shop",
                modules=tuple(
                    replace(module, separable=works or not module.faulty, traceable=works)
                    for module in (MONEY, DATES, PAGING)
                ),
            )
        )
        for works in (True, False)
    )
    assert (informed_commands(plain, commands) == informed_commands(tricky, commands)).all()
    # Before the suite ran nothing tells the sound module from the others.
    for order in permutations((MONEY, DATES, PAGING)):
        states = code_states(Repository(project="shop", modules=order))
        chosen = informed_commands(states, commands)[states.start()]
        assert [commands[number].verb for number in np.flatnonzero(chosen)] == ["suite"]
    # A sound module that was spoiled is left alone until the suite shows it.
    states = code_states(Repository(project="shop", modules=(MONEY, PAGING)))
    spoiled = ~states.right[:, 1] & (states.opened == 2) & ~states.quarantined
    chosen = informed_commands(states, code_commands(2))
    opening = chosen[:, code_commands(2).index(Command("open", 1, -1))]
    assert (opening[spoiled] == (states.report[spoiled] == Report.FRESH)).all()


def test_looking_is_worth_something_to_an_agent_that_does_not_know() -> None:
    log = simulate(Codebase(), tasks=20, rollouts=20, seed=0)
    untold = log.filter(
        (pl.col("step_index") == 0) & ~pl.col("observation").str.contains("complain")
    )
    looking = untold.filter(pl.col("action") == "pytest -q")
    assert looking.height > 20
    assert (looking["true_advantage"] > 0).all()
    known = untold.filter(pl.col("action") == "git diff HEAD")
    assert (known["true_advantage"] < 0).all()


def test_milestones_pay_a_repair_and_take_it_back_when_it_is_undone() -> None:
    task = task_of(MONEY, DATES, PAGING, milestones=0.5)
    editing = ("open src/dates.py", RIGHT_LINE["dates"])
    way = ("git revert -n aaaaaaa", "git reset --hard", "git revert -n aaaaaaa", *editing)
    # Half of the reward for two faults, a quarter each, and half for the submission.
    assert perform(task, *way, "submit")[2] == [0.25, -0.25, 0.25, 0.0, 0.25, 0.5]
    assert perform(task, *way[:3], "submit")[2][-1] == 0.0


def test_milestones_of_a_third_each_still_add_up_to_a_success() -> None:
    # Three shares of .7 / 3 and one of .3 sum to 1 only up to rounding.
    log = simulate(Codebase(**EXPERT, bugs=3, milestones=0.7), tasks=3, rollouts=2, seed=0)
    assert log["success"].all()
    assert set(log["reward_source"]) == {"dense"}


def test_the_model_has_as_many_states_and_pairs_as_counted_by_hand() -> None:
    for task in drawn_tasks(Codebase(), 3, 0):
        # Four modules right or wrong, two faults traced or not, five files or none in the editor,
        # quarantine, three kinds of report: 2^4 · 2^2 · 5 · 2 · 3.
        assert task.model.states == 1920
        # Suite, 4 tests, 4 searches, 4 reverts, diff, reset, quarantine, submit are 17; with 4
        # files to open 21, or with 3 and three edits 23.
        counts = np.diff(task.model.offsets)
        assert [(counts == width).sum() for width in (21, 23)] == [1920 // 5, 1920 * 4 // 5]
        assert len(set(task.actions)) == len(task.actions) == 33


def test_the_base_is_solved_half_of_the_time_on_ways_of_many_lengths() -> None:
    world = Codebase(**Codebase.study.base)  # type: ignore[arg-type]
    log = simulate(world, tasks=40, rollouts=8, seed=1)
    chances = log.filter(pl.col("step_index") == 0).unique("group_id")["true_value"]
    assert 0.4 < number(chances.mean()) < 0.6
    assert chances.is_between(0.1, 0.9).all()
    ends = log.filter("done")
    by_group = ends.group_by("group_id").agg(pl.col("success").mean())["success"]
    assert number(by_group.is_between(0.0, 1.0, closed="none").mean()) > 0.7
    solved = ends.filter("success")["step_index"] + 1
    assert number(solved.min()) < 9
    assert 12 < number(solved.mean()) < 18
    assert number(ends["truncated"].mean()) < 0.3


def test_paraphrase_moves_the_share_of_texts_that_are_seen_once() -> None:
    alone = pl.len().over("group_id", "observation") == 1
    logs = [
        simulate(Codebase(paraphrase=share), tasks=10, rollouts=8, seed=0)
        for share in (0.0, 0.3, 0.6, 1.0)
    ]
    shares = [log.select(alone.mean()).item() for log in logs]
    assert shares[0] < 0.45
    assert (np.diff(shares) > 0.1).all()
    assert shares[-1] > 0.98
    assert set(logs[0]["observation"]).isdisjoint(logs[-1]["observation"])


def test_aliasing_merges_states_and_wording_leaves_the_moves() -> None:
    clear, aliased = (
        simulate(Codebase(**{**PLAIN, "aliasing": share}), tasks=5, rollouts=16, seed=0)
        for share in (0.0, 0.5)
    )
    sharing = pl.col("latent_state").n_unique().over("group_id", "observation").mean()
    assert aliased.select(sharing).item() > 2 * clear.select(sharing).item()
    cut = aliased.filter(pl.col("step_index") > 0).group_by("group_id", "latent_state")
    visits = cut.agg(cut=(pl.col("observation") == "[output truncated]").mean())["cut"]
    assert visits.is_in([0.0, 1.0]).all()
    assert visits.mean() == pytest.approx(0.5, abs=0.1)
    texts = ["observation", "next_observation"]
    worded = simulate(
        Codebase(**{**PLAIN, "paraphrase": 0.7, "aliasing": 0.6}), tasks=5, rollouts=16, seed=0
    )
    assert_frame_equal(clear.drop(texts), worded.drop(texts))


def test_a_larger_share_of_aliases_contains_a_smaller_one() -> None:
    masks = [
        next(drawn_tasks(Codebase(aliasing=share), 1, 0)).narrator.aliased  # type: ignore[attr-defined]
        for share in (0.0, 0.2, 0.7, 1.0)
    ]
    assert not masks[0].any()
    assert masks[3].all()
    assert (masks[1] <= masks[2]).all()


def test_a_text_follows_from_state_and_command_and_hides_a_part_of_the_state() -> None:
    log = simulate(Codebase(**PLAIN), tasks=5, rollouts=16, seed=0)
    texts = log.group_by("group_id", "latent_state", "action").agg(
        pl.col("next_observation").n_unique()
    )
    assert (texts["next_observation"] == 1).all()
    states = log.filter(pl.col("step_index") > 0).group_by("group_id", "observation")
    assert number(states.agg(pl.col("latent_state").n_unique())["latent_state"].max()) > 3
    # A faulty line is shown with no word on whether it is one.
    assert not log["observation"].str.contains("(?i)wrong|faulty").any()


def test_timeouts_happen_as_often_as_said_and_change_nothing() -> None:
    log = simulate(Codebase(slips=0.3, paraphrase=0.0, aliasing=1.0), tasks=5, rollouts=8, seed=0)
    late = pl.col("next_observation").str.starts_with("Command timed out")
    after = log.with_columns(after=pl.col("latent_state").shift(-1).over("trajectory_id"))
    slipped = after.filter(late & ~pl.col("done"))
    assert (slipped["after"] == slipped["latent_state"]).all()
    # 500 steps or more: the standard error of a share of .3 is below .021.
    assert log.select(late.mean()).item() == pytest.approx(0.3, abs=0.07)


def test_skill_raises_success_and_slips_lower_it() -> None:
    def chances(**dials: float) -> list[float]:
        world = Codebase(**{"skill_spread": 0.0, **dials})  # type: ignore[arg-type]
        return [
            policy_values(task.model, task.policy, horizon=24, gamma=1.0)[0, task.start]
            for task in drawn_tasks(world, 5, 0)
        ]

    by_skill = [chances(skill=skill) for skill in (0.0, 0.4, 0.7, 1.0)]
    assert (np.diff(by_skill, axis=0) > 0).all()
    assert min(by_skill[-1]) > 0.99
    assert (np.diff([chances(slips=share) for share in (0.0, 0.1, 0.3)], axis=0) < 0).all()


@pytest.mark.parametrize("dials", [{"modules": 2, "bugs": 1}, {"modules": 5, "bugs": 3}])
def test_the_smallest_and_largest_repositories_can_be_solved(dials: dict[str, int]) -> None:
    world = Codebase(**EXPERT, **dials, horizon=40)
    assert simulate(world, tasks=5, rollouts=1, seed=0)["success"].all()


def test_a_horizon_of_one_step_a_bug_always_fails() -> None:
    log = simulate(Codebase(horizon=2), tasks=3, rollouts=4, seed=0)
    assert not log["success"].any()
    assert (log["true_value"] == 0.0).all()


def test_a_codebase_log_keeps_the_rules_of_a_step_log() -> None:
    log = validate(simulate(Codebase(), tasks=6, rollouts=4, seed=2)).log
    last = pl.col("step_index") == pl.col("step_index").max().over("trajectory_id")
    checks = log.select(
        done_is_last=pl.col("done") == last,
        outcome_on_last=pl.col("reward") == (last & pl.col("success")).cast(pl.Float64),
        submitted_or_cut=~last | (pl.col("action") == "submit") | pl.col("truncated"),
        admissible=pl.col("admissible_actions").list.contains(pl.col("action")),
        joined=last
        | (pl.col("next_observation") == pl.col("observation").shift(-1).over("trajectory_id")),
    )
    assert {name: checks[name].all() for name in checks.columns} == dict.fromkeys(
        checks.columns, True
    )


def test_the_same_arguments_give_the_same_bytes() -> None:
    files = []
    for _ in range(2):
        files.append(io.BytesIO())
        simulate(Codebase(), tasks=3, rollouts=2, seed=7).write_parquet(files[-1])
    assert files[0].getvalue() == files[1].getvalue()


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"modules": 1}, r"modules must be an integer in \[2, 5\], got 1"),
        ({"bugs": 0}, r"bugs must be an integer in \[1, 3\], got 0"),
        ({"modules": 2, "bugs": 3}, r"bugs must be at most the number of modules, got 3 in 2"),
        ({"milestones": 1.0}, r"milestones must be in \[0.0, 1.0\), got 1.0"),
        ({"slips": 1.0}, r"slips must be in \[0.0, 1.0\), got 1.0"),
    ],
)
def test_dials_out_of_range_are_refused(dials: dict[str, float], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Codebase(**dials)  # type: ignore[arg-type]
