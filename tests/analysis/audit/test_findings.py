"""Each known defect, planted, is named by the audit; where it is not planted, it is not named."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from logs import Described, steps
from scored_credits import credit, table

from workbench.analysis.audit import SEVERITIES, Audit, audit, audits, report
from workbench.analysis.audit.coverage import BY_SIMILARITY
from workbench.analysis.audit.credit_rules import OF_CREDIT, _lengths_by_outcome
from workbench.analysis.audit.findings import _mending
from workbench.analysis.audit.log_rules import OF_LOG, Readings
from workbench.analysis.audit.measures import MEASURES
from workbench.analysis.audit.report import _table
from workbench.analysis.audit.statistics import Reading
from workbench.analysis.audit.subject import AuditedLog, audited
from workbench.methods import create
from workbench.states.space import Space


def found(described: Described, name: str, /, params: Any = None, **columns: Any) -> set[str]:
    """Names of what is found in a method's credit, and in the log."""
    space = Space(steps(described, **columns), embedder="tfidf")
    one = audit(space, {"c": credit(create(name, params), space)}, controls=())
    return {finding.name for finding in one.findings}


def found_in_table(described: Described, advantage: Any, **columns: Any) -> set[str]:
    """The same for a credit that does not say what made it."""
    space = Space(steps(described, **columns), embedder="tfidf")
    one = audit(space, {"c": table(space, advantage)}, controls=())
    return {finding.name for finding in one.findings}


Rollout = list[tuple[str, str, float]]


def clean(
    groups: int = 10, rollouts: int = 8, length: int = 4
) -> tuple[dict[str, dict[str, Rollout]], list[bool]]:
    """Rollouts of equal length through rooms that recur at a given time, some of them good."""
    rng, success = np.random.default_rng(5), []
    described = {}
    for group in range(groups):
        members = {}
        for number in range(rollouts):
            # Half of a group go the good way, and mostly win; all stray once in a while.
            good = number % 2
            rooms = np.where(rng.random(length) < 0.9, good, 1 - good)
            won = bool(rng.random() < (0.9 if good else 0.1))
            members[f"g{group}/t{number}"] = [
                (
                    f"floor {time} {'kitchen stove' if room else 'garden tree'} of house {group}",
                    f"go {'left' if rng.integers(2) else 'back'}",
                    float(won and time == length - 1),
                )
                for time, room in enumerate(rooms)
            ]
            success += [won] * length
        described[f"g{group}"] = members
    return described, success


@pytest.mark.parametrize(
    ("name", "params"), [("grpo", {}), ("rloo", {}), ("gigpo", {}), ("proxmo", {"gamma": 1.0})]
)
def test_nothing_is_found_in_a_clean_log(name: str, params: dict[str, Any]):
    described, success = clean()
    assert found(described, name, params, success=success) == set()


def test_a_report_says_that_nothing_was_found():
    described, success = clean()
    space = Space(steps(described, success=success), embedder="tfidf")
    one = audit(space, {"grpo": credit(create("grpo"), space)})
    assert "FINDINGS: none of the known defects was found" in report(one)


def long_losers() -> Described:
    """Winners take two steps, losers twelve."""
    return {
        f"g{group}": {
            f"g{group}/t{number}": [
                (f"room {time} {number} house", "go", float(number < 3 and time == 1))
                for time in range(2 if number < 3 else 12)
            ]
            for number in range(6)
        }
        for group in range(4)
    }


def test_statistics_over_step_rows_are_found():
    described = long_losers()
    assert "steps-population" in found(described, "grpo:verl-agent")
    assert "steps-population" in found(described, "gigpo:verl-agent")
    for name in ("grpo", "rloo", "gigpo", "proxmo"):
        assert "steps-population" not in found(described, name)


def test_statistics_over_step_rows_are_found_in_bare_numbers():
    bare = steps(long_losers())
    space = Space(bare, embedder="tfidf")
    rows = create("grpo:verl-agent")(bare, space).advantage
    assert "steps-population" in found_in_table(long_losers(), rows)
    trajectories = create("grpo")(bare, space).advantage
    assert "steps-population" not in found_in_table(long_losers(), trajectories)
    # A step method may well centre over rows: its credit is not one number per trajectory.
    noise = np.random.default_rng(0).normal(rows, 1.0)
    mean = np.bincount(bare.group, noise) / np.bincount(bare.group)
    assert "steps-population" not in found_in_table(long_losers(), noise - mean[bare.group])


