"""Traces of verifiers again: everything but the advantages byte by byte."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest
from batches import PROVENANCE, STEP, made, scored_credit
from traces import ODD, traced

from workbench.errors import ArtefactError, MissingInputError, ParameterError
from workbench.exporters import TARGETS, read_manifest
from workbench.exporters.targets.prime import require


def without(text: str) -> str:
    """A line without what `advantages` of nodes hold."""
    return re.sub(r',\s?"advantages":\s?\[[-0-9., e]*\]', "", text)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_all_but_the_advantages_is_equal_byte_by_byte(tmp_path: Path, newline: str):
    log, credit, source = traced(tmp_path, newline=newline)
    TARGETS["prime-rl"](log, scored_credit(credit), tmp_path / "out")
    before = source.read_bytes().decode().split("\n")
    after = (tmp_path / "out" / "traces.jsonl").read_bytes().decode().split("\n")
    assert [without(line) for line in after] == [without(line) for line in before]
    assert after[1] == before[1].replace(
        '"logprobs":[-0.5,-1e-3]', '"logprobs":[-0.5,-1e-3],"advantages":[0.1, 0.1]'
    )
    nodes = json.loads(after[0])["traces"][0]["nodes"]
    assert [node.get("advantages") for node in nodes] == [None, [0.5], None, [-2.0, -2.0]]


def test_a_single_advantage_lands_on_its_own_tokens(tmp_path: Path):
    log, credit, _ = traced(tmp_path)
    only = (pl.col("trajectory_id") == "tr-0") & (pl.col("step_index") == 1)
    credit = credit.with_columns(pl.when(only).then(3.0).otherwise(0.0).alias("advantage"))
    TARGETS["prime-rl"](log, scored_credit(credit), tmp_path / "out")
    found = {}
    for line in (tmp_path / "out" / "traces.jsonl").read_text().splitlines():
        for trace in json.loads(line)["traces"]:
            for number, node in enumerate(trace["nodes"]):
                sampled = [
                    token for token, m in zip(node["token_ids"], node["mask"], strict=True) if m
                ]
                values = node.get("advantages", [])
                assert len(values) == (len(sampled) if node.get("sampled") else 0)
                if any(values):
                    found[trace["id"], number] = list(zip(sampled, values, strict=True))
    assert found == {("tr-0", 3): [(7, 3.0), (7, 3.0)]}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert set(manifest["turn_off"]) == {"prime-rl"}
    assert (manifest["unit"], manifest["method"]) == ("step", PROVENANCE.method)


def test_traces_that_are_not_in_the_batch_get_zeros(tmp_path: Path):
    log, credit, _ = traced(tmp_path)
    other = pl.when(pl.col("trajectory_id") == "tr-0").then(pl.lit("out")).alias("excluded")
    manifest = TARGETS["prime-rl"](log.with_columns(other), scored_credit(credit), tmp_path / "out")
    assert manifest.dropped["excluded_trajectories"]["trajectories"] == 1
    first = (tmp_path / "out" / "traces.jsonl").read_text().splitlines()[0]
    nodes = json.loads(first)["traces"][0]["nodes"]
    assert [node.get("advantages") for node in nodes] == [None, [0.0], None, [0.0, 0.0]]


def test_a_weight_is_multiplied_in(tmp_path: Path):
    log, credit, _ = traced(tmp_path)
    TARGETS["prime-rl"](log, scored_credit(credit), tmp_path / "out", weight="inverse_length")
    first = (tmp_path / "out" / "traces.jsonl").read_text().splitlines()[0]
    # Two trained steps: 0.5 / 2 and -2 / 2.
    nodes = json.loads(first)["traces"][0]["nodes"]
    assert [node.get("advantages") for node in nodes] == [None, [0.25], None, [-1.0, -1.0]]


def test_traces_that_are_gone_or_were_changed_are_refused(tmp_path: Path):
    log, credit, source = traced(tmp_path)
    changed = source.read_text().replace('"token_ids": [7, 7]', '"token_ids": [7, 4]')
    source.write_text(changed)
    with pytest.raises(ParameterError, match=r"other tokens than the log: .*'tr-0' step 1"):
        TARGETS["prime-rl"](log, scored_credit(credit), tmp_path / "out")
    source.write_text(changed.splitlines()[1] + "\n")
    with pytest.raises(ParameterError, match=r"2 steps are no sampled node.*'tr-0'"):
        TARGETS["prime-rl"](log, scored_credit(credit), tmp_path / "out")
    source.write_text('{"id": 1}\n')
    with pytest.raises(
        ParameterError, match=r"traces.jsonl:1 is no episode of .*: it has no traces"
    ):
        TARGETS["prime-rl"](log, scored_credit(credit), tmp_path / "out")
    source.unlink()
    with pytest.raises(MissingInputError, match="are not there"):
        TARGETS["prime-rl"](log, scored_credit(credit), tmp_path / "out")
    gone = (
        log.head(1)
        .select(pl.all().repeat_by(4).explode())
        .with_columns(source_file=pl.Series([f"gone{k}" for k in range(4)]))
    )
    with pytest.raises(MissingInputError, match=r"not there: \['gone0', 'gone1', 'gone2'\]\. "):
        require(gone)
    with pytest.raises(MissingInputError, match="does not say which"):
        TARGETS["prime-rl"](log.drop("source_file"), scored_credit(credit), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_agents_that_are_not_trained_are_not_touched(tmp_path: Path):
    log, credit, source = traced(tmp_path)
    judge = ODD.replace('"tr-1"', '"judge"').replace('"trainable":true', '"trainable":false')
    source.write_text(source.read_text() + judge + "\n")
    TARGETS["prime-rl"](log, scored_credit(credit), tmp_path / "out")
    assert (tmp_path / "out" / "traces.jsonl").read_text().splitlines()[2] == judge


def test_the_sample_traces_come_back_with_other_advantages(shared: Path, tmp_path: Path):
    source = shared / "samples" / "prime_traces.jsonl"
    numbers = {f"t{number}": number for number in range(4)}
    number = pl.col("trajectory_id").replace_strict(numbers, return_dtype=pl.Int64)
    canonical = pl.read_parquet(shared / "samples" / "canonical_steps.parquet").with_columns(
        pl.format("tr-{}", number).alias("trajectory_id"),
        source_file=pl.lit(str(source)),
        source_line=number + 1,
    )
    credit = canonical.select(*STEP, advantage=2 * pl.col("grpo_adv"), excluded=pl.lit(None))
    log, _ = made(canonical.drop("episode_reward").with_columns(advantage=1.0).to_dicts())
    credit = credit.cast({"step_index": pl.Int32, "excluded": pl.String})
    TARGETS["prime-rl"](log, scored_credit(credit), tmp_path / "out")
    text = (tmp_path / "out" / "traces.jsonl").read_text()
    assert text.replace("1.732048", "0.866024").replace("-1.732048", "-0.866024") == (
        source.read_text()
    )


def test_no_file_is_read_that_is_not_of_the_export(tmp_path: Path):
    log, credit, source = traced(tmp_path)
    TARGETS["prime-rl"](log, scored_credit(credit), tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    steps = tmp_path / "out" / "steps.jsonl"
    steps.write_text(steps.read_text().replace('"traces.jsonl"', f'"../{source.name}"'))
    with pytest.raises(ArtefactError, match=r"steps.jsonl names '../traces.jsonl', which is no"):
        TARGETS["prime-rl"].read(tmp_path / "out", manifest)


def test_what_is_no_file_of_traces_is_refused_before_anything_is_assembled(tmp_path: Path):
    log, _, source = traced(tmp_path)
    require(log)
    source.write_text('\n\n{"id": 1}\n')
    with pytest.raises(ParameterError, match=r"traces.jsonl:3 is no episode"):
        require(log)
    source.write_bytes(b"\xff\xfe")
    with pytest.raises(ParameterError, match="is not text"):
        require(log)
