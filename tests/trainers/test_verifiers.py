from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from batches import scored_credit
from traces import traced

from workbench.exporters import TARGETS


def test_verifiers_reads_its_traces_back_with_our_advantages(tmp_path: Path):
    from verifiers.v1.episode import WireEpisode

    log, credit, source = traced(tmp_path)
    folder = tmp_path / "out"
    TARGETS["prime-rl"](log, scored_credit(credit), folder)
    expected = {
        (row["trajectory_id"], row["step_index"]): row["advantage"]
        for row in credit.iter_rows(named=True)
    }
    found = {}
    lines = zip(source.read_text().splitlines(), (folder / "traces.jsonl").read_text().splitlines(),
                strict=True)  # fmt: skip
    for before, after in lines:
        old, new = (WireEpisode.model_validate_json(text) for text in (before, after))
        for trace in new.traces:
            sampled = [node for node in trace.nodes if node.sampled]
            for number, node in enumerate(sampled):
                assert len(node.advantages) == sum(node.mask) == len(node.logprobs)
                assert len(set(node.advantages)) == 1
                found[trace.id, number] = node.advantages[0]
        # Times that a file does not have are those of reading it.
        for mine, theirs in zip(new.traces, old.traces, strict=True):
            mine.timing = theirs.timing
            for node in (*mine.nodes, *theirs.nodes):
                node.advantages, node.timestamp = None, 0.0
        assert new == old
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_branch_that_prime_rl_trains_has_every_token_s_advantage(tmp_path: Path):
    from verifiers.v1.episode import WireEpisode

    log, credit, _ = traced(tmp_path)
    only = (pl.col("trajectory_id") == "tr-0") & (pl.col("step_index") == 1)
    credit = credit.with_columns(pl.when(only).then(3.0).otherwise(0.0).alias("advantage"))
    TARGETS["prime-rl"](log, scored_credit(credit), tmp_path / "out")
    first = (tmp_path / "out" / "traces.jsonl").read_text().splitlines()[0]
    (trace,) = WireEpisode.model_validate_json(first).traces
    (branch,) = trace.branches
    step = log.filter(only).row(0, named=True)
    at = len(step["prompt_ids"])
    tokens = list(zip(branch.token_ids, branch.advantages, strict=True))
    assert tokens[at:] == [(token, 3.0) for token in step["response_ids"]]
    assert all(value == 0.0 for _, value in tokens[:at])
    assert json.loads(first)["id"] == "ep-0"
