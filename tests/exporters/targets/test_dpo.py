"""Pairs of replies, read by plain code and not by the target's own reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batches import Log, export, lines, made, step_row

from workbench.cli.summaries import export_summary
from workbench.errors import ArtefactError, EmptyBatchError
from workbench.exporters.checklist import checklist
from workbench.exporters.targets import dpo


def replies(*advantages: float, said: str = "abcdefgh", group: str = "g") -> list[dict[str, Any]]:
    """First steps of one group, each with an advantage and its own letter as reply."""
    return [
        {**step_row(f"t{k}", 0, value, group=group), "action": said[k]}
        for k, value in enumerate(advantages)
    ]


def pairs(log: Log, folder: Path, **options: Any) -> list[tuple[str, str]]:
    """Chosen and rejected replies, by text."""
    export("dpo", log, folder, **options)
    return [
        (pair["chosen"][0]["content"], pair["rejected"][0]["content"])
        for pair in lines(folder / dpo.FILE)
    ]


def test_the_best_reply_is_paired_with_the_worst(tmp_path: Path):
    # In order c 3, b 1, d 0, a -2: c with a, b with d; each once.
    assert pairs(made(replies(-2.0, 1.0, 3.0, 0.0)), tmp_path / "out") == [("c", "a"), ("b", "d")]


def test_a_pair_is_apart_by_more_than_the_margin(tmp_path: Path):
    log = made(replies(-2.0, 1.0, 3.0, 0.0))
    # 3 - -2 = 5 and 1 - 0 = 1.
    assert pairs(log, tmp_path / "one", margin=1.0) == [("c", "a")]
    assert pairs(log, tmp_path / "less", margin=0.99) == [("c", "a"), ("b", "d")]
    with pytest.raises(
        EmptyBatchError, match=r"4: no other reply to the same history has.*kto and sft-jsonl"
    ):
        pairs(log, tmp_path / "none", margin=5.0)


def test_two_replies_of_one_text_are_no_pair(tmp_path: Path):
    # The best and the worst said the same, so the best takes the next.
    log = made(replies(1.0, 0.5, -1.0, said="xyx"))
    assert pairs(log, tmp_path / "out") == [("x", "y")]


def test_replies_of_two_groups_are_no_pair(tmp_path: Path):
    other = {**step_row("u0", 0, -1.0, group="h"), "action": "b"}
    log = made([*replies(1.0), other])
    with pytest.raises(EmptyBatchError, match="2: no other trained reply to the same history"):
        pairs(log, tmp_path / "out")


def test_the_same_observation_after_another_history_is_counted_and_no_pair(tmp_path: Path):
    rows = [
        *replies(1.0, -1.0),
        {**step_row("t0", 1, 2.0), "action": "up"},
        {**step_row("t1", 1, -2.0), "action": "down"},
    ]
    manifest = export("dpo", made(rows), tmp_path / "out")
    assert len(lines(tmp_path / "out" / dpo.FILE)) == 1
    assert (manifest.counts["other_history"], manifest.counts["only_reply"]) == (2, 0)


def test_every_reply_in_no_pair_has_its_true_reason_and_pairs_are_counted(tmp_path: Path):
    # Of g: a 3, b 1, c 2.5 in one state with margin 1: a with b (2 apart); c is 1.5 from b, which
    # is taken. Of h: x 2 and x 0 say the same. Of i: 0.5 and 0 are not apart by 1. Of j: one alone.
    rows = [
        *replies(3.0, 1.0, 2.5),
        *(row | {"trajectory_id": f"h{row['trajectory_id']}"}
          for row in replies(2.0, 0.0, said="xx", group="h")),
        *(row | {"trajectory_id": f"i{row['trajectory_id']}"}
          for row in replies(0.5, 0.0, group="i")),
        {**step_row("j0", 0, 4.0, group="j"), "action": "z"},
    ]  # fmt: skip
    manifest = export("dpo", made(rows), tmp_path / "out", margin=1.0)
    counts = manifest.counts
    reasons = ("already_paired", "same_text", "no_margin", "only_reply", "other_history")
    assert [counts[reason] for reason in reasons] == [1, 2, 2, 1, 0]
    # 8 replies, of which 2 are one pair: one line.
    assert (counts["rows"], manifest.unit, counts["masked_steps"]) == (1, "pair", 6)
    assert "rows_without_training" not in counts
    assert len(lines(tmp_path / "out" / dpo.FILE)) == 1
    says = {each.check: each.says for each in checklist(manifest)}
    assert says["Conversation"].startswith("2 of 2 replies are rebuilt")
    assert says["Left out"] == (
        "6 of 8 steps are in no pair: 1 (no other trained reply to the same history), 2 (no other "
        "reply to the same history has an advantage apart by the margin), 2 (the replies apart by "
        "the margin have the same text), 1 (the replies it could be paired with are in other pairs)"
    )
    assert export_summary(manifest).startswith("1 pair of 2 steps, 2 of them trained\n")


def test_a_pair_names_both_steps_and_its_prompt_is_of_both(tmp_path: Path):
    rows = [
        step_row("t0", 0, 0.0),
        {**step_row("t0", 1, -2.0), "action": "up"},
        step_row("t1", 0, 0.0),
        {**step_row("t1", 1, 2.0), "action": "down"},
    ]
    export("dpo", made(rows), tmp_path / "out")
    (pair,) = lines(tmp_path / "out" / dpo.FILE)
    assert [message["content"] for message in pair["prompt"]] == ["see 0", "do 0", "see 1"]
    assert (pair["chosen_trajectory_id"], pair["chosen_step_index"]) == ("t1", 1)
    assert (pair["rejected_trajectory_id"], pair["rejected_advantage"]) == ("t0", -2.0)


def test_replies_that_open_the_conversation_are_no_pair(tmp_path: Path):
    rows = [
        {**row, "messages": json.dumps([{"role": "assistant", "content": row["action"]}])}
        for row in replies(1.0, -1.0)
    ]
    with pytest.raises(EmptyBatchError, match="2: its reply opens the conversation"):
        pairs(made(rows), tmp_path / "out")


def test_a_pair_of_one_reply_is_named_with_its_line(tmp_path: Path):
    manifest = export("dpo", made(replies(-2.0, 1.0, 3.0, 0.0)), tmp_path / "out")
    first, second = lines(tmp_path / "out" / dpo.FILE)
    second["rejected"] = second["chosen"]
    (tmp_path / "out" / dpo.FILE).write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    with pytest.raises(ArtefactError, match=r"line 2: chosen and rejected are one reply"):
        dpo.read(tmp_path / "out", manifest)
