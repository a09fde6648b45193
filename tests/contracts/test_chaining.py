"""Methods that do not ask which steps follow each other give the same credit in any order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from crediting import credit
from method_contract import NAMES, advantages, frame, traits
from samples_of import SAMPLES

import workbench as wb
from workbench.errors import MissingInputError
from workbench.log.chaining import INFERRED
from workbench.methods import create
from workbench.readers.formats.verl_agent_bare import RECONSTRUCTED
from workbench.states.keys import STATE_KEYS, parse_state_key


def unordered(log: pl.DataFrame, seed: int = 5) -> pl.DataFrame:
    """The same steps of each trajectory in another order, the last one and its links shuffled."""
    drawn = pl.Series(np.random.default_rng(seed).random(log.height))
    moved = log.with_columns(drawn=drawn).with_columns(
        step_index=(pl.col("drawn").rank("ordinal").over("trajectory_id") - 1).cast(pl.Int32)
    )
    return moved.drop("drawn").with_columns(next_observation=pl.lit("elsewhere"))


def marked(log: pl.DataFrame) -> pl.DataFrame:
    """The log with the row that each step is of, and its place in the source, without nodes."""
    return (
        log.drop("node_id")
        .with_row_index("mark")
        .with_columns(source_row=pl.col("mark").cast(pl.Int64))
    )


def by_mark(log: pl.DataFrame, name: str) -> pl.DataFrame:
    ids = ["group_id", "trajectory_id", "step_index"]
    found = log.select(*ids, "mark").join(advantages(log, name), on=ids)
    return found.sort("mark").select("mark", pl.col("advantage").round(9) + 0.0)


def not_chaining() -> list[str]:
    """Those that read their links from nodes of the log need no chain; noise has one by step."""
    return [
        name
        for name in NAMES
        if not create(name).chains()
        and "ignores-rewards" not in traits(name)
        and "node_id" not in create(name).needs()
    ]


@pytest.mark.parametrize("name", not_chaining())
def test_a_method_that_does_not_chain_ignores_the_order_of_steps(name: str):
    log = marked(frame(seed=3))
    assert by_mark(unordered(log), name).equals(by_mark(log, name))


def test_both_kinds_of_methods_exist():
    assert {"grpo", "rloo", "reinforce++"} <= set(not_chaining())
    assert {"gigpo", "proxmo", "crbc", "return-to-go", "turn-gae", "spo"}.isdisjoint(not_chaining())


def test_what_is_switched_off_does_not_chain():
    assert not create("gigpo", {"step_weight": 0.0}).chains()
    assert not create("crbc", {"step_weight": 0.0}).chains()
    assert create("trajectory", {"of": "gigpo"}).chains()
    assert not create("trajectory", {"of": "grpo"}).chains()
    assert create("imported", {"gamma": 0.9}).chains()
    assert not create("imported").chains()


@pytest.mark.parametrize("spec", [*STATE_KEYS, "history:length=1", "tool:call=false"])
def test_a_key_that_does_not_look_back_ignores_the_order_of_steps(spec: str):
    if parse_state_key(spec).looks_back():
        return
    log = marked(frame(seed=3))

    def labels(of: pl.DataFrame) -> list[tuple[int, ...]]:
        found = credit(of, "grpo")
        key = found.space.state_key(spec)
        mark = found.steps.column("mark").to_numpy()
        return sorted(tuple(sorted(mark[key == label].tolist())) for label in np.unique(key))

    assert labels(unordered(log)) == labels(log)


def bare(*, allow: bool = False) -> wb.Space:
    sample = str(SAMPLES / "verl-agent-bare")
    return wb.open_log(sample, embedder="tfidf", allow_unchained=allow)


def test_the_reader_of_bare_dumps_marks_what_the_rule_looks_for():
    assert RECONSTRUCTED == INFERRED


def test_a_method_that_chains_is_refused_on_a_bare_dump_and_says_what_to_do():
    with pytest.raises(MissingInputError, match="every row is a trajectory of its own") as found:
        wb.score(bare(), "gigpo")
    assert "--allow-unchained" in str(found.value)
    assert not any("unchained" in note for note in wb.score(bare(), "grpo").notes)


def test_what_is_allowed_is_noted():
    notes = wb.score(bare(allow=True), "gigpo").notes
    assert any(note.startswith("unchained: ") for note in notes)


def test_an_audit_takes_what_may_be_scored_and_refuses_the_rest():
    chained = wb.score(bare(allow=True), "gigpo")
    outcome = wb.score(bare(), "grpo")
    # The control that discounts is left out with the methods that do.
    assert wb.audit(outcome, draws=2).controls == ("random",)
    with pytest.raises(MissingInputError, match="gigpo asks"):
        wb.audit({"gigpo": replace(chained, space=bare())}, draws=2)
    assert wb.audit(chained, draws=2).controls == ("random", "return-to-go")
