"""Tinker's datums, read by plain code and not by the target's own reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from batches import (
    export,
    lines,
    one_advantage,
    partly_trained,
    shared_log,
    token_log,
    with_advantage,
)

from workbench.errors import ArtefactError
from workbench.exporters.targets import tinker


def tokens(path: Path) -> Iterator[tuple[int, float, int | None]]:
    """Each token of the file: its id, its advantage, what the mask says."""
    for row in lines(path):
        inputs = row["loss_fn_inputs"]
        assert len(row["model_input"]) == len(inputs["target_tokens"])
        # Tinker has no mask: an advantage of 0 is one.
        for token, value in zip(inputs["target_tokens"], inputs["advantages"], strict=True):
            yield token, value, None


def test_a_single_advantage_lands_on_its_own_tokens(tmp_path: Path):
    export("tinker", one_advantage(), tmp_path / "out")
    assert with_advantage(tokens(tmp_path / "out" / tinker.FILE)) == [(5, 3.0), (6, 3.0)]


def test_only_what_the_policy_sampled_and_trains_on_is_trained(tmp_path: Path):
    export("tinker", partly_trained(), tmp_path / "out")
    found = list(tokens(tmp_path / "out" / tinker.FILE))
    assert with_advantage(found) == [(3, 2.0), (5, 2.0), (10, 0.5)]


def test_the_tinker_sample_comes_out(shared: Path, tmp_path: Path):
    export("tinker", shared_log(shared), tmp_path / "out")
    expected = lines(shared / "samples" / "exports" / "tinker_datums.jsonl")
    for row, sample in zip(lines(tmp_path / "out" / tinker.FILE), expected, strict=True):
        assert row | {"meta": sample["meta"]} == sample
        assert sample["meta"].items() <= row["meta"].items()


def test_a_weight_is_multiplied_into_the_advantages(tmp_path: Path):
    manifest = export("tinker", token_log(), tmp_path / "out", weight="inverse_length")
    assert manifest.weight["multiplies"] == "the advantages"
    # t0 has two trained steps: 0.5 / 2 and -2 / 2.
    found = {token: value for token, value, _ in tokens(tmp_path / "out" / tinker.FILE) if value}
    assert found == {3: 0.25, 5: -1.0, 6: -1.0, 8: 0.25}


def test_a_line_whose_targets_are_not_its_input_shifted_is_named(tmp_path: Path):
    manifest = export("tinker", token_log(), tmp_path / "out")
    path = tmp_path / "out" / tinker.FILE
    first, second = lines(path)
    # t1: prompt 7 and reply 8 are read up to 7, and 8 is to be said.
    assert second["model_input"] == [7]
    second["model_input"] = [7, 9]
    second["loss_fn_inputs"]["target_tokens"] = [8, 8]
    path.write_text("".join(json.dumps(row) + "\n" for row in (first, second)))
    with pytest.raises(ArtefactError, match=r"target_tokens is not model_input shifted, line 2$"):
        tinker.read(tmp_path / "out", manifest)
