"""A manifest's word on where its numbers come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from batches import PROVENANCE, made, step_row, write

from workbench.errors import ParameterError
from workbench.exporters import Manifest, read_manifest


def test_the_manifest_says_where_the_numbers_come_from(tmp_path: Path) -> None:
    policy: dict[str, Any] = {
        "model": "m-7b",
        "policy_version": 5,
        "train_step": 7,
        "tokenizer": "tok",
    }
    row = step_row("t", 0, prompt_ids=[1], response_ids=[2], **policy)
    manifest = write(*made([row]), tmp_path / "out")
    assert manifest.source == PROVENANCE.log
    assert manifest.method == PROVENANCE.method
    assert manifest.conventions == {"eps": 1e-6, "ddof": 1}
    assert manifest.policy == {
        "models": ["m-7b"],
        "acted": [["m-7b"]],
        "versions": [5],
        "train_steps": [7],
        "max_staleness": 2,
    }
    assert manifest.tokenizer == "tok"
    assert "slime" in manifest.turn_off
    assert read_manifest(tmp_path / "out") == manifest
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_two_tokenizers_are_refused(tmp_path: Path) -> None:
    for named in (("toka", "tokb"), ("tokb", "toka")):
        rows = [
            step_row(f"t{k}", 0, prompt_ids=[1], response_ids=[2], tokenizer=name)
            for k, name in enumerate(named)
        ]
        with pytest.raises(ParameterError) as refused:
            write(*made(rows), tmp_path / "out")
        # Those that differ from the first are the ones named.
        assert "are of 2 tokenizers, ['toka', 'tokb']: " in str(refused.value)
        assert "trajectory 't1'" in str(refused.value)
        assert "trajectory 't0'" not in str(refused.value)
