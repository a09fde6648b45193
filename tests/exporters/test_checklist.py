"""Checklists of manifests, in words."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from batches import STEP, archived, exportable, made, one_trajectory, step_row, token_log
from logs import Described, log

from workbench.cli.summaries import export_summary
from workbench.exporters import TARGETS, Manifest
from workbench.exporters.checklist import Check, balance, checklist, size


def found(manifest: Manifest) -> dict[str, Check]:
    return {check.check: check for check in checklist(manifest)}


def test_what_is_left_out_and_what_is_in_sum_to_the_log():
    described: Described = {"g": {"a": [("o", "x", 1.0)] * 2, "b": [("o", "x", None)] * 3}}
    logged = log(described)
    credit = logged.select(*STEP, "excluded", advantage=pl.lit(0.5))
    table = balance(archived((logged, credit)).manifest)
    assert table["what"].to_list() == ["in the log", "− no usable reward", "in the batch"]
    assert table["steps"].to_list() == [5, 3, 2]
    assert table["trajectories"].to_list() == [2, 1, 1]


def test_rows_and_steps_of_a_batch_are_those_of_its_files(tmp_path: Path):
    # Of a, two of three steps have an advantage above 0; b has none and is no row; c is masked.
    rows = [*one_trajectory(1.0, -1.0, 2.0, group="a"), *one_trajectory(-1.0, -2.0, group="b"),
            *one_trajectory(3.0, group="c", gradient_mask=False)]  # fmt: skip
    manifest = TARGETS["sft-jsonl"](*exportable(made(rows)), tmp_path / "out")
    text = (tmp_path / "out" / "sft.jsonl").read_text()
    assert (len(text.splitlines()), text.count('"role": "assistant"')) == (1, 3)
    assert balance(manifest).rows() == [
        ("in the log", 3, 6), ("− no trained step in its row", 2, 3), ("in the batch", 1, 3),
    ]  # fmt: skip
    assert export_summary(manifest).startswith("1 row of 3 steps, 2 of them trained\n")
    words = found(manifest)
    assert words["Masks"].says == "1 step is not trained, with advantage 0"
    assert words["Conversation"].says.startswith("1 of 1 row is rebuilt")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| rows | 1 row of 3 steps, 2 of them trained |" in card
    assert "# sft-jsonl of 3 steps, credited by grpo" in card


def test_steps_of_a_segment_without_training_are_not_in_the_files(tmp_path: Path):
    # A prompt that does not go on begins a segment: of two rows, of two steps and one, the first
    # is not written; its trajectory has the other.
    def said(*texts: str) -> str:
        return json.dumps([{"role": role, "content": text} for role, text in
                           zip(("user", "assistant") * 2, texts, strict=False)])  # fmt: skip

    rows = [
        step_row("t", 0, -1.0, messages=said("see 0", "do 0"), segment=0),
        step_row("t", 1, -1.0, messages=said("see 1", "do 1"), segment=0),
        step_row("t", 2, 1.0, messages=said("other", "do 2"), segment=1),
    ]
    manifest = TARGETS["sft-jsonl"](*exportable(made(rows)), tmp_path / "out")
    names = ("rows", "steps_not_written", "trajectories_not_written", "rows_without_training")
    assert [manifest.counts[name] for name in names] == [1, 2, 0, 1]
    assert size(manifest) == "1 row of 1 step, 1 of them trained"


@pytest.mark.parametrize("ids", [{}, {"prompt_ids": [1], "response_ids": [2]}])
def test_a_row_that_trains_nothing_is_kept_in_a_weighted_batch_and_said(ids: dict[str, Any]):
    rows = [step_row("a", 0, **ids), step_row("b", 0, gradient_mask=False, **ids)]
    manifest = archived(made(rows)).manifest
    assert (manifest.counts["rows"], manifest.counts["rows_that_train_nothing"]) == (2, 1)
    masks = found(manifest)["Masks"]
    assert (masks.verdict, masks.says) == (
        "look",
        "1 step is not trained, with advantage 0; 1 row trains nothing; a mean per row over it is "
        "0/0: leave the row out of it, or divide by the trained count of the whole batch",
    )
    # Targets that train rows alone leave it out.
    kto = TARGETS["kto"].assemble(*exportable(made(rows))).manifest
    assert (kto.counts["rows"], found(kto)["Masks"].verdict) == (1, "holds")


def test_checks_of_messages():
    words = found(archived(made(one_trajectory(1.0, 0.0))).manifest)
    assert {check: finding.verdict for check, finding in words.items()} == {
        "Alignment": "holds",
        "Masks": "holds",
        "Prefixes": "n/a",
        "Logprobs": "n/a",
        "Conversation": "look",
        "Tokens": "n/a",
        "Zero groups": "holds",
        "Left out": "holds",
        "Lengths": "holds",
        "Policies": "n/a",
        "Staleness": "n/a",
    }


def test_checks_of_tokens_that_lack_log_probabilities_and_do_not_follow_on():
    rows = [
        step_row("t", 0, prompt_ids=[1], response_ids=[2]),
        step_row("t", 1, prompt_ids=[9], response_ids=[3]),
    ]
    words = found(archived(made(rows)).manifest)
    assert words["Prefixes"].verdict == "look"
    assert "1 trajectory is written step by step" in words["Prefixes"].says
    assert words["Logprobs"].verdict == "look"


def test_checks_of_zero_groups_and_of_those_left_out():
    rows = [*one_trajectory(0.0, group="g"), *one_trajectory(1.0, group="h")]
    kept = found(archived(made(rows)).manifest)
    assert kept["Zero groups"].verdict == "look"
    assert kept["Zero groups"].says.startswith("1 group costs compute for no pull; it can")
    dropped = found(archived(made(rows), drop_zero_groups=True).manifest)
    assert dropped["Zero groups"].verdict == "holds"
    assert dropped["Left out"].says == "of 2 trajectories not in it: 1 (zero groups)"


def test_a_zero_group_that_is_in_no_file_costs_nothing():
    # Of g nothing is above 0, so that sft-jsonl has no row of it; a weighted batch has.
    rows = [*one_trajectory(0.0, group="g"), *one_trajectory(1.0, group="h")]
    count = {
        name: TARGETS[name].assemble(*exportable(made(rows))).manifest
        for name in ("sft-jsonl", "weighted-batch")
    }
    assert {name: each.counts["zero_advantage_groups"] for name, each in count.items()} == {
        "sft-jsonl": 0, "weighted-batch": 1,
    }  # fmt: skip
    assert found(count["sft-jsonl"])["Zero groups"].says == "there is none"


def test_groups_with_next_to_no_advantage_are_said_with_the_largest():
    # Rollouts of one task each: the remainders of a softmax, where rewards differ by 1.
    alone = [
        *one_trajectory(0.00017, -0.0001, group="g", reward=0.5),
        *one_trajectory(0.00002, group="h"),
    ]
    check = found(archived(made(alone)).manifest)["Zero groups"]
    assert (check.verdict, check.says) == (
        "look",
        "2 groups pull by next to nothing: their advantages are within ±0.00017, where no group "
        "has different outcomes, and rewards suggest ±1; --group exports others alone",
    )
    # Live groups reach 2 and 1, in the median 1.5, of which a hundredth is 0.015.
    live = [
        step_row("a", 0, 2.0, group="p", reward=1.0), step_row("b", 0, -2.0, group="p"),
        step_row("c", 0, 1.0, group="q", reward=1.0), step_row("d", 0, -1.0, group="q"),
    ]  # fmt: skip
    one = [*live, *one_trajectory(0.0149, group="g"), *one_trajectory(0.0151, group="h"),
           *one_trajectory(0.0, group="i")]  # fmt: skip
    check = found(archived(made(one)).manifest)["Zero groups"]
    assert (check.verdict, check.says) == (
        "look",
        "1 group costs compute for no pull; it can be left out; 1 group pulls by next to nothing: "
        "its advantages are within ±0.015, where a group with different outcomes reaches ±1.5; "
        "--group exports others alone",
    )
    assert found(archived(made(live)).manifest)["Zero groups"].verdict == "holds"


def test_the_scale_of_large_rewards_is_a_check_and_stands_in_the_card(tmp_path: Path):
    # One reward of 100, and advantages of half of that: beyond a quarter of the span.
    rows = [step_row("a", 0, 50.0, reward=100.0), step_row("b", 0, -50.0)]
    manifest = TARGETS["weighted-batch"](*exportable(made(rows)), tmp_path / "out")
    scale = found(manifest)["Reward scale"]
    assert (scale.verdict, scale.says) == (
        "look",
        "Rewards span 100 and the credit is in their unit: advantages reach ±50, which a trainer "
        "multiplies its learning rate with; the notes say what to do",
    )
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"| Reward scale | look | {scale.says} |" in text
    assert f"- {manifest.notes[0]}" in text
    assert "Hint: divide the rewards of the log" in manifest.notes[0]
    small = made([step_row("a", 0, 0.5, reward=1.0), step_row("b", 0, -0.5)])
    assert "Reward scale" not in found(archived(small).manifest)


def test_small_advantages_of_live_groups_alone_are_not_faint():
    # Rewards in thousandths: what is usual is what these groups have.
    rows = [step_row("a", 0, 0.0005, reward=0.001), step_row("b", 0, -0.0005)]
    assert found(archived(made(rows)).manifest)["Zero groups"].verdict == "holds"


@pytest.mark.parametrize(("version", "verdict"), [(3, "look"), (5, "holds")])
def test_checks_of_staleness(version: int, verdict: str):
    logged = made(one_trajectory(1.0, train_step=5, policy_version=version))
    assert found(archived(logged).manifest)["Staleness"].verdict == verdict


def test_checks_of_lengths():
    unequal = [*one_trajectory(1.0, 1.0, group="g"), *one_trajectory(1.0, group="h")]
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
    # What a manifest does not count was not lost.
    if tokens["from"] == "text":
        assert found(manifest)["Conversation"].verdict == "holds"


def test_a_check_that_fails_is_said():
    manifest = archived(made(one_trajectory(1.0))).manifest
    bad = dataclasses.replace(manifest, checks={**manifest.checks, "lengths_equal": False})
    assert found(bad)["Alignment"].verdict == "look"


def test_what_is_not_trained_is_left_out_whatever_the_reason():
    # Two masked steps, one of advantage -1, one below the top: of four trained, the upper half.
    rows = [
        step_row("a", 0, 3.0), step_row("a", 1, 2.0), step_row("a", 2, 1.0),
        step_row("a", 3, 1.0), step_row("a", 4, -1.0),
        step_row("b", 0, 5.0, gradient_mask=False), step_row("b", 1, 5.0, gradient_mask=False),
    ]  # fmt: skip
    manifest = archived(made(rows), positive_only=True, top_share=0.5, clip=1.5).manifest
    counts = manifest.counts
    # Limited to 1.5 are 3 and 2; half of the four largest is two, and the others are as large as 1.
    assert (counts["clipped_steps"], counts["below_top_share"]) == (2, 2)
    assert (counts["masked_in_log"], counts["not_positive"], counts["masked_steps"]) == (2, 1, 5)
    words = found(manifest)
    assert words["Left out"].verdict == "look"
    assert words["Left out"].says == (
        "5 of 7 steps are context and not trained: 2 (masked in the log), 1 (advantage not above "
        "0), 2 (below the top share)"
    )
    assert (words["Clipped"].verdict, words["Clipped"].says) == (
        "look", "2 advantages limited to ±1.5")  # fmt: skip
    ids: dict[str, Any] = {"prompt_ids": [1], "response_ids": [2]}
    rows = [step_row("a", 0, **ids), step_row("b", 0, gradient_mask=False, **ids)]
    verl = TARGETS["verl"].assemble(*exportable(made(rows)))
    assert found(verl.manifest)["Left out"].says == (
        "1 of 2 steps is context and not trained: 1 (masked in the log); not written, without a "
        "trained step: 1 of 2 rows"
    )


def test_rollouts_of_two_models_in_one_batch_are_to_be_looked_at():
    rows = [step_row(f"{group}{k}", 0, group=group, model=f"m-{group}")
            for group in "gh" for k in range(2)]  # fmt: skip
    words = found(archived(made(rows)).manifest)["Policies"]
    assert words.verdict == "look"
    assert "rollouts of 2 policies (m-g, m-h)" in words.says
    one = found(archived(made(rows), groups=["g"]).manifest)["Policies"]
    assert (one.verdict, one.says) == ("holds", "all rollouts are of m-g")


def test_rollouts_in_which_the_same_models_act_are_of_one_policy():
    rows = [step_row(t, step, model=f"m{step}") for t in "ab" for step in range(2)]
    assert found(archived(made(rows)).manifest)["Policies"].says == "all rollouts are of m0 with m1"


def test_a_count_that_a_manifest_lacks_is_none():
    manifest = archived(token_log()).manifest
    lacking = ("masked_steps", "shortest_trajectory", "longest_trajectory")
    counts = {name: count for name, count in manifest.counts.items() if name not in lacking}
    words = found(dataclasses.replace(manifest, counts=counts))
    assert (words["Masks"].says, words["Lengths"].verdict) == ("none is needed", "holds")
