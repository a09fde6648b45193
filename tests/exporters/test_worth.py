"""Worth of a batch to a trainer."""

from __future__ import annotations

import polars as pl
import pytest
from batches import archived, exportable, made, one_trajectory, token_log

from workbench.exporters import TARGETS
from workbench.exporters.worth import Faint, faint, pulls, worth

TARGET = TARGETS["weighted-batch"]


def test_worth_of_messages_by_hand():
    rows = [*one_trajectory(3.0, -1.0, group="g"), *one_trajectory(0.0, 0.0, group="h")]
    result = archived(made(rows)).worth
    assert result is not None
    assert (result.steps, result.tokens, result.pulling) == (4, None, 2)
    # (3 + 1)² / (9 + 1) = 1.6; 3 of 4 is positive.
    assert result.effective_steps == pytest.approx(1.6)
    assert result.positive_share == pytest.approx(0.75)
    assert result.groups.rows() == [("g", 1, 2, 1.0), ("h", 1, 2, 0.0)]


def test_worth_of_tokens_by_hand():
    result = archived(token_log()).worth
    assert result is not None
    # Steps pull with 1 · 0.5, 2 · −2 and 1 · 0.25: 4.75²  / (0.25 + 16 + 0.0625).
    assert (result.steps, result.tokens, result.pulling) == (3, 4, 3)
    assert result.effective_steps == pytest.approx(4.75**2 / 16.3125)
    assert result.positive_share == pytest.approx(0.75 / 4.75)
    # Tokens pull with 0.5, −2, −2 and 0.25, the same sum: 4.75² / (0.25 + 4 + 4 + 0.0625).
    assert result.effective_tokens == pytest.approx(4.75**2 / 8.3125)
    assert result.pulling_tokens == 4
    assert result.summary()["top_group_share"] == pytest.approx(1.0)
    assert result.summary() == archived(token_log()).manifest.worth


def test_the_unit_of_a_row_changes_nothing_of_the_worth():
    whole, apart = (archived(token_log(), unit=unit).worth for unit in ("trajectory", "step"))
    assert whole is not None
    assert apart is not None
    assert whole.groups.equals(apart.groups)
    assert (whole.steps, whole.effective_steps) == (apart.steps, apart.effective_steps)


def test_the_weight_of_a_trajectory_counts():
    rows = [*one_trajectory(1.0, 1.0, group="g"), *one_trajectory(1.0, group="h")]
    result = archived(made(rows), weight="inverse_length").worth
    assert result is not None
    assert result.groups["share"].to_list() == pytest.approx([0.5, 0.5])


def test_a_batch_without_advantages_is_worth_nothing():
    rows = TARGET.assemble(*exportable(made(one_trajectory(1.0, 1.0)))).rows
    result = worth(pulls(rows.with_columns(step_advantages=pl.col("step_advantages") * 0.0)))
    assert (result.pulling, result.effective_steps, result.positive_share) == (0, 0.0, None)


def test_a_batch_in_which_no_token_is_trained_is_worth_nothing():
    rows = archived(token_log()).worth
    assert rows is not None
    frame = pl.DataFrame(
        {
            "group_id": ["g"],
            "trajectory_id": ["t"],
            "loss_mask": pl.Series([[0, 0]], dtype=pl.List(pl.Int8)),
            "input_ids": [[1, 2]],
            "step_ids": pl.Series([[-1, -1]], dtype=pl.List(pl.Int16)),
            "advantages": [[0.0, 0.0]],
            "weight": [1.0],
        }
    )
    assert (worth(pulls(frame)).steps, worth(pulls(frame)).tokens) == (0, 0)


def test_steps_past_the_sixteenth_bit_of_the_row_number_stay_apart():
    # Two rows whose last and first steps have the same number.
    rows = [*one_trajectory(1.0), *one_trajectory(2.0, group="h")]
    for row in rows:
        row |= {"prompt_ids": [1], "response_ids": [2]}
    result = archived(made(rows)).worth
    assert result is not None
    assert result.steps == 2


def test_every_choice_of_every_option_is_an_option_and_can_be_chosen():
    assert set(TARGET.choices) <= set(TARGET.options)
    for name, choices in TARGET.choices.items():
        assert TARGET.options[name] in choices
        for value in choices:
            archived(token_log(), **{name: value})


def test_a_group_is_faint_below_a_hundredth_of_what_is_usual():
    # Live groups reach 10 and 30: 20 is usual, and a fifth the bound.
    frame = pl.DataFrame(
        {
            "group_id": ["a", "a", "b", "b", "c", "d"],
            "advantage": [10.0, -5.0, -30.0, 30.0, -0.19, 0.21],
            "gradient_mask": [True] * 6,
            "episode_reward": [1.0, 0.0, 1.0, 0.0, 1.0, 1.0],
        }
    )
    assert faint(frame) == Faint(groups=1, largest=0.19, usual=20.0, live=True)