def distinct() -> Described:
    """No two states share a word."""
    return {
        f"g{group}": {
            f"g{group}/t{number}": [
                (f"w{group}x{number}x{time} v{group}x{number}x{time}", "go", float(number == time))
                for time in range(4)
            ]
            for number in range(4)
        }
        for group in range(3)
    }


def test_self_in_the_softmax_is_found():
    assert "self-in-softmax" in found(distinct(), "proxmo")
    assert "self-in-softmax" not in found(distinct(), "proxmo", {"peers": "other_trajectories"})
    # A singleton of an exact key has itself too, but that is said of the log.
    assert found(distinct(), "gigpo") & {"self-in-softmax", "singletons"} == {"singletons"}


def test_a_saturated_success_weight_is_found():
    described, success = clean()
    tenfold = {
        group: {
            name: [(text, action, 10 * reward) for text, action, reward in trajectory]
            for name, trajectory in members.items()
        }
        for group, members in described.items()
    }
    assert "saturated-success-weight" in found(tenfold, "proxmo:reference")
    assert "saturated-success-weight" in found(tenfold, "proxmo", {"psc_rate": "mean_score"})
    scaled = {"psc_rate": "mean_score", "reward_scale": 10.0}
    assert "saturated-success-weight" not in found(tenfold, "proxmo", scaled)
    assert "saturated-success-weight" not in found(tenfold, "proxmo", success=success)


def test_a_text_that_stands_for_many_situations_is_found():
    described, success = clean(length=6)
    silent = {
        group: {
            name: [
                ("Nothing happens." if time in {2, 4, 5} else text, action, reward)
                for time, (text, action, reward) in enumerate(trajectory)
            ]
            for name, trajectory in members.items()
        }
        for group, members in described.items()
    }
    space = Space(steps(silent, success=success), embedder="tfidf")
    one = audit(space, {"gigpo": credit(create("gigpo"), space)}, controls=())
    (finding,) = [finding for finding in one.findings if finding.name == "giant-state"]
    assert "Nothing happens." in finding.text
    assert finding.credit is None


def loops() -> Described:
    """All visit one room again and again; half of them win at the end."""
    return {
        f"g{group}": {
            f"g{group}/t{number}": [
                ("the same room", "go", float(number % 2 and time == 5)) for time in range(6)
            ]
            for number in range(6)
        }
        for group in range(3)
    }


def test_time_that_is_credited_as_quality_is_found():
    assert "time-as-quality" in found(loops(), "gigpo")
    assert "time-as-quality" not in found(loops(), "gigpo", {"gamma": 1.0})
    assert "time-as-quality" not in found(loops(), "grpo")


def equal_but_invalid() -> tuple[Described, list[bool]]:
    """A live group, and two in which all fail and some actions are invalid."""
    live = {f"l{n}": [("room", "go", float(n % 2))] * 3 for n in range(4)}
    dead = {
        f"d{group}": {f"d{group}/{n}": [("room", "go", 0.0)] * 3 for n in range(4)}
        for group in range(2)
    }
    described = {**dead, "live": live}
    valid = [n != 0 or group == "live" for group, m in described.items() for n in range(len(m) * 3)]
    return described, valid


def test_credit_from_penalties_alone_is_found():
    described, valid = equal_but_invalid()
    penalty = {"invalid_penalty": 0.1}
    assert "penalty-only-credit" in found(described, "grpo:verl-agent", penalty, valid_action=valid)
    assert "penalty-only-credit" not in found(described, "grpo:verl-agent", valid_action=valid)
    # Statistics over trajectories see no penalty, so equal rewards stay equal.
    assert "penalty-only-credit" not in found(described, "grpo", penalty, valid_action=valid)


def test_noise_where_all_rewards_are_equal_is_found():
    described, _ = equal_but_invalid()
    bare = steps(described)
    right = create("grpo")(bare, Space(bare, embedder="tfidf")).advantage
    assert "credit-of-equals" not in found_in_table(described, right)
    dead = bare.log["group_id"].str.starts_with("d").to_numpy()
    noise = np.where(bare.trajectory % 2, 0.01, -0.01) * dead
    assert "credit-of-equals" in found_in_table(described, right + noise)


