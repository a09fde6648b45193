"""Advice on the credit to train with: the log decides first, then the trainings."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from logs import rows

from workbench import cli
from workbench.analysis import evidence
from workbench.analysis.advice import Advice, advise, texts_of
from workbench.analysis.evidence import Cell, best, regrets, standings
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.states.space import Space


def cell(world: str, /, condition: str = "base", **difference: tuple[float, float]) -> Cell:
    """A cell whose two seeds are a gain less and more a deviation."""
    seeds = {
        credit: {"0": gain - spread, "1": gain + spread}
        for credit, (gain, spread) in difference.items()
    }
    return Cell(world=world, condition=condition, area=0.3, difference=seeds)


def test_a_standing_is_the_mean_over_worlds_of_the_mean_over_conditions():
    known = [
        cell("w", "base", a=(0.02, 0.01)),
        cell("w", "other", a=(0.06, 0.03)),
        cell("v", a=(0.10, 0.04)),
    ]
    (found,) = standings(known)
    # (.04 + .10) / 2. Seeds of w are .02 and .06, of v .06 and .14: standard errors .02 and .04, so
    # √(.02² + .04²) / 2 = .0223607, times 1.96.
    assert found.gain == pytest.approx(0.07)
    assert found.by_world == {"w": pytest.approx(0.04), "v": pytest.approx(0.10)}
    assert found.seeds == 2
    assert found.high - found.gain == pytest.approx(1.96 * 0.0223607, abs=1e-6)


def test_a_credit_that_a_cell_lacks_has_no_standing():
    known = [cell("w", a=(0.1, 0.0), b=(0.2, 0.0)), cell("v", a=(0.1, 0.0))]
    assert [one.credit for one in standings(known)] == ["a"]
    assert standings(known, {"b"}) == []


def test_the_best_is_above_the_control_beyond_doubt_or_none_is():
    known = [cell("w", sure=(0.02, 0.005), high=(0.05, 0.04), low=(-0.1, 0.001))]
    found = best(known)
    assert found is not None
    assert found.credit == "sure"
    assert best([cell("w", high=(0.05, 0.04))]) is None


def test_a_credit_that_trained_worse_than_the_control_has_a_warning():
    known = [cell("w", bad=(-0.1, 0.001), poor=(-0.01, 0.05), good=(0.1, 0.001))]
    assert evidence.warning("bad", known) == (
        "bad trained worse than return-to-go, which reads nothing, in 1 simulated world: -0.100 "
        "[-0.102, -0.098] in mean success over the course. `workbench advise` says which credit to "
        "take"
    )
    assert evidence.warning("poor", known) is None
    assert evidence.warning("good", known) is None
    assert evidence.warning("unknown", known) is None


def test_regret_is_against_advice_that_never_saw_the_world():
    known = [
        cell("w", a=(0.1, 0.01), b=(0.0, 0.01)),
        cell("v", a=(-0.05, 0.01), b=(0.08, 0.01)),
    ]
    in_w, in_v = regrets(known)
    # v advises b, which is worth nothing in w, where a is worth .1; w advises a, which loses .05 in
    # v where b gains .08.
    assert (in_w["advised"], in_w["best"]) == ("b", "a")
    assert in_w["regret"] == pytest.approx(0.1)
    assert in_w["control"] == pytest.approx(0.1)
    assert (in_v["advised"], in_v["best"]) == ("a", "b")
    assert in_v["regret"] == pytest.approx(0.13)
    assert in_v["control"] == pytest.approx(0.08)


def advice(frame: pl.DataFrame) -> Advice:
    return advise(Space(Steps.from_log(validate(frame).log), embedder="tfidf"))


def many(tasks: int = 8, length: int = 3) -> pl.DataFrame:
    """Groups of four rollouts, two of which succeed."""
    return rows(
        {
            f"g{group}": {
                f"g{group}t{rollout}": [
                    ("room", "go", float(rollout < 2 and step == length - 1))
                    for step in range(length)
                ]
                for rollout in range(4)
            }
            for group in range(tasks)
        }
    )


def trained(monkeypatch: pytest.MonkeyPatch, **difference: tuple[float, float]) -> None:
    monkeypatch.setattr(evidence, "cells", lambda: (cell("w", "base", **difference),))


BOTH = {"history-gae": (0.05, 0.01), "gigpo": (0.02, 0.005)}


def test_the_credit_that_trained_best_is_advised_with_its_evidence(
    monkeypatch: pytest.MonkeyPatch,
):
    trained(monkeypatch, **BOTH)
    found = advice(many().with_columns(task=pl.lit("go there")))
    assert found.credit == "history-gae"
    assert "+0.050 [+0.030, +0.070] over return-to-go" in found.sure
    assert found.headline().startswith("Train with history-gae: GAE over V")
    assert [line.about for line in found.evidence] == [
        "groups", "states", "values", "length", "masks",
    ]  # fmt: skip
    json.dumps(found.to_dict())
    assert dict(texts_of(found))["groups"] == "8 of 8 groups live"


def test_a_log_without_tasks_does_not_get_the_credit_that_lives_on_them(
    monkeypatch: pytest.MonkeyPatch,
):
    trained(monkeypatch, **BOTH)
    assert advice(many()).credit == "gigpo"


def test_a_credit_that_the_log_does_not_feed_is_not_advised(monkeypatch: pytest.MonkeyPatch):
    trained(monkeypatch, **{"turn-gae": (0.2, 0.01), "gigpo": (0.02, 0.005)})
    assert advice(many()).credit == "gigpo"


def test_where_nothing_can_be_told_apart_the_safe_choice_is_named(
    monkeypatch: pytest.MonkeyPatch,
):
    trained(monkeypatch, gigpo=(0.02, 0.02))
    found = advice(many())
    assert found.credit == "return-to-go"
    assert "gigpo, had +0.020 [-0.019, +0.059], which is not told apart" in found.sure


def test_what_the_log_lacks_decides_first():
    assert advice(many(length=1)).credit == "grpo"
    few = advice(many(tasks=2))
    assert few.credit == "return-to-go"
    assert "8 rollouts are too few" in few.why
    dead = advice(many().with_columns(reward=pl.lit(0.0)))
    assert dead.credit is None
    assert dead.headline() == "Do not train on this log yet."
    assert "No group is live" in dead.first[0]
    guessed = many().with_columns(reconstructed=pl.lit("groups and trajectories"))
    assert advice(guessed).credit == "grpo"


def test_the_trainers_own_convention_is_named():
    frame = many()
    theirs = pl.when(pl.col("trajectory_id").str.contains("t[01]")).then(0.866).otherwise(-0.866)
    found = advice(frame.with_columns(logged_advantage=theirs))
    (line,) = [line for line in found.evidence if line.about == "trainer"]
    assert "the log's own advantages are those of" in line.text


def test_the_table_of_the_package_has_every_credit_in_every_world():
    found = evidence.cells()
    assert len({each.world for each in found}) == 3
    assert all("history-gae" in each.difference for each in found)
    assert all(len(seeds) >= 4 for each in found for seeds in each.difference.values())


def test_the_command_prints_the_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    trained(monkeypatch, **BOTH)
    log = tmp_path / "log.parquet"
    many().with_columns(task=pl.lit("go there")).write_parquet(log)

    def printed(*options: str) -> str:
        monkeypatch.setattr("sys.argv", ["workbench", "advise", str(log), *options])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 0
        return capsys.readouterr().out

    first, second, *_ = printed().splitlines()
    assert first.startswith("Train with history-gae")
    assert second.startswith("why       it trained best of what this log feeds in 1 simulated")
    assert json.loads(printed("--json"))["credit"] == "history-gae"


def test_policies_in_groups_of_their_own_are_to_be_exported_apart():
    frame = many()
    model = pl.concat_str(pl.lit("m-"), pl.col("group_id").str.tail(1))
    first = advice(frame.with_columns(model=model)).first
    assert any("policies acted" in said and "(--group)" in said for said in first)
    assert not any("policies acted" in said for said in advice(frame).first)
