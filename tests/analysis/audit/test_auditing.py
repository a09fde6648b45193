"""Measures of an audit, by hand and as properties; the truth where a world knows it."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import Described, log, random_log, rows, steps
from places import DATA
from scored_credits import credit, table
from vectors import AXES, random_vectors

from workbench.analysis import resampling
from workbench.analysis.audit import GROUPS, MEASURES, Audit, audit, explained, report
from workbench.analysis.audit.power import power
from workbench.analysis.audit.sample import sample_of
from workbench.analysis.audit.statistics import rank_correlation, ratio
from workbench.analysis.audit.subject import AuditedLog, audited
from workbench.analysis.audit.uncertainty import bootstrap
from workbench.errors import ParameterError
from workbench.log.credit import Provenance, ScoredCredit
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.states.space import Space
from workbench.workspace.opened import open_log

HOUSEHOLD = DATA / "household.parquet"


def value(found: Audit, measure: str, name: str | None = None, where: str = "") -> Any:
    """The value of one reading; fails unless there is exactly one."""
    rows = found.frame.filter(
        pl.col("measure") == measure,
        pl.col("credit").eq_missing(pl.lit(name)),
        pl.col("where") == where,
    )
    assert rows.height == 1, (measure, name, where, found.frame["measure"].unique().to_list())
    return rows["value"][0]


def told(described: Described, advantage: Any, **columns: Any) -> Audit:
    """The audit of a bare table, `c`, on a described log."""
    space = Space(steps(described, **columns), embedder=AXES)
    return audit(space, {"c": table(space, advantage)}, controls=())


TWO: Described = {
    "g": {
        # p is met by both, with different actions; q twice by t0 alone; r once.
        "t0": [("p", "go", 0.0), ("q", "go", 0.0), ("q", "go", 1.0)],
        "t1": [("p", "stay", 0.0), ("r", "go", 0.0)],
    }
}


def test_coverage_by_hand():
    found = told(TWO, [0.0, 1.0, 0.0, -1.0, -1.0])
    assert value(found, "singleton_rate") == pytest.approx(1 / 5)
    assert value(found, "singleton_rate", where="step 1") == pytest.approx(1 / 2)
    assert value(found, "anchor_coverage") == pytest.approx(2 / 5)
    assert value(found, "matched_pairs") == pytest.approx(2 / 5)
    assert value(found, "merge_rate") == pytest.approx(2 / 5)
    assert value(found, "divergent_rate") == pytest.approx(2 / 5)
    assert value(found, "loop_rate") == pytest.approx(2 / 5)
    assert value(found, "zero_signal_rate", "c") == pytest.approx(2 / 5)
    assert value(found, "dead_groups") == 0.0


def test_spread_by_hand():
    # Trajectory means 1/3 and -1; inside: (1 + 4 + 1)/9 = 2/3. Total around -1/5:
    # 1/25 + 36/25 + 1/25 + 16/25 + 16/25 = 70/25. t1 failed and is constant.
    found = told(TWO, [0.0, 1.0, 0.0, -1.0, -1.0])
    assert value(found, "within_share", "c") == pytest.approx((2 / 3) / (70 / 25))
    assert value(found, "failed_variance", "c") == pytest.approx(0.0)
    assert value(found, "above_one", "c") == 0.0
    # t1 failed: none of its two steps is positive. t0's one step with credit is positive.
    assert value(found, "positive_in_failures", "c") == 0.0
    assert value(found, "sign_disagreement", "c") == 0.0
    turned = told(TWO, [0.0, -1.0, 2.0, 1.0, -3.0])
    # Signs against rewards 1 and 0: -1 and 1 of four steps with credit.
    assert value(turned, "sign_disagreement", "c") == pytest.approx(2 / 4)
    assert value(turned, "positive_in_failures", "c") == pytest.approx(1 / 2)
    assert value(turned, "above_one", "c") == pytest.approx(2 / 5)
    # Variance inside t1: (4 + 4)/2; of all, around -1/5: 75/5 - ... = 15/5 - 1/25.
    assert value(turned, "failed_variance", "c") == pytest.approx(4 / (15 / 5 - 1 / 25))


def test_peers_by_hand():
    space = Space(steps(TWO), embedder=AXES)
    found = audit(space, {"c": credit(create("gigpo"), space)}, controls=())
    # Own weights: p 1/2, q 1/2 (own trajectory 1), r 1. Medians of .5 .5 .5 .5 1 and .5 1 1 .5 1.
    assert value(found, "self_weight", "c") == 0.5
    assert value(found, "own_trajectory_weight", "c") == 1.0
    assert value(found, "effective_peers", "c") == pytest.approx(2.0)
    assert value(found, "peer_coverage", "c") == pytest.approx(2 / 5)


def test_one_step_of_another_rollout_is_enough_to_be_compared_with():
    described: Described = {"g": {"t0": [("p", "x", 1.0)], "t1": [("p", "x", 0.0)]}}
    space = Space(steps(described), embedder=AXES)
    method = create("proxmo", {"peers": "other_trajectories"})
    found = audit(space, {"c": credit(method, space)}, controls=())
    assert value(found, "effective_peers", "c") == 1.0
    assert value(found, "peer_coverage", "c") == 1.0


def test_a_giant_state_is_one_that_many_situations_lead_to():
    # "p" is 4 of 6 later steps, twice per trajectory, after q and after r.
    looping = [("q", "x", 0.0), ("p", "x", 0.0), ("r", "x", 0.0), ("p", "x", 0.0)]
    giant = {"g": {"t0": looping, "t1": looping}}
    found = told(giant, np.zeros(8))
    assert value(found, "giant_state", where="g") == pytest.approx(4 / 6)
    # A bottleneck that each trajectory passes once is none, however large its share.
    passing = [("q", "x", 0.0), ("p", "x", 0.0)]
    found = told({"g": {"t0": passing, "t1": [("r", "x", 0.0), *passing[1:]]}}, np.zeros(4))
    assert value(found, "giant_state") == 0.0


def test_a_ratio_and_its_interval_by_hand():
    # v = 3/4; residuals 1/2 and -1/2; se = sqrt(2/1 · 1/2)/4 = 1/4; t_1 = 12.706.
    found = ratio("matched_pairs", np.array([2.0, 1.0, 9.0]), np.array([2.0, 2.0, 0.0]))
    assert (found.value, found.count) == (0.75, 4)
    assert found.high == pytest.approx(0.75 + 12.7062 / 4, rel=1e-4)
    assert found.low == pytest.approx(0.75 - 12.7062 / 4, rel=1e-4)
    cut = ratio("anchor_coverage", np.array([2.0, 1.0]), np.array([2.0, 2.0]))
    assert (cut.low, cut.high) == (0.0, 1.0)
    alone = ratio("anchor_coverage", np.array([1.0]), np.array([2.0]))
    assert (alone.value, alone.low, alone.high) == (0.5, None, None)
    assert ratio("anchor_coverage", np.zeros(1), np.zeros(1)).value is None


@given(st.integers(0, 2**32 - 1))
def test_correlations_in_segments_are_those_of_each_alone(seed: int):
    rng = np.random.default_rng(seed)
    segment = np.sort(rng.integers(0, 3, 20))
    one, other = rng.integers(0, 4, (2, 20)).astype(float)
    found = rank_correlation(one, other, segment, 3)
    for number in range(3):
        here = segment == number
        frame = pl.DataFrame({"one": one[here], "other": other[here]})
        expected = frame.select(pl.corr("one", "other", method="spearman")).item()
        if expected is None or not math.isfinite(expected):
            assert np.isnan(found[number])
        else:
            assert found[number] == pytest.approx(expected)


def winners(lengths: tuple[int, ...]) -> Described:
    """One group: trajectories of these lengths that win, and one of the first length that fails."""
    won = {
        f"t{k}": [("p", "x" * (t + 1), float(t == n - 1)) for t in range(n)]
        for k, n in enumerate(lengths)
    }
    return {"g": {**won, "lost": [("p", "x", 0.0)] * lengths[0]}}


def test_time_and_length_in_winners_by_hand():
    described = winners((4, 4))
    # The credit rises by one per step in the winners, with the length of the action.
    rising = [0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 0.0]
    order = [*range(8, 12), *range(8)]  # "lost" is first in canonical order
    found = told(described, np.array(rising)[order])
    assert value(found, "time_in_winners", "c") == pytest.approx(-1.0)
    assert value(found, "position", "c") == pytest.approx(-1.0)
    # In "lost" all actions are alike, so only the winners have a correlation.
    assert value(found, "action_length", "c") == pytest.approx(1.0)
    row = found.frame.filter(pl.col("measure") == "time_in_winners").row(0, named=True)
    assert -1.0 <= row["shuffled_low"] < 0.0 < row["shuffled_high"] <= 1.0


def test_balances_and_copied_rows_by_hand():
    # The rows of t0's first step are three of the same. Outcomes 2, 0 and, not counted, 9; the
    # episode term is the reward less the mean of both: 1 for t0, -1 for t1.
    described: Described = {
        "g": {
            "t0": [("p", "x", 0.0), ("q", "x", 2.0)],
            "t1": [("p", "y", 0.0)],
            "t2": [("p", "y", 9.0)],
        }
    }
    made = rows(described, in_group_statistics=[True, True, True, False])
    copied = validate(pl.concat([made[:1], made[:1], made])).log
    space = Space(Steps.from_log(copied), embedder=AXES)
    found = audit(space, {"c": credit(create("grpo", {"norm": "mean"}), space)}, controls=())
    # Two copies among 4 + 2 rows.
    assert value(found, "copied_rows") == pytest.approx(2 / 6)
    # Over trajectories 0; over rows (3 · 1 + 1 - 1) / 5 in deviations of 1, 1, -1, which is
    # sqrt(1 - 1/9).
    assert value(found, "trajectory_balance", "c") == pytest.approx(0.0)
    assert value(found, "step_balance", "c") == pytest.approx(3 / 5 / math.sqrt(8 / 9))


def test_a_success_rate_at_either_end_is_saturated():
    # Mean rewards -1 (cut to 0), 1/2 and 2 (cut to 1): two of three groups with both outcomes.
    described: Described = {
        group: {f"{group}/{n}": [("p", "x", reward)] for n, reward in enumerate(rewards)}
        for group, rewards in {"g": (-3.0, 1.0), "h": (0.0, 1.0), "i": (1.0, 3.0)}.items()
    }
    space = Space(steps(described, success=[False, True] * 3), embedder=AXES)
    method = create("proxmo", {"psc_rate": "mean_score"})
    found = audit(space, {"c": credit(method, space)}, controls=())
    assert value(found, "saturated_rate", "c") == pytest.approx(2 / 3)


def test_a_logged_advantage_of_some_steps_is_compared_where_it_is():
    bare = steps(TWO)
    theirs = credit(create("grpo"), Space(bare, embedder=AXES)).table["advantage"].to_list()
    space = Space(steps(TWO, logged_advantage=[None, *theirs[1:]]), embedder=AXES)
    found = audit(space, {"c": credit(create("grpo"), space)}, controls=())
    assert value(found, "closest_to_logged", where="grpo") == 1.0
    assert found.frame.filter(measure="closest_to_logged")["count"].to_list() == [4]


@pytest.mark.parametrize(
    ("sizes", "merged"), [((2, 2, 4), 1 / 3), ((2, 2, 3), 0.0), ((1, 1, 2), 0.0), ((2, 4), 0.0)]
)
def test_a_group_of_a_multiple_of_the_usual_rollouts_may_be_merged(
    sizes: tuple[int, ...], merged: float
):
    # Advantages are those of GRPO, so that nothing else speaks against the groups.
    described: Described = {
        f"g{group}": {f"g{group}/{n}": [("p", "x", float(n % 2))] for n in range(size)}
        for group, size in enumerate(sizes)
    }
    bare = Space(steps(described), embedder=AXES)
    theirs = credit(create("grpo"), bare).table["advantage"].to_list()
    space = Space(steps(described, logged_advantage=theirs), embedder=AXES)
    found = audit(space, {"c": credit(create("grpo"), space)}, controls=())
    assert value(found, "merged_groups") == pytest.approx(merged)


def test_a_bootstrap_draws_the_others_and_never_the_step_itself():
    # GRPO without deviation, rewards 1, 0, 0. The winner's others are always 0, 0: 1 - 1/3.
    # A loser's others are drawn from {1, 0}: group means 2/3, 1/3, 0, so -2/3, -1/3 or 0.
    # With the winner twice in its own group its credit would be 1/3.
    described = {"g": {f"t{k}": [("p", "x", float(k == 0))] for k in range(3)}}
    space = Space(steps(described), embedder=AXES)
    log_, method = AuditedLog(space), create("grpo", {"norm": "mean"})
    subject = audited("c", log_, space, credit(method, space))
    found = bootstrap(subject, sample_of(space.steps, seed=0, draws=400))
    assert found.low == pytest.approx([2 / 3, -2 / 3, -2 / 3])
    assert found.high == pytest.approx([2 / 3, 0.0, 0.0])
    assert found.flips.tolist() == [0.0, 0.0, 0.0]
    # A rollout occurs exactly once in 3 draws of 3 with probability 3 · (1/3) · (2/3)² = 4/9.
    assert found.draws / 400 == pytest.approx(np.full(3, 4 / 9), abs=0.08)


def test_the_bootstrap_has_the_distribution_of_all_draws_of_the_others():
    rewards = [2.0, -1.0, 0.5, 3.0]
    described = {"g": {f"t{k}": [("p", "x", reward)] for k, reward in enumerate(rewards)}}
    space = Space(steps(described), embedder=AXES)
    method = create("grpo", {"norm": "mean"})
    subject = audited("c", AuditedLog(space), space, credit(method, space))
    found = bootstrap(subject, sample_of(space.steps, seed=1, draws=4000))
    for own, reward in enumerate(rewards):
        others = [r for k, r in enumerate(rewards) if k != own]
        every = [
            reward - (reward + sum(drawn)) / 4 for drawn in itertools.product(others, repeat=3)
        ]
        assert found.low[own] == pytest.approx(np.quantile(every, 0.05), abs=0.26)
        assert found.high[own] == pytest.approx(np.quantile(every, 0.95), abs=0.26)
        against = np.mean(np.array(every) * subject.advantage[own] < 0)
        assert found.flips[own] == pytest.approx(against, abs=0.05)


def test_groups_of_two_are_not_drawn_and_that_is_said():
    space = Space(steps(TWO), embedder=AXES)
    found = audit(space, {"c": credit(create("gigpo"), space)}, controls=())
    assert found.sampling["groups"] == 0
    assert found.intervals.is_empty()
    assert value(found, "sign_flip_rate", "c") is None
    assert value(found, "leave_one_out_rank", "c") is None


def test_a_long_log_is_sampled_by_whole_groups(monkeypatch: pytest.MonkeyPatch):
    found = Steps.from_log(random_log(np.random.default_rng(0), groups=20))
    monkeypatch.setattr("workbench.analysis.audit.sample.SAMPLE_STEPS", 40)
    sample = sample_of(found, seed=0)
    assert 0 < len(sample.groups) < 20
    assert sample.steps == np.isin(found.group, sample.groups).sum() <= 40
    assert f"{len(sample.groups)} groups drawn of 20" in sample.note
    assert sample_of(found, seed=0).groups.tolist() == sample.groups.tolist()
    monkeypatch.setattr("workbench.analysis.audit.sample.REDO_STEPS", 30 * sample.steps)
    assert sample_of(found, seed=0).draws == 30


def test_leaving_one_out_changes_the_order_where_one_decides():
    # GRPO: dropping a rollout shifts all by the same, so the order stays.
    found = Steps.from_log(random_log(np.random.default_rng(2), rollouts=6, dense=True))
    space = Space(found, embedder=random_vectors(found, 2))
    names = ("grpo", "gigpo", "proxmo")
    one = audit(space, {name: credit(create(name), space) for name in names})
    assert value(one, "leave_one_out_rank", "grpo") == pytest.approx(1.0)
    assert value(one, "leave_one_out_rank", "gigpo") < 1.0
    assert value(one, "split_half", "proxmo") < 1.0


def test_noise_is_not_called_reliable_for_being_the_same_with_any_rollouts():
    found = Steps.from_log(random_log(np.random.default_rng(2), rollouts=6, dense=True))
    space = Space(found, embedder=AXES)
    judged = create("imported", {"column": "reward"})
    given = {"judge": credit(judged, space), "rloo": credit(create("rloo"), space)}
    one = audit(space, given)
    for name, resampled in {"random": False, "judge": False, "rloo": True}.items():
        of_it = set(one.frame.filter(pl.col("credit") == name)["measure"])
        assert {"leave_one_out_rank", "split_half", "sign_flip_rate"} <= of_it or not resampled
        assert bool(of_it & {"split_half", "interval_width", "held_out_gain"}) is resampled
        reasons = one.left_out.filter(pl.col("credit") == name)["reason"]
        assert any("does not depend on the other" in reason for reason in reasons) is not resampled
    text = " ".join(report(one).split())
    assert "Left out for random: resampling, held-out error; its credit of a step does not" in text
    assert "none is corrected for how many are looked at" in text
    # Where all rewards are equal every credit is 0, alone or not, and no reason is made up.
    flat = Space(steps({"g": {f"t{k}": [("p", "x", 1.0)] for k in range(4)}}), embedder=AXES)
    zero = audit(flat, {"rloo": credit(create("rloo"), flat)}, controls=())
    assert not zero.left_out["reason"].str.contains("does not depend").any()


def test_power_by_hand():
    # Differences 1 and 3: mean 2, deviation √2; (2.801585 · √2 / 2)² = 3.92.
    scores = {"a": np.array([1.0, 3.0, np.nan]), "b": np.array([0.0, 0.0, 1.0])}
    ((name, reading),) = power(scores, "a score")
    assert (name, reading.where, reading.value, reading.count) == ("a", "b", 4.0, 2)
    ((_, same),) = power({"a": np.ones(3), "b": np.ones(3)}, "a score")
    assert same.value is None
    assert "no difference" in same.note


def test_a_planted_oracle_agrees_with_the_truth_and_noise_does_not():
    space = open_log(HOUSEHOLD, embedder="tfidf")
    truth = space.steps.column("true_advantage").to_numpy()
    found = audit(space, {"oracle": table(space, truth)}, controls=("random",))
    assert value(found, "label_agreement", "oracle") == pytest.approx(1.0)
    assert value(found, "label_sign_agreement", "oracle") == 1.0
    assert abs(value(found, "label_agreement", "random")) < 0.05
    assert value(found, "groups_needed", "oracle", "random") < 5


def test_yes_and_no_are_compared_by_the_probability_of_order():
    # Credits of yes 3, 1; of no 2, 1: pairs 3>2, 3>1, 1<2, 1=1: (1 + 1 + 0 + 1/2)/4.
    described = {"g": {"t0": [("p", "x", 0.0)] * 4}}
    found = told(described, [3.0, 1.0, 2.0, 1.0], good=[True, True, False, False])
    assert "label_agreement" not in set(found.frame["measure"])
    space = Space(steps(described, good=[True, True, False, False]), embedder=AXES)
    given_ = {"c": table(space, [3.0, 1.0, 2.0, 1.0])}
    assert value(audit(space, given_, label="good"), "label_agreement", "c") == pytest.approx(
        2.5 / 4
    )
    with pytest.raises(ParameterError, match="no column 'goood'"):
        audit(space, given_, label="goood")
    with pytest.raises(ParameterError, match="neither numbers nor yes/no"):
        audit(space, given_, label="observation")


def test_the_trainers_own_advantage_is_recognised_and_audited():
    described = {
        "g": {
            "t0": [("p", "x", 0.0), ("q", "x", 1.0)],
            "t1": [("p", "x", 0.0)],
            "t2": [("p", "x", 0.0)] * 5,
        }
    }
    bare = steps(described)
    theirs = create("grpo:verl-agent")(bare, Space(bare, embedder=AXES)).advantage
    space = Space(steps(described, logged_advantage=theirs.tolist()), embedder=AXES)
    found = audit(space, {"grpo": credit(create("grpo"), space)})
    assert found.credits == ("grpo", "logged")
    assert value(found, "closest_to_logged", where="grpo:verl-agent") == 1.0
    assert value(found, "logged_within", "grpo") == 0.0
    assert "nearest to grpo:verl-agent: 100.0%" in " ".join(report(found).split())
    # Its groups are centred over step rows: found in a bare table.
    assert ("logged", "steps-population") in {(f.credit, f.name) for f in found.findings}


def test_dialects_are_measured_and_the_field_that_does_it_is_named():
    described = {
        "g": {"t0": [("p", "x", 1.0)], "t1": [("p", "x", 0.0)] * 5, "t2": [("p", "x", 0.0)] * 2}
    }
    space = Space(steps(described), embedder=AXES)
    found = audit(space, {"grpo": credit(create("grpo"), space)}, controls=())
    distances = found.frame.filter(pl.col("measure") == "dialect_distance")
    notes = dict(distances.select("where", "note").iter_rows())
    assert notes["grpo:verl"] == "no difference on this log"
    assert notes["grpo:verl-agent"].startswith("population=steps alone")
    assert "steps-population" in notes["grpo:verl-agent"]


def test_a_credit_of_an_unknown_method_is_audited_by_its_table_alone():
    found_steps = Steps.from_log(random_log(np.random.default_rng(2), rollouts=4))
    space = Space(found_steps, embedder=AXES)
    own = credit(create("gigpo"), space).table
    ours = Provenance(method={"name": "ours", "fields": {}})
    other = Provenance(method={"name": "gigpo", "fields": {"gamma": 0.5}})
    given_ = {
        "a": ScoredCredit(own, ours),
        "b": ScoredCredit(own, other),
        "c": ScoredCredit(own),
    }
    found = audit(space, given_, controls=())
    reasons = dict(found.left_out.select("credit", "reason").iter_rows())
    assert "unknown method 'ours'" in reasons["a"]
    assert "gives other numbers here" in reasons["b"]
    assert "does not say what made it" in reasons["c"]
    for name in "abc":
        of_it = set(found.frame.filter(pl.col("credit") == name)["measure"])
        assert {"within_share", "time_in_winners", "zero_signal_rate"} <= of_it
        assert not of_it & {"sign_flip_rate", "self_weight", "held_out_gain"}


def test_a_credit_of_another_log_is_refused():
    space = Space(steps(TWO), embedder=AXES)
    shorter = table(space, np.zeros(5)).table
    with pytest.raises(ParameterError, match="no finite advantage for 1 of the 5"):
        audit(space, {"c": ScoredCredit(shorter.head(4))})
    with pytest.raises(ParameterError, match="missing columns"):
        audit(space, {"c": ScoredCredit(shorter.drop("advantage"))})
    with pytest.raises(ParameterError, match="steps twice"):
        audit(space, {"c": ScoredCredit(pl.concat([shorter, shorter]))})
    with pytest.raises(ParameterError, match="at least one credit"):
        audit(space, {})


def test_excluded_rollouts_are_in_no_number():
    frame = rows(TWO, reward=[0.0, 0.0, 1.0, None, 0.0])
    space = Space(Steps.from_log(validate(frame).log), embedder=AXES)
    found = audit(space, {"c": credit(create("grpo"), space)}, controls=())
    assert value(found, "anchor_coverage") == 0.0
    assert value(found, "zero_signal_rate", "c") == 1.0


def test_two_audits_have_the_same_numbers():
    found = Steps.from_log(random_log(np.random.default_rng(2), rollouts=5))
    vectors = random_vectors(found, 3)

    def once() -> Audit:
        space = Space(found, embedder=vectors)
        return audit(space, {name: credit(create(name), space) for name in ("gigpo", "proxmo")})

    one, other = once(), once()
    assert one.frame.equals(other.frame)
    assert one.intervals.equals(other.intervals)
    assert one.to_dict() == other.to_dict()
    assert report(one) == report(other)


def test_every_measure_has_a_meaning_an_action_and_a_place_in_an_audit():
    space = open_log(HOUSEHOLD, embedder="tfidf")
    log_ = space.steps.log.with_columns(logged_advantage=pl.col("true_advantage"))
    space = Space(Steps.from_log(log_), embedder="tfidf")
    found = audit(space, {"proxmo": credit(create("proxmo"), space)}, draws=20)
    # TF-IDF has no window, so it cuts no text; the log holds nothing that looks like a secret.
    assert set(MEASURES) - set(found.frame["measure"]) == {"cut_texts", "likely_secrets"}
    for measure in MEASURES.values():
        assert measure.group in GROUPS
        assert measure.meaning.endswith(".")
        assert measure.action.endswith(".")
    text = explained(found)
    for name in found.frame["measure"].unique():
        assert f"{name} ({MEASURES[name].group}, " in text
        assert MEASURES[name].action.split()[0] in text
    described = found.to_dict()["measures"]
    assert described["self_weight"]["meaning"] == MEASURES["self_weight"].meaning
    assert max(len(line) for line in report(found).splitlines()) <= 110


@pytest.mark.parametrize(("texts", "longer", "share"), [(4, 1, 1 / 4), (0, 0, 0.0)])
def test_texts_longer_than_the_window_are_counted(texts: int, longer: int, share: float):
    from workbench.states.embedders.chunking import WindowsReport

    class Windowed:
        """Vectors of a model with a window."""

        name = key = "windowed"
        counts_copies = False
        windows_report = WindowsReport(texts=texts, longer=longer, windows=3, limit=8)

        def encode(self, *arguments: Any) -> Any:
            return AXES.encode(*arguments)

    space = Space(steps(TWO), embedder=Windowed())
    found = audit(space, {"c": credit(create("proxmo"), space)}, controls=())
    assert value(found, "cut_texts", "c") == share


def test_a_credit_may_live_in_another_space():
    found = Steps.from_log(random_log(np.random.default_rng(2), rollouts=4, dense=True))
    near, far = (Space(found, embedder=random_vectors(found, seed)) for seed in (1, 2))
    given_ = {"one": credit(create("proxmo"), near), "two": credit(create("proxmo"), far)}
    assert audit(near, given_, controls=()).left_out.height == 1
    both = audit(near, given_, spaces={"two": far}, controls=())
    assert both.left_out.is_empty()


@pytest.mark.parametrize("data", ["webshop_grpo_dev", "taubench_airline_gpt4o"])
def test_real_rollouts_are_audited(shared: Path, data: str):
    space = open_log(shared / "data" / f"{data}.parquet", embedder="tfidf")
    names = ("grpo", "gigpo", "proxmo")
    found = audit(space, {name: credit(create(name), space) for name in names}, draws=40)
    seen = {(finding.credit, finding.name) for finding in found.findings}
    if data == "webshop_grpo_dev":
        # The trainer's statistics run over step rows, and it takes 0.1 off for invalid actions.
        closest = found.frame.filter(pl.col("measure") == "closest_to_logged").row(0, named=True)
        assert closest["where"] == "grpo:verl-agent -p invalid_penalty=0.1"
        assert closest["value"] > 0.97
        assert {("logged", "steps-population"), ("logged", "penalty-only-credit")} <= seen
        # A product page looks the same whatever options were chosen on it.
        assert (None, "giant-state") in seen
    else:
        assert {(None, "singletons"), ("proxmo", "self-in-softmax")} <= seen
    assert ("grpo", "steps-population") not in seen


def test_a_log_is_needed_that_is_scored():
    frame = log({"g": {"t0": [("p", "x", 1.0)]}})
    space = Space(Steps.from_log(frame), embedder=AXES)
    found = audit(space, {"c": credit(create("grpo"), space)})
    assert value(found, "dead_groups", where="one_rollout") == 1.0
    assert report(found).startswith("1 step in 1 trajectory")


def test_a_method_that_looks_at_other_groups_is_not_drawn():
    found_steps = Steps.from_log(random_log(np.random.default_rng(2), rollouts=4, groups=6))
    space = Space(found_steps, embedder=AXES)
    names = {"gpg": "gpg", "batch": "grpo:trl-batch", "rloo": "rloo"}
    given_ = {name: credit(create(method), space) for name, method in names.items()}
    found = audit(space, given_, controls=("return-to-go",))
    left_out = found.left_out.filter(pl.col("measures") == "resampling, held-out error")
    # One says so of itself, of the other the dialect's deviation over the batch tells.
    assert left_out["credit"].to_list() == ["gpg", "batch"]
    assert set(found.intervals["credit"]) == {"rloo", "return-to-go"}


def test_a_credit_that_survives_in_one_part_of_a_log_alone_is_not_drawn(
    monkeypatch: pytest.MonkeyPatch,
):
    # A batch's deviation: the part that is g0 alone, where all are equal, has its 0 without it.
    described: Described = {
        f"g{number}": {
            f"{number}a": [("p", "x", float(number > 1))],
            f"{number}b": [("p", "y", 0.0)],
        }
        for number in range(4)
    }
    space = Space(steps(described), embedder=AXES)
    monkeypatch.setattr(resampling, "ROWS_AT_ONCE", 1)
    for method, drawn in (("rloo", True), ("grpo:trl-batch", False)):
        subject = audited("c", AuditedLog(space), space, credit(create(method), space))
        assert subject.drawable is drawn