def test_a_credit_that_follows_the_length_of_actions_is_found():
    described, success = clean()
    longer = {
        group: {
            name: [
                (text, "x" * (1 + (5 * time + number) % 7), reward)
                for time, (text, _, reward) in enumerate(trajectory)
            ]
            for number, (name, trajectory) in enumerate(members.items())
        }
        for group, members in described.items()
    }
    length = steps(longer).column("action").str.len_chars().cast(pl.Float64).to_numpy()
    assert "follows-length" in found_in_table(longer, length - length.mean(), success=success)
    shuffled = np.random.default_rng(0).permutation(length)
    assert "follows-length" not in found_in_table(longer, shuffled, success=success)


def test_states_that_mislead_are_found():
    # In each state one rollout wins and one fails, so the other of the two predicts the opposite.
    described = {
        f"g{group}": {f"g{group}/t{n}": [(f"room {n // 2}", "go", float(n % 2))] for n in range(8)}
        for group in range(6)
    }
    assert "worse-than-the-mean" in found(described, "gigpo")
    assert "worse-than-the-mean" not in found(described, "grpo")


def test_signs_that_hang_on_the_other_rollouts_are_found():
    # Rewards are spread evenly, so whoever is near the middle is above or below it by luck.
    described = {
        f"g{group}": {f"g{group}/t{n}": [("room", "go", n / 10)] for n in (0, 18, 19, 21, 22, 40)}
        for group in range(4)
    }
    assert "unstable-signs" in found(described, "grpo")
    described = {
        f"g{group}": {f"g{group}/t{n}": [("room", "go", float(n % 2))] for n in range(6)}
        for group in range(4)
    }
    assert "unstable-signs" not in found(described, "grpo")


def test_a_step_term_in_unscaled_rewards_is_found():
    described, success = clean()
    tenfold = {
        group: {
            name: [(text, action, 100 * reward) for text, action, reward in trajectory]
            for name, trajectory in members.items()
        }
        for group, members in described.items()
    }
    assert "unscaled-step-term" in found(tenfold, "proxmo", success=success)
    scaled = {"reward_scale": 100.0}
    assert "unscaled-step-term" not in found(tenfold, "proxmo", scaled, success=success)
    # Over its deviation the step term has no unit; without an episode term it outweighs nothing.
    assert "unscaled-step-term" not in found(tenfold, "crbc", success=success)
    assert "unscaled-step-term" in found(tenfold, "crbc", {"step_norm": "none"}, success=success)
    assert "unscaled-step-term" not in found(tenfold, "soft-crbc", success=success)
    both = {"episode_weight": 1.0}
    assert "unscaled-step-term" in found(tenfold, "soft-crbc", both, success=success)


def test_dead_groups_are_found_and_findings_come_first():
    described = {
        f"g{group}": {f"g{group}/t{n}": [("room", "go", float(group == 0 and n))] for n in range(2)}
        for group in range(3)
    }
    space = Space(steps(described), embedder="tfidf")
    one: Audit = audit(space, {"grpo": credit(create("grpo"), space)})
    assert [finding.name for finding in one.findings] == ["dead-groups"]
    lines = report(one).splitlines()
    assert lines[2] == "FINDINGS: 1"
    assert lines[3].startswith("! log · dead-groups: 67% of the groups are dead")


def test_a_group_in_which_all_succeed_has_no_saturated_weight():
    # Rewards differ by speed, but everyone succeeds: p is 1 because it is.
    described = {
        f"g{group}": {f"g{group}/t{n}": [("room", "go", 1.0 - n / 10)] for n in range(4)}
        for group in range(3)
    }
    assert "saturated-success-weight" not in found(described, "proxmo", success=True)


