"""What a batch is worth, what its manifest says in words, and the batch as one file."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from batches import (
    STEP,
    exportable,
    made,
    step_row,
    token_log,
)
from logs import log

from workbench.errors import EmptyBatchError
from workbench.exporters import TARGETS, Manifest, read_batch
from workbench.exporters.archive import Archive, archive, zipped
from workbench.exporters.checklist import Check, balance, checklist
from workbench.exporters.worth import worth

TARGET = TARGETS["weighted-batch"]


def archived(logged: tuple[pl.DataFrame, pl.DataFrame], **options: Any) -> Archive:
    return archive(TARGET, *exportable(logged), **options)


def text_log(*advantages: float | None, group: str = "g", **columns: Any) -> list[dict[str, Any]]:
    """One trajectory with these advantages."""
    return [
        step_row(f"{group}/t", step, value, group=group, **columns)
        for step, value in enumerate(advantages)
    ]


def found(manifest: Manifest) -> dict[str, Check]:
    return {check.check: check for check in checklist(manifest)}


def test_worth_of_messages_by_hand():
    rows = [*text_log(3.0, -1.0, group="g"), *text_log(0.0, 0.0, group="h")]
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
    rows = [*text_log(1.0, 1.0, group="g"), *text_log(1.0, group="h")]
    result = archived(made(rows), weight="inverse_length").worth
    assert result is not None
    assert result.groups["share"].to_list() == pytest.approx([0.5, 0.5])


def test_a_batch_without_advantages_is_worth_nothing():
    rows = TARGET.assemble(*exportable(made(text_log(1.0, 1.0)))).rows
    result = worth(rows.with_columns(step_advantages=pl.col("step_advantages") * 0.0))
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
    assert (worth(frame).steps, worth(frame).tokens) == (0, 0)


def test_steps_past_the_sixteenth_bit_of_the_row_number_stay_apart():
    # Two rows whose last and first steps have the same number.
    rows = [*text_log(1.0), *text_log(2.0, group="h")]
    for row in rows:
        row |= {"prompt_ids": [1], "response_ids": [2]}
    result = archived(made(rows)).worth
    assert result is not None
    assert result.steps == 2


def test_what_is_left_out_and_what_is_in_sum_to_the_log():
    described = {"g": {"a": [("o", "x", 1.0)] * 2, "b": [("o", "x", None)] * 3}}
    logged = log(described)
    credit = logged.select(*STEP, "excluded", advantage=pl.lit(0.5))
    table = balance(archived((logged, credit)).manifest)
    assert table["what"].to_list() == ["in the log", "− no usable reward", "in the batch"]
    assert table["steps"].to_list() == [5, 3, 2]
    assert table["trajectories"].to_list() == [2, 1, 1]


def test_checks_of_messages():
    words = found(archived(made(text_log(1.0, 0.0))).manifest)
    assert {check: finding.verdict for check, finding in words.items()} == {
        "Alignment": "holds",
        "Masks": "holds",
        "Prefixes": "n/a",
        "Logprobs": "n/a",
        "Tokens": "n/a",
        "Zero groups": "holds",
        "Left out": "holds",
        "Lengths": "holds",
        "Staleness": "n/a",
    }


def test_checks_of_tokens_that_lack_log_probabilities_and_do_not_follow_on():
    rows = [
        step_row("t", 0, prompt_ids=[1], response_ids=[2]),
        step_row("t", 1, prompt_ids=[9], response_ids=[3]),
    ]
    words = found(archived(made(rows)).manifest)
    assert words["Prefixes"].verdict == "look"
    assert "1 trajectories are written step by step" in words["Prefixes"].says
    assert words["Logprobs"].verdict == "look"


def test_checks_of_zero_groups_and_of_those_left_out():
    rows = [*text_log(0.0, group="g"), *text_log(1.0, group="h")]
    kept = found(archived(made(rows)).manifest)
    assert kept["Zero groups"].verdict == "look"
    assert kept["Zero groups"].says.startswith("1 group cost")
    dropped = found(archived(made(rows), drop_zero_groups=True).manifest)
    assert dropped["Zero groups"].verdict == "holds"
    assert dropped["Left out"].says == "of 2: 1 (zero groups)"


@pytest.mark.parametrize(("version", "verdict"), [(3, "look"), (5, "holds")])
def test_checks_of_staleness(version: int, verdict: str):
    logged = made(text_log(1.0, train_step=5, policy_version=version))
    assert found(archived(logged).manifest)["Staleness"].verdict == verdict


def test_checks_of_lengths():
    unequal = [*text_log(1.0, 1.0, group="g"), *text_log(1.0, group="h")]
    plain = found(archived(made(unequal)).manifest)["Lengths"]
    assert (plain.verdict, "1 to 2 steps" in plain.says) == ("look", True)
    weighted = found(archived(made(unequal), weight="inverse_length").manifest)["Lengths"]
    assert weighted.verdict == "holds"


@pytest.mark.parametrize(
    ("tokens", "verdict", "words"),
    [
        ({"from": "log", "tokenizer": None, "drifting_steps": None}, "holds", "of the log"),
        ({"from": "log", "tokenizer": "t", "drifting_steps": 0}, "holds", "t knows them"),
        ({"from": "log", "tokenizer": "t", "drifting_steps": 3}, "look", "3 replies come back"),
        ({"from": "text", "tokenizer": "t", "drifting_steps": 0}, "look", "from the text with t"),
    ],
)
def test_checks_of_where_the_tokens_are_from(tokens: dict[str, Any], verdict: str, words: str):
    manifest = dataclasses.replace(archived(token_log()).manifest, tokens=tokens)
    assert found(manifest)["Tokens"].verdict == verdict
    assert words in found(manifest)["Tokens"].says


def test_a_check_that_fails_is_said():
    manifest = archived(made(text_log(1.0))).manifest
    bad = dataclasses.replace(manifest, checks={**manifest.checks, "lengths_equal": False})
    assert found(bad)["Alignment"].verdict == "look"


def test_the_archive_is_the_export_and_its_bytes_depend_on_nothing_else(tmp_path: Path):
    one, other = archived(token_log()), archived(token_log())
    assert one.content == other.content
    with zipfile.ZipFile(io.BytesIO(one.content)) as packed:
        assert packed.namelist() == ["batch/manifest.json", "batch/weighted_batch.parquet"]
        packed.extractall(tmp_path)
    TARGET(*exportable(token_log()), tmp_path / "direct")
    assert read_batch(tmp_path / "batch").equals(read_batch(tmp_path / "direct"))
    for name, size in one.sizes.items():
        content = (tmp_path / "direct" / name).read_bytes()
        assert content == (tmp_path / "batch" / name).read_bytes()
        assert len(content) == size
    assert one.manifest_text == (tmp_path / "direct" / "manifest.json").read_text()


def test_the_order_in_which_files_were_made_is_irrelevant(tmp_path: Path):
    for folder, names in (("a", "xy"), ("b", "yx")):
        (tmp_path / folder / "batch").mkdir(parents=True)
        for name in names:
            (tmp_path / folder / "batch" / name).write_text(name)
    assert zipped(tmp_path / "a" / "batch") == zipped(tmp_path / "b" / "batch")


def test_what_the_target_refuses_is_refused():
    described = {"g": {"a": [("o", "x", 1.0)], "b": [("o", "x", None)]}}
    logged = log(described).filter(trajectory_id="b")
    credit = logged.select(*STEP, "excluded", advantage=pl.lit(None, dtype=pl.Float64))
    with pytest.raises(EmptyBatchError):
        archived((logged, credit))


def test_every_choice_of_every_option_is_an_option_and_can_be_chosen():
    assert set(TARGET.choices) <= set(TARGET.options)
    for name, choices in TARGET.choices.items():
        assert TARGET.options[name] in choices
        for value in choices:
            archived(token_log(), **{name: value})
