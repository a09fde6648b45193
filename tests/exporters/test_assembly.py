"""A scored log as the rows of a batch: weights, rows that train nothing, checks of rows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from batches import export, exportable, made, rewritten_log, step_row, token_log, write, written
from logs import Described, steps
from scored_credits import credit

from workbench.errors import EmptyBatchError, ParameterError
from workbench.exporters import TARGETS
from workbench.exporters.assembly import notes_of
from workbench.exporters.laid_out import _tokens_joined, row_checks
from workbench.methods import create
from workbench.states.space import Space


def test_weights(tmp_path: Path) -> None:
    _, rows = written(*token_log(), tmp_path / "out", weight="inverse_length")
    assert [row["weight"] for row in rows] == [0.5, 1.0]
    _, rows = written(*rewritten_log(), tmp_path / "steps", weight="inverse_length")
    assert [row["weight"] for row in rows] == [0.5, 0.5, 1.0]


def test_a_batch_that_would_train_nothing_is_not_written(tmp_path: Path) -> None:
    log, credit = token_log()
    dead = credit.with_columns(advantage=0.0)
    with pytest.raises(EmptyBatchError, match=r"none of its 3 trained steps has an advantage"):
        write(log, dead, tmp_path / "no")
    with pytest.raises(EmptyBatchError, match=r"is left to export; left out: 2 \(zero groups\)"):
        write(log, dead, tmp_path / "no", drop_zero_groups=True)
    with pytest.raises(EmptyBatchError, match="none of its 3 steps is trained"):
        write(log.with_columns(gradient_mask=False), credit, tmp_path / "no")
    assert list(tmp_path.iterdir()) == []


def test_checks_are_looked_at_in_the_rows():
    rows = TARGETS["weighted-batch"].assemble(*exportable(token_log())).rows
    good = {"lengths_equal": True, "masked_advantages_zero": True, "logprobs_present": False}
    assert row_checks(rows) == good
    everywhere = rows.with_columns(pl.col("advantages").list.eval(pl.element() + 1))
    assert row_checks(everywhere) == {**good, "masked_advantages_zero": False}
    short = rows.with_columns(pl.col("step_ids").list.head(1))
    assert row_checks(short)["lengths_equal"] is False
    texts = TARGETS["weighted-batch"].assemble(
        *exportable([frame.drop("prompt_ids", strict=False) for frame in token_log()])
    ).rows  # fmt: skip
    assert row_checks(texts) == good


def test_rows_that_train_nothing_are_left_out_and_counted(tmp_path: Path):
    log, credit = token_log()
    masked = log.with_columns(gradient_mask=pl.col("trajectory_id") == "t0")
    manifest = export("verl", (masked, credit), tmp_path / "out")
    assert manifest.counts["rows_without_training"] == 1
    assert manifest.counts["rows"] == 1
    nothing = log.with_columns(gradient_mask=False)
    with pytest.raises(EmptyBatchError, match="none of its 3 steps is trained"):
        export("verl", (nothing, credit), tmp_path / "none")


def test_a_sequence_that_begins_with_a_trained_token_is_refused(tmp_path: Path):
    log = made([step_row("t", 0, 1.0, prompt_ids=[], response_ids=[3, 4])])
    for target in ("tinker", "verl"):
        with pytest.raises(ParameterError, match=r"begins with a trained token.*trajectory 't'"):
            export(target, log, tmp_path / target)
    assert export("weighted-batch", log, tmp_path / "whole").counts["rows"] == 1


def test_one_row_of_other_lengths_is_enough_to_fail_a_batch():
    rows = TARGETS["weighted-batch"].assemble(*exportable(token_log())).rows
    first = pl.int_range(pl.len()) == 0
    for name in ("advantages", "input_ids", "step_ids"):
        short = rows.with_columns(
            pl.when(first).then(pl.col(name).list.head(1)).otherwise(pl.col(name)).alias(name)
        )
        assert rows.height > 1
        assert row_checks(short)["lengths_equal"] is False, name


def test_notes_judge_a_credit_by_the_fields_that_made_it():
    # Rewards span 100; over its own deviation, as crbc has it, a step term has no unit.
    described: Described = {
        "g": {
            "a": [("x", "l", 0.0), ("y", "l", 100.0)],
            "b": [("x", "r", 0.0), ("y", "r", 0.0)],
            "c": [("x", "l", 0.0), ("y", "r", 30.0)],
        }
    }
    space = Space(steps(described), embedder="tfidf")
    plain, bare = (
        notes_of(space.steps.log, credit(create("crbc", fields), space))
        for fields in ({}, {"step_norm": "none"})
    )
    assert plain == []
    (said,) = bare
    assert said.startswith("Rewards span 100 and the step term is in their unit")
    assert "-p reward_scale=100" in said


def test_origins_of_token_ids_are_added_up_over_the_parts():
    one = {"from": "text", "cut_replies": 1, "not_shown": {"a name": 2}}
    other = {"from": "text", "cut_replies": 2, "not_shown": {"a name": 1, "a tool": 4}}
    assert _tokens_joined([one, other]) == {
        "from": "text",
        "cut_replies": 3,
        "not_shown": {"a name": 3, "a tool": 4},
    }
    logged = {"from": "log", "drifting_steps": 3}
    assert _tokens_joined([logged, logged]) == {"from": "log", "drifting_steps": 6}


def test_a_rehearsal_selects_what_the_batch_will_hold():
    # g has token ids and h has none, which a target of texts takes and one of tokens refuses.
    rows = [
        step_row("t0", 0, 1.0, prompt_ids=[1], response_ids=[2]),
        step_row("t1", 0, 1.0, group="h", prompt_ids=None, response_ids=None),
    ]
    log, credit = exportable(made(rows))
    texts, tokens = TARGETS["kto"], TARGETS["verl"]
    assert texts.assemble(log, credit, groups=["h"]).rows.height == 1
    assert texts.rehearse(log, groups=["h"])["options"]["groups"] == ["h"]
    for refused in (
        lambda: tokens.assemble(log, credit, groups=["h"]),
        lambda: tokens.rehearse(log, groups=["h"]),
    ):
        with pytest.raises(EmptyBatchError, match=r"1 \(no token ids\)"):
            refused()