def test_groups_of_several_policies_are_named():
    described, _ = clean()
    rows = sum(len(steps) for members in described.values() for steps in members.values())
    for other, named in (("b", True), ("a", False)):
        # One trajectory of four steps in each group of eight is of another model.
        model = ["a" if at // 4 % 8 else other for at in range(rows)]
        assert ("mixed-policies" in found(described, "grpo", model=model)) is named


def test_a_logged_advantage_that_speaks_against_the_groups_is_named():
    described, _ = clean()
    space = Space(steps(described), embedder="tfidf")
    own = credit(create("grpo"), space).table["advantage"]
    assert "merged-groups" not in found(described, "grpo", logged_advantage=own)
    # No group sums to 0 once all are moved by 1.
    assert "merged-groups" in found(described, "grpo", logged_advantage=own + 1)


def stopping(*, early: bool) -> tuple[Described, list[bool]]:
    """The clean log; with `early` its successes end after the first two of their four steps."""
    described, success = clean()
    if not early:
        return described, success
    shorter: dict[str, Any] = {}
    for group, members in described.items():
        shorter[group] = {
            name: [*its[:1], (*its[1][:2], 1.0)] if its[-1][2] else its
            for name, its in members.items()
        }
    won = [
        bool(its[-1][2]) for members in shorter.values() for its in members.values() for _ in its
    ]
    return shorter, won


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("igpo", {}),
        ("igpo:reference", {}),
        ("proxmo", {"peers": "same_step"}),
        ("salt", {"of": "igpo"}),
    ],
)
def test_turns_and_stopping_is_found_where_lengths_differ_by_outcome(name: str, params: Any):
    described, success = stopping(early=True)
    assert "turns-and-stopping" in found(described, name, params, success=success)
    described, success = stopping(early=False)
    assert "turns-and-stopping" not in found(described, name, params, success=success)


def test_turns_and_stopping_is_not_found_where_no_baseline_goes_by_turns():
    described, success = stopping(early=True)
    for name, params in (("igpo", {"baseline": "start"}), ("return-to-go", {}), ("proxmo", {})):
        assert "turns-and-stopping" not in found(described, name, params, success=success)


def test_turns_and_stopping_tells_the_lengths():
    described, success = stopping(early=True)
    space = Space(steps(described, success=success), embedder="tfidf")
    one = audit(space, {"c": credit(create("igpo"), space)}, controls=())
    (told,) = (each for each in one.findings if each.name == "turns-and-stopping")
    assert told.evidence == {"steps_of_successes": 2.0, "steps_of_failures": 4.0}
    assert "successes take 2.0 steps, failures 4.0" in told.text


def test_the_worst_findings_come_first_and_name_the_fields_that_mend_them():
    described = {
        f"g{group}": {
            f"g{group}/t{n}": [(f"word{group}{n}{k} of{n}{k}", "go", float(n == k)) for k in (0, 1)]
            for n in range(4)
        }
        for group in range(3)
    }
    space = Space(steps(described), embedder="tfidf")
    one = audit(space, {"proxmo": credit(create("proxmo"), space)}, controls=())
    order = [finding.severity for finding in one.findings]
    assert order == sorted(order, key=list(SEVERITIES).index)
    (own,) = (finding for finding in one.findings if finding.name == "self-in-softmax")
    assert (own.severity, own.fields) == ("error", {"peers": "other_trajectories"})
    assert own.to_dict()["fields"] == {"peers": "other_trajectories"}
    (log,) = (finding for finding in one.findings if finding.name == "singletons")
    assert log.fields == {}


def test_an_audit_grows_and_ends_as_the_audit():
    described, success = clean(groups=3)
    space = Space(steps(described, success=success), embedder="tfidf")
    given = {name: credit(create(name), space) for name in ("grpo", "gigpo")}
    told: list[tuple[int, int]] = []
    states = list(audits(space, given, progress=lambda _, done, parts: told.append((done, parts))))
    heights = [one.frame.height for one in states]
    assert heights == sorted(heights)
    assert states[0].intervals.is_empty()
    assert set(states[0].frame["credit"].drop_nulls()) == set()
    whole = audit(space, given)
    assert states[-1].frame.equals(whole.frame)
    assert states[-1].findings == whole.findings
    assert told == sorted(told)
    assert all(done < parts for done, parts in told)


def test_likely_keys_and_mail_addresses_are_counted_by_kind():
    described, success = clean(groups=2)
    (name, *_), *_ = ([*members] for members in described.values())
    text, action, reward = described["g0"][name][0]
    secret = f"{text} a.b@mail.example.org c@mail.example.org sk-{'a1' * 12}"
    described["g0"][name][0] = (secret, action, reward)
    space = Space(steps(described, success=success), embedder="tfidf")
    one = audit(space, {"c": credit(create("grpo"), space)}, controls=())
    (finding,) = [finding for finding in one.findings if finding.name == "likely-secrets"]
    # One step holds one key and two addresses.
    assert finding.evidence == {"key": 1.0, "mail address": 2.0}
    assert "1 by the form of a key (each counted once, in 1 step)" in finding.text
    assert "--redact likely" in finding.action


