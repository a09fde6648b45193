"""The supervised dataset, read by plain code and not by the target's own reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from batches import export, made, one_advantage, partly_trained, step_row, token_log, with_advantage

from workbench.exporters.conversations import unpacked
from workbench.exporters.targets import datasets


def tokens(path: Path) -> Iterator[tuple[int, float, int | None]]:
    """Each token of the file: its id, its advantage, what the mask says."""
    for row in pq.read_table(path).to_pylist():
        for token, label in zip(row["input_ids"], row["labels"], strict=True):
            yield token, row["weight"] if label == token else 0.0, int(label == token)


def test_a_single_advantage_lands_on_its_own_tokens(tmp_path: Path):
    export("datasets", one_advantage(), tmp_path / "out")
    assert with_advantage(tokens(tmp_path / "out" / datasets.FILE)) == [(5, 3.0), (6, 3.0)]


def test_only_what_the_policy_sampled_and_trains_on_is_trained(tmp_path: Path):
    export("datasets", partly_trained(), tmp_path / "out")
    found = list(tokens(tmp_path / "out" / datasets.FILE))
    assert with_advantage(found) == [(3, 2.0), (5, 2.0), (10, 0.5)]
    assert sorted(token for token, _, mask in found if mask) == [3, 5, 10]


def test_a_dataset_has_steps_of_positive_credit_unless_all_are_wanted(tmp_path: Path):
    manifest = export("datasets", token_log(), tmp_path / "positive")
    rows = pq.read_table(tmp_path / "positive" / datasets.FILE).to_pylist()
    assert [(row["trajectory_id"], row["weight"]) for row in rows] == [("t0", 0.5), ("t1", 0.25)]
    assert rows[0]["labels"] == [-100, -100, 3]
    assert manifest.counts["not_positive"] == 1
    export("datasets", token_log(), tmp_path / "all", positive_only=False)
    rows = pq.read_table(tmp_path / "all" / datasets.FILE).to_pylist()
    assert [row["weight"] for row in rows] == [0.5, -2.0, 0.25]


def test_messages_of_a_dataset_are_prompt_and_completion(tmp_path: Path):
    log = made([step_row("t", 0, 0.5), step_row("t", 1, 2.0)])
    export("datasets", log, tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / datasets.FILE).to_pylist()
    assert [len(row["prompt"]) for row in rows] == [1, 3]
    assert list(map(unpacked, rows[1]["completion"])) == [{"role": "assistant", "content": "do 1"}]
    assert [row["weight"] for row in rows] == [0.5, 2.0]


def test_binary_weights_are_one_for_every_row(tmp_path: Path):
    for label, log in {"tokens": token_log(), "texts": made([step_row("t", 0, 0.5)])}.items():
        export("datasets", log, tmp_path / label, weights="binary")
        rows = pq.read_table(tmp_path / label / datasets.FILE).to_pylist()
        assert {row["weight"] for row in rows} == {1.0}
