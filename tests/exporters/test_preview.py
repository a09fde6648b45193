"""Preview: a few rows of a batch as the trainer sees them."""

from __future__ import annotations

import pytest
from batches import made, step_row, text_log, token_log

from workbench.exporters import TARGETS
from workbench.exporters.preview import preview
from workbench.log.credit import ScoredCredit


def rows(log, **options):
    frame, table = log
    return TARGETS["weighted-batch"].assemble(frame, ScoredCredit(table), **options).rows


def test_tokens_say_which_are_trained_and_how():
    first, second = preview(rows(token_log()))
    # t0: prompt 1 2, reply 3 with .5, 4 put in, reply 5 6 with -2.
    assert [piece["token"] for piece in first.pieces] == [1, 2, 3, 4, 5, 6]
    assert [piece["advantage"] for piece in first.pieces] == [None, None, 0.5, None, -2.0, -2.0]
    assert (first.trained, first.size, first.skipped) == (3, 6, (0, 0))
    assert (second.trajectory_id, second.trained) == ("t1", 1)


def test_the_rows_that_pull_hardest_come_before_others():
    log = made(
        [
            step_row(f"t{k}", 0, advantage, prompt_ids=[1], response_ids=[2])
            for k, advantage in enumerate([0.0, 0.2, 3.0, 0.3, -4.0])
        ]
    )
    assert [row.row for row in preview(rows(log))] == [1, 2, 4]


def test_a_long_prompt_is_left_out_and_counted():
    log = made(
        [step_row("t", 0, 1.0, prompt_ids=list(range(1000)), response_ids=list(range(1000)))]
    )
    (row,) = preview(rows(log))
    # 60 tokens of the prompt, and as many of the reply as make 600: 2000 - 940 - 600 are left out.
    assert row.skipped == (940, 460)
    assert len(row.pieces) == 600
    assert [piece["trained"] for piece in row.pieces[58:62]] == [False, False, True, True]


def test_messages_say_which_replies_are_trained():
    (row, *_) = preview(rows(text_log()))
    replies = [piece for piece in row.pieces if piece["role"] == "assistant"]
    assert sum(piece["trained"] for piece in replies) == row.trained
    assert all(piece["advantage"] is None for piece in row.pieces if piece["role"] == "user")


@pytest.mark.parametrize("weight", ["none", "inverse_length"])
def test_the_weight_is_said(weight: str):
    (row, *_) = preview(rows(token_log(), weight=weight))
    assert row.weight == (0.5 if weight == "inverse_length" else 1.0)


def test_a_text_is_shown_up_to_600_characters_and_a_conversation_up_to_24_messages():
    steps = [step_row("t", k, 1.0, action="x" * (600 + k % 2)) for k in range(13)]
    (row,) = preview(rows(made(steps)))
    # 13 steps are 26 messages, of which 2 are not shown.
    assert (row.size, len(row.pieces), row.skipped) == (26, 24, (0, 2))
    whole, longer, *_ = (piece["text"] for piece in row.pieces if piece["role"] == "assistant")
    assert whole == "x" * 600
    assert longer == "x" * 600 + " … (601 characters)"