def test_a_finding_names_fields_that_the_method_has_can_have_and_has_otherwise():
    grpo = create("grpo")
    wanted = {"norm": "mean", "eps": 0.5, "population": "moons", "count_copies": False, "tau": 1.0}
    assert _mending(grpo, wanted) == {"norm": "mean", "eps": 0.5}
    assert _mending(None, wanted) == {}


def test_a_measure_of_places_alone_is_named_once_above_them():
    def row(measure: str, where: str) -> dict[str, Any]:
        limits = {"shuffled_low": None, "shuffled_high": None}
        return {"credit": "c", "measure": measure, "where": where, "value": 0.5, **limits}

    places = [row("singleton_rate", f"step {number}") for number in range(2)]
    whole = [row("merge_rate", ""), row("merge_rate", "step 0")]
    lines = [line.split()[0] for line in _table([*places, *whole], ["c"])]
    assert lines == ["c", "singleton_rate", "step", "step", "merge_rate", "step"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(999.4, "999"), (1000.0, "1,000"), (-12345.6, "-12,346"), (0.12345, "0.123")],
)
def test_a_number_is_shown_with_three_digits_or_all_before_the_point(value: float, shown: str):
    limits = {"shuffled_low": None, "shuffled_high": None}
    row = {"credit": "c", "measure": "effective_peers", "where": "", "value": value, **limits}
    assert list(_table([row], ["c"]))[1].split()[-1] == shown


def test_only_the_kinds_of_groups_that_have_credit_are_named():
    space = Space(steps({"g": {"a": [("x", "y", 1.0)], "b": [("x", "z", 0.0)]}}), embedder="tfidf")
    subject = audited("c", AuditedLog(space), space, credit(create("rloo"), space))
    seen = Readings([reading("dead_credit", 0.25, where="all_pass"),
                     reading("dead_credit", 1e-6, where="all_fail")])  # fmt: skip
    found_here = OF_CREDIT["credit-of-equals"][1](subject, seen)
    assert found_here is not None
    assert "nothing to compare (all_pass): " in found_here[0]


def test_names_of_credits_are_cut_so_that_a_blank_is_between_them():
    row = {"measure": "singleton_rate", "where": "", "value": 0.5}
    limits = {"shuffled_low": None, "shuffled_high": None}
    names = ["graphgpo:verl-agent", "graphgpo:verl-agent-sokoban", None]
    head, _ = _table([{**row, **limits, "credit": name} for name in names], names)
    assert head == " " * 22 + " graphgpo:ve…" * 2 + "          log"


@pytest.mark.parametrize(
    ("value", "high", "is_found"),
    [
        (-0.5, None, True),
        (-0.5, 0.0, True),
        (-0.5, -0.1, True),
        (-0.5, 0.1, False),
        (-0.01, None, True),
        (-0.009, None, False),
    ],
)
def test_a_baseline_worse_than_the_mean_is_one_whose_interval_ends_below_it(
    value: float, high: float | None, is_found: bool
):
    space = Space(steps({"g": {"a": [("x", "y", 1.0)], "b": [("x", "z", 0.0)]}}), embedder="tfidf")
    subject = audited("c", AuditedLog(space), space, credit(create("rloo"), space))
    seen = Readings([Reading(measure="held_out_gain", value=value, high=high)])
    rule = OF_CREDIT["worse-than-the-mean"][1]
    assert (rule(subject, seen) is not None) == is_found


def reading(measure: str, value: float, **named: Any) -> Reading:
    return Reading(measure=measure, value=value, **named)


@pytest.mark.parametrize(
    ("name", "seen", "is_found"),
    [
        ("steps-population", [reading("trajectory_balance", 0.05), reading("step_balance", 0.0)],
         False),
        ("steps-population", [reading("trajectory_balance", 0.06), reading("step_balance", 0.015)],
         True),
        ("steps-population", [reading("trajectory_balance", 0.06), reading("step_balance", 0.016)],
         False),
        ("self-in-softmax", [reading("self_weight", 0.5, note=BY_SIMILARITY)], False),
        ("self-in-softmax", [reading("self_weight", 0.51, note=BY_SIMILARITY)], True),
        ("self-in-softmax", [reading("self_weight", 0.51)], False),
        ("saturated-success-weight", [reading("saturated_rate", 0.5)], True),
        ("saturated-success-weight", [reading("saturated_rate", 0.49)], False),
        ("time-as-quality", [reading("time_in_winners", -0.5, shuffled=(-0.4, 0.4))], True),
        ("time-as-quality", [reading("time_in_winners", -0.49, shuffled=(-0.4, 0.4))], False),
        ("time-as-quality", [reading("time_in_winners", -0.5, shuffled=(-0.5, 0.5))], False),
        ("penalty-only-credit", [reading("dead_credit", 0.05, where="penalty_only")], False),
        ("penalty-only-credit", [reading("dead_credit", 0.06, where="penalty_only")], True),
        ("credit-of-equals", [reading("dead_credit", 1e-6, where="all_fail")], False),
        ("credit-of-equals", [reading("dead_credit", 2e-6, where="all_pass")], True),
        ("follows-length", [reading("action_length", -0.3, shuffled=(-0.1, 0.1))], False),
        ("follows-length", [reading("action_length", -0.31, shuffled=(-0.1, 0.1))], True),
        ("follows-length", [reading("action_length", 0.31, shuffled=(-0.31, 0.31))], False),
        ("unstable-signs", [reading("sign_flip_rate", 0.2)], False),
        ("unstable-signs", [reading("sign_flip_rate", 0.21)], True),
    ],
)  # fmt: skip
def test_a_rule_finds_what_is_beyond_its_limit(name: str, seen: list[Reading], is_found: bool):
    space = Space(steps({"g": {"a": [("x", "y", 1.0)], "b": [("x", "z", 0.0)]}}), embedder="tfidf")
    subject = audited("c", AuditedLog(space), space, credit(create("rloo"), space))
    assert (OF_CREDIT[name][1](subject, Readings(seen)) is not None) == is_found


@pytest.mark.parametrize(
    ("name", "seen", "is_found"),
    [
        ("singletons", [reading("singleton_rate", 0.5)], False),
        ("singletons", [reading("singleton_rate", 0.51)], True),
        ("giant-state", [reading("giant_state", 0.25)], False),
        ("giant-state", [reading("giant_state", 0.26)], True),
        ("dead-groups", [reading("dead_groups", 0.5)], False),
        ("dead-groups", [reading("dead_groups", 0.51)], True),
        ("mixed-policies", [reading("mixed_policies", 0.0)], False),
        ("mixed-policies", [reading("mixed_policies", 0.01)], True),
        ("merged-groups", [reading("merged_groups", 0.0)], False),
        ("merged-groups", [reading("merged_groups", 0.01)], True),
    ],
)
def test_a_rule_of_the_log_finds_what_is_beyond_its_limit(
    name: str, seen: list[Reading], is_found: bool
):
    assert (OF_LOG[name][1](Readings(seen)) is not None) == is_found


def test_measures_whose_places_say_more_than_their_number_have_lines_of_their_own():
    assert {name for name, measure in MEASURES.items() if measure.listed} == {
        "giant_state",
        "dialect_distance",
        "logged_largest_difference",
        "closest_to_logged",
        "likely_secrets",
    }


def test_lengths_are_those_of_the_groups_that_have_both_outcomes():
    # In h all succeed in one step, which says nothing; in g a success takes 3 and a failure 1.
    one = [("x", "go", 1.0)]
    described: Described = {
        "g": {"a": [("x", "go", 0.0), ("x", "go", 0.0), *one], "b": [("x", "go", 0.0)]},
        "h": {"c": one, "d": one},
    }
    space = Space(steps(described), embedder="tfidf")
    subject = audited("c", AuditedLog(space), space, credit(create("rloo"), space))
    assert _lengths_by_outcome(subject) == (3.0, 1.0)
    alike = Space(steps({"h": described["h"]}), embedder="tfidf")
    subject = audited("c", AuditedLog(alike), alike, credit(create("rloo"), alike))
    assert _lengths_by_outcome(subject) is None
