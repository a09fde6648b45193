"""Each target's files, read by plain code and not by the target's own reader."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from batches import (
    PROVENANCE,
    exportable,
    logs,
    made,
    step_row,
    token_log,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import ArtefactError, EmptyBatchError, MissingInputError, ParameterError
from workbench.exporters import TARGETS, Manifest, read_manifest
from workbench.exporters.assembly import row_checks
from workbench.exporters.folder import MANIFEST, _entry
from workbench.log.schema import validate

TOKENS = ("datasets", "rllm", "skyrl", "slime", "tinker", "trl", "verl", "weighted-batch")
DATA = {
    "datasets": "dataset.parquet",
    "rllm": "episodes.jsonl",
    "skyrl": "generator_output.json",
    "slime": "samples.jsonl",
    "tinker": "datums.jsonl",
    "trl": "rollout_samples.jsonl",
    "verl": "verl_batch.npz",
    "weighted-batch": "weighted_batch.parquet",
}
LOADERS = {"skyrl", "slime", "tinker", "trl", "verl"}
Log = tuple[pl.DataFrame, pl.DataFrame]


def write(target: str, log: Log, directory: Path, **options: Any) -> Manifest:
    return TARGETS[target](*exportable(log), directory, **options)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


Tokens = Iterator[tuple[int, float, int | None]]
"""Each token that a trainer trains on, or could: its id, its advantage, and what the mask says."""


def _tinker(path: Path) -> Tokens:
    for row in lines(path):
        inputs = row["loss_fn_inputs"]
        assert len(row["model_input"]) == len(inputs["target_tokens"])
        # Tinker has no mask: an advantage of 0 is one.
        for token, value in zip(inputs["target_tokens"], inputs["advantages"], strict=True):
            yield token, value, None


def _trl(path: Path) -> Tokens:
    for row in lines(path):
        for token, mask in zip(row["input_ids"], row["completion_mask"], strict=True):
            yield token, mask * row["advantage"], mask


def _verl(path: Path) -> Tokens:
    names = ("responses", "rm_scores", "response_mask")
    with path.open("rb") as opened, np.load(opened) as file:
        yield from zip(*(file[name].ravel().tolist() for name in names), strict=True)


def _skyrl(path: Path) -> Tokens:
    whole = json.loads(path.read_text())
    for row in zip(whole["response_ids"], whole["rewards"], whole["loss_masks"], strict=True):
        yield from zip(*row, strict=True)


def _slime(path: Path) -> Tokens:
    for row, credit in zip(lines(path), lines(path.parent / "advantages.jsonl"), strict=True):
        assert row["index"] == credit["index"]
        response = row["tokens"][-row["response_length"] :]
        yield from zip(response, credit["advantages"], row["loss_mask"], strict=True)


def _rllm(path: Path) -> Tokens:
    for episode in lines(path):
        for step in episode["trajectories"][0]["steps"]:
            names = ("response_ids", "advantage", "response_mask")
            yield from zip(*(step[name] for name in names), strict=True)


def _datasets(path: Path) -> Tokens:
    for row in pq.read_table(path).to_pylist():
        for token, label in zip(row["input_ids"], row["labels"], strict=True):
            yield token, row["weight"] if label == token else 0.0, int(label == token)


def _weighted_batch(path: Path) -> Tokens:
    for row in pq.read_table(path).to_pylist():
        yield from zip(row["input_ids"], row["advantages"], row["loss_mask"], strict=True)


def credited(target: str, folder: Path) -> list[tuple[int, float, int | None]]:
    """The tokens of a target's file, row by row."""
    read = globals()[f"_{target.replace('-', '_')}"]
    return list(read(folder / DATA[target]))


def test_there_is_a_target_for_each_trainer_that_says_what_to_switch_off():
    for target in TARGETS.values():
        assert (target.layout.trainer is None) == (target.layout.turn_off == "")
    assert set(TARGETS) == {*TOKENS, "prime-rl"}


@pytest.mark.parametrize("target", TOKENS)
def test_a_single_advantage_lands_on_its_own_tokens(tmp_path: Path, target: str):
    # t0 step 1 has the tokens 5 and 6; every token of the log has another id, but for the step
    # before, which stands in the prompt.
    log, credit = token_log()
    only = (pl.col("trajectory_id") == "t0") & (pl.col("step_index") == 1)
    credit = credit.with_columns(pl.when(only).then(3.0).otherwise(0.0).alias("advantage"))
    write(target, (log, credit), tmp_path / "out")
    found = credited(target, tmp_path / "out")
    assert sorted((token, value) for token, value, _ in found if value) == [(5, 3.0), (6, 3.0)]


@pytest.mark.parametrize("target", TOKENS)
def test_only_what_the_policy_sampled_and_trains_on_is_trained(tmp_path: Path, target: str):
    # Of t0's first reply 3 and 5 were sampled and 4 was put in; its second step is not trained.
    mask = pl.List(pl.Int8)
    log = made(
        [
            step_row("t0", 0, 2.0, prompt_ids=[1, 2], response_ids=[3, 4, 5],
                     response_mask=[1, 0, 1]),
            step_row("t0", 1, 7.0, prompt_ids=[1, 2, 3, 4, 5, 6], response_ids=[8],
                     response_mask=[1], gradient_mask=False),
            step_row("t1", 0, 0.5, prompt_ids=[9], response_ids=[10], response_mask=[1]),
        ],
        response_mask=mask,
    )  # fmt: skip
    manifest = write(target, log, tmp_path / "out")
    found = credited(target, tmp_path / "out")
    expected = [(3, 2.0), (5, 2.0), (10, 0.5)]
    assert sorted((token, value) for token, value, _ in found if value) == expected
    if target != "tinker":
        assert sorted(token for token, _, mask in found if mask) == [3, 5, 10]
    assert manifest.checks["masked_advantages_zero"]
    assert manifest.counts["masked_steps"] == 1


@pytest.mark.parametrize("target", TOKENS)
def test_a_manifest_says_what_a_trainer_must_know(tmp_path: Path, target: str):
    log, credit = token_log(
        response_logprobs=[-0.5],
        train_step=7,
        policy_version=5,
        model="policy",
        tokenizer="words",
    )
    credit = credit.with_columns(
        excluded=pl.when(pl.col("trajectory_id") == "t1").then(pl.lit("out"))
    )
    write(target, (log, credit), tmp_path / "out", positive_only=False, weight="inverse_length")
    said = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert said["method"] == PROVENANCE.method
    assert said["source"] == PROVENANCE.log
    assert said["conventions"] == {"eps": 1e-06, "ddof": 1}
    assert said["options"]["weight"] == "inverse_length"
    assert said["unit"] == (TARGETS[target].layout.unit or "trajectory")
    assert said["policy"] == {
        "models": ["policy"], "versions": [5], "train_steps": [7], "max_staleness": 2
    }  # fmt: skip
    lost = {"groups": 1, "trajectories": 1, "steps": 1}
    assert said["dropped"]["excluded_trajectories"] == lost
    assert (said["input"]["steps"], said["counts"]["steps"]) == (3, 2)
    assert said["counts"]["zero_advantage_groups"] == 0
    assert said["worth"]["pulling"] == 2
    assert said["tokens"]["from"] == "log"
    layout = TARGETS[target].layout
    own = {layout.trainer: layout.turn_off} if layout.trainer else layout.any_trainer()
    assert said["turn_off"] == own
    assert said["checks"] == {
        "lengths_equal": True, "masked_advantages_zero": True, "logprobs_present": False,
        "prefix_property": True, "read_back_equal": True,
    }  # fmt: skip
    assert set(said["files"]) == {path.name for path in (tmp_path / "out").iterdir()} - {MANIFEST}


def test_checks_are_looked_at_in_the_rows():
    rows = TARGETS["weighted-batch"].assemble(*exportable(token_log())).rows
    good = {"lengths_equal": True, "masked_advantages_zero": True, "logprobs_present": False}
    assert row_checks(rows) == good
    everywhere = rows.with_columns(pl.col("advantages").list.eval(pl.element() + 1))
    assert row_checks(everywhere) == {**good, "masked_advantages_zero": False}
    short = rows.with_columns(pl.col("step_ids").list.head(1))
    assert row_checks(short)["lengths_equal"] is False
    texts = TARGETS["weighted-batch"].assemble(
        *exportable([frame.drop("prompt_ids", strict=False) for frame in token_log()])
    ).rows  # fmt: skip
    assert row_checks(texts) == good


def shared_log(shared: Path) -> Log:
    log = validate(pl.read_parquet(shared / "samples" / "canonical_steps.parquet")).log
    log = log.with_columns(policy_version=pl.lit(11, dtype=pl.Int64))
    golden = pl.DataFrame(json.loads((shared / "samples" / "golden.json").read_text()))
    credit = golden.select(
        "group_id",
        "trajectory_id",
        pl.col("step_index").cast(pl.Int32),
        advantage=pl.col("grpo_adv") + pl.col("gigpo_step_adv_mean_norm"),
        excluded=pl.lit(None, dtype=pl.String),
    )
    return log, credit


def test_the_tinker_sample_comes_out(shared: Path, tmp_path: Path):
    write("tinker", shared_log(shared), tmp_path / "out")
    expected = lines(shared / "samples" / "exports" / "tinker_datums.jsonl")
    for row, sample in zip(lines(tmp_path / "out" / DATA["tinker"]), expected, strict=True):
        assert row | {"meta": sample["meta"]} == sample
        assert sample["meta"].items() <= row["meta"].items()


def test_the_trl_sample_comes_out(shared: Path, tmp_path: Path):
    write("trl", shared_log(shared), tmp_path / "out")
    expected = lines(shared / "samples" / "exports" / "trl_async_rollout_samples.jsonl")
    assert lines(tmp_path / "out" / DATA["trl"]) == expected


def test_the_verl_sample_comes_out(shared: Path, tmp_path: Path):
    write("verl", shared_log(shared), tmp_path / "out")
    found = np.load(tmp_path / "out" / DATA["verl"])
    expected = np.load(shared / "samples" / "exports" / "verl_batch.npz")
    assert set(expected.files) <= set(found.files)
    for name in expected.files:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
        assert found[name].dtype == expected[name].dtype


@pytest.mark.parametrize("target", TOKENS)
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, target: str):
    for name in ("a", "b"):
        write(target, token_log(), tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=logs(),
    weight=st.sampled_from(["none", "inverse_length"]),
    unit=st.sampled_from([None, "step"]),
)
def test_every_group_pulls_as_hard_whatever_the_target(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    weight: str,
    unit: str | None,
):
    """What is read back is what was written (save checks that), and it is the same credit."""
    log = made(rows, response_mask=pl.List(pl.Int8))
    folder = tmp_path_factory.mktemp("export")
    try:
        canonical = TARGETS["weighted-batch"].assemble(*exportable(log), weight=weight, unit=unit)
    except EmptyBatchError:
        return
    refused: list[str] = []
    for target in set(TOKENS) - {"weighted-batch"}:
        options = {"positive_only": False} if target == "datasets" else {}
        options |= {"unit": unit} if unit in TARGETS[target].units else {}
        try:
            batch = TARGETS[target].assemble(*exportable(log), weight=weight, **options)
        except (EmptyBatchError, MissingInputError, ParameterError) as error:
            refused.append(str(error))
            continue
        TARGETS[target].save(batch, folder / target)
        if canonical.worth.pulling:
            mine, other = (
                w.groups.filter(pl.col("share") > 0) for w in (batch.worth, canonical.worth)
            )
            mine, other = (g.sort("group_id").select("group_id", "share") for g in (mine, other))
            assert mine["group_id"].equals(other["group_id"])
            np.testing.assert_allclose(mine["share"], other["share"], rtol=1e-5)
            assert batch.worth.effective_steps == pytest.approx(
                canonical.worth.effective_steps, rel=1e-5
            )
        assert TARGETS[target].load(folder / target).height == batch.rows.height
    reasons = ("would train nothing", "begin with a trained", "does not have: group")
    assert all(any(reason in text for reason in reasons) for text in refused)


@pytest.mark.parametrize("target", TOKENS)
def test_damage_is_found(tmp_path: Path, target: str):
    write(target, token_log(), tmp_path / "out")
    path = tmp_path / "out" / DATA[target]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArtefactError, match="is not the file that"):
        TARGETS[target].load(tmp_path / "out")
    # Even where a faulty tool wrote the digest anew.
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    manifest["files"][path.name] = _entry(path)
    (tmp_path / "out" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArtefactError):
        TARGETS[target].load(tmp_path / "out")


@pytest.mark.parametrize("target", TOKENS)
def test_an_interrupted_export_never_looks_finished(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workbench.exporters.base.require_equal", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(target, token_log(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


KILLED = """
import dataclasses, os, signal, sys
from pathlib import Path
from batches import exportable, token_log
from workbench.exporters import TARGETS

def half(batch, folder):
    target.write(batch, folder)
    os.kill(os.getpid(), signal.SIGKILL)

target = TARGETS["verl"]
dataclasses.replace(target, write=half)(*exportable(token_log()), Path(sys.argv[1]))
"""


def test_a_killed_export_leaves_nothing_under_its_name_and_the_next_one_works(tmp_path: Path):
    out = tmp_path / "out"
    paths = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parents[1])))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(out)],
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert re.fullmatch(r"\.out\..*\.part", left.name)
    assert write("verl", token_log(), out) == read_manifest(out)


def test_what_reads_back_otherwise_is_refused_with_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trained = "workbench.exporters.targets.trl.trained_advantage"
    monkeypatch.setattr(trained, lambda rows: pl.Series([0.5, -2.0, 9.0], dtype=pl.Float32))
    with pytest.raises(
        ArtefactError, match=r"advantages was written as .*row 2 \(trajectory 't1'\)"
    ):
        write("trl", token_log(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", sorted(LOADERS))
def test_a_loader_is_taken_along_and_has_its_digest(tmp_path: Path, target: str):
    manifest = write(target, token_log(), tmp_path / "out")
    name = f"workbench_{target}.py"
    assert name in read_manifest(tmp_path / "out").files
    assert list(manifest.turn_off) == [TARGETS[target].layout.trainer]
    if name in manifest.turn_off[TARGETS[target].layout.trainer]:
        assert (tmp_path / "out" / name).is_file()


def test_skyrl_knows_the_steps_of_a_trajectory_by_its_repetition(tmp_path: Path):
    write("skyrl", token_log(), tmp_path / "out", unit="step")
    whole = json.loads((tmp_path / "out" / DATA["skyrl"]).read_text())
    assert [entry["repetition_id"] for entry in whole["trajectory_ids"]] == [0, 0, 1]
    assert whole["is_last_step"] == [False, True, True]


def test_a_weight_is_multiplied_into_the_advantages(tmp_path: Path):
    manifest = write("tinker", token_log(), tmp_path / "out", weight="inverse_length")
    assert manifest.weight["multiplies"] == "the advantages"
    # t0 has two trained steps: 0.5 / 2 and -2 / 2.
    found = {token: value for token, value, _ in credited("tinker", tmp_path / "out") if value}
    assert found == {3: 0.25, 5: -1.0, 6: -1.0, 8: 0.25}


def test_rows_that_train_nothing_are_left_out_and_counted(tmp_path: Path):
    log, credit = token_log()
    masked = log.with_columns(gradient_mask=pl.col("trajectory_id") == "t0")
    manifest = write("verl", (masked, credit), tmp_path / "out")
    assert manifest.counts["rows_without_training"] == 1
    assert manifest.counts["rows"] == 1
    nothing = log.with_columns(gradient_mask=False)
    with pytest.raises(EmptyBatchError, match="none of its 3 steps is trained"):
        write("verl", (nothing, credit), tmp_path / "none")


def test_a_sequence_that_begins_with_a_trained_token_is_refused(tmp_path: Path):
    log = made([step_row("t", 0, 1.0, prompt_ids=[], response_ids=[3, 4])])
    for target in ("tinker", "verl"):
        with pytest.raises(ParameterError, match=r"begin with a trained token.*trajectory 't'"):
            write(target, log, tmp_path / target)
    assert write("weighted-batch", log, tmp_path / "whole").counts["rows"] == 1


def test_units_that_a_trainer_does_not_take_are_refused(tmp_path: Path):
    for target in ("datasets", "rllm"):
        with pytest.raises(ParameterError, match=rf"{target}: unit must be one of \['step'\]"):
            write(target, token_log(), tmp_path / "out", unit="trajectory")


def test_log_probabilities_that_some_rows_lack_are_left_out_where_all_must_have_them(
    tmp_path: Path,
):
    rows = [
        step_row("t0", 0, prompt_ids=[1], response_ids=[2], response_logprobs=[-0.5]),
        step_row("t1", 0, prompt_ids=[1], response_ids=[2], response_logprobs=None),
    ]
    log = made(rows)
    assert write("verl", log, tmp_path / "verl").checks["logprobs_present"] is False
    assert "rollout_log_probs" not in np.load(tmp_path / "verl" / DATA["verl"]).files
    write("skyrl", log, tmp_path / "skyrl")
    assert json.loads((tmp_path / "skyrl" / DATA["skyrl"]).read_text())["rollout_logprobs"] is None
    write("trl", log, tmp_path / "trl")
    found = [row["old_log_probs"] for row in lines(tmp_path / "trl" / DATA["trl"])]
    assert found == [[0.0, -0.5], None]


def test_steps_of_a_dataset_are_those_with_positive_credit_unless_all_are_asked_for(tmp_path: Path):
    manifest = write("datasets", token_log(), tmp_path / "positive")
    rows = pq.read_table(tmp_path / "positive" / DATA["datasets"]).to_pylist()
    assert [(row["trajectory_id"], row["weight"]) for row in rows] == [("t0", 0.5), ("t1", 0.25)]
    assert rows[0]["labels"] == [-100, -100, 3]
    assert manifest.counts["not_positive"] == 1
    write("datasets", token_log(), tmp_path / "all", positive_only=False)
    rows = pq.read_table(tmp_path / "all" / DATA["datasets"]).to_pylist()
    assert [row["weight"] for row in rows] == [0.5, -2.0, 0.25]


def test_messages_of_a_dataset_are_prompt_and_completion(tmp_path: Path):
    log = made([step_row("t", 0, 0.5), step_row("t", 1, 2.0)])
    write("datasets", log, tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / DATA["datasets"]).to_pylist()
    assert [len(row["prompt"]) for row in rows] == [1, 3]
    assert rows[1]["completion"] == [{"role": "assistant", "content": "do 1"}]
    assert [row["weight"] for row in rows] == [0.5, 2.0]


def several(**columns: Any) -> Log:
    """Advantages 0.5, -2, 0.25 and 0 in three groups of tasks a, a and b."""
    values = {"g": ("a", [0.5, -2.0]), "h": ("a", [0.25]), "i": ("b", [0.0])}
    return made([
        step_row(f"{group}/t", step, value, group=group, task=task, **columns)
        for group, (task, advantages) in values.items()
        for step, value in enumerate(advantages)
    ])  # fmt: skip


def test_only_the_groups_or_tasks_that_were_asked_for(tmp_path: Path):
    manifest = write("weighted-batch", several(), tmp_path / "a", groups=["h", "i"])
    assert manifest.counts["groups"] == 2
    assert manifest.dropped["not_selected"] == {"groups": 1, "trajectories": 1, "steps": 2}
    manifest = write("weighted-batch", several(), tmp_path / "b", tasks=["a"], groups=["g", "i"])
    assert (manifest.counts["groups"], manifest.counts["steps"]) == (1, 2)
    with pytest.raises(
        ParameterError, match=r"no group 'z'; it has 3, the first \['g', 'h', 'i'\]"
    ):
        write("weighted-batch", several(), tmp_path / "c", groups=["g", "z"])
    with pytest.raises(ParameterError, match="no task 'z'"):
        write("weighted-batch", several(), tmp_path / "c", tasks=["z"])
    log, credit = several()
    with pytest.raises(ParameterError, match="no column 'task'"):
        write("weighted-batch", (log.drop("task"), credit), tmp_path / "c", tasks=["a"])
    with pytest.raises(EmptyBatchError, match=r"left out: 3 \(not asked for\)"):
        write("weighted-batch", several(), tmp_path / "c", tasks=["b"], groups=["g"])


def trained(target: str, log: Log, **options: Any) -> tuple[Any, list[list[float]]]:
    batch = TARGETS[target].assemble(*exportable(log), **options)
    pairs = batch.rows.select("step_advantages", "step_mask").iter_rows()
    return batch.manifest.counts, [
        [value for value, mask in zip(values, masks, strict=True) if mask]
        for values, masks in pairs
    ]


def test_advantages_are_limited():
    counts, found = trained("weighted-batch", several(), clip=0.4)
    assert found == [pytest.approx([0.4, -0.4]), [0.25], [0.0]]
    assert counts["clipped_steps"] == 2


def test_only_the_largest_advantages_are_trained():
    # ⌈0.5 · 4⌉ = 2 of |0.5|, |-2|, |0.25|, |0|.
    counts, found = trained("weighted-batch", several(), top_share=0.5)
    assert found == [[0.5, -2.0], [], []]
    assert (counts["below_top_share"], counts["masked_steps"]) == (2, 2)
    # ⌈0.51 · 4⌉ = 3.
    assert trained("weighted-batch", several(), top_share=0.51)[1] == [[0.5, -2.0], [0.25], []]
    # Limited to 0.25, three are equally large: they are taken together.
    counts, found = trained("weighted-batch", several(), top_share=0.25, clip=0.25)
    assert found == [[0.25, -0.25], [0.25], []]
    counts, found = trained("weighted-batch", several(), top_share=0.25, drop_zero_groups=True)
    assert found == [[-2.0]]
    assert counts["groups"] == 1


def test_only_positive_advantages_are_trained():
    counts, found = trained("weighted-batch", several(), positive_only=True, top_share=0.5)
    # Of 0.5 and 0.25 the larger half.
    assert found == [[0.5], [], []]
    assert (counts["not_positive"], counts["below_top_share"]) == (2, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": 0.0}, r"clip must be in \(0.0, inf\)"),
        ({"clip": float("nan")}, r"clip must be in \(0.0, inf\)"),
        ({"clip": "1"}, "clip must be a float or null"),
        ({"clip": True}, "clip must be a float or null"),
        ({"top_share": 0}, r"top_share must be in \(0.0, 1.0\]"),
        ({"top_share": 1.5}, "top_share must be in"),
        ({"top_share": None}, "top_share must be a float"),
        ({"groups": "g"}, "groups must be a list"),
        ({"groups": []}, "at least one text"),
        ({"tasks": [1]}, "tasks: must be a list of at least one text"),
        ({"positive_only": 1}, "positive_only must be a bool"),
        ({"tokenizer": 3}, "tokenizer must be a str or null"),
        ({"unit": "token"}, "unit must be one of"),
        ({"unit": []}, "unit must be one of"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: Any, message: str):
    with pytest.raises(ParameterError, match=message):
        write("weighted-batch", several(), tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", TOKENS)
def test_bad_input_is_refused_with_its_row(tmp_path: Path, target: str):
    log, credit = token_log()
    last = pl.col("trajectory_id") == "t1"
    nan = credit.with_columns(advantage=pl.when(last).then(float("nan")).otherwise("advantage"))
    with pytest.raises(ParameterError, match=r"scored steps is NaN: .*trajectory 't1' step 0"):
        write(target, (log, nan), tmp_path / "out")
    long = log.with_columns(
        response_mask=pl.when(last).then(pl.lit([1, 1], dtype=pl.List(pl.Int8)))
    )
    with pytest.raises(ParameterError, match=r"another length than response_ids.*'t1' step 0"):
        write(target, (long, credit), tmp_path / "out")
    with pytest.raises(EmptyBatchError, match="no trajectory is left to export"):
        write(target, (log.with_columns(excluded=pl.lit("no")), credit), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_trajectory_without_token_ids_is_left_out_of_a_log_that_has_them(tmp_path: Path):
    rows = [
        step_row("t0", 0, prompt_ids=[1], response_ids=[2]),
        step_row("t1", 0, prompt_ids=None, response_ids=None),
    ]
    manifest = write("verl", made(rows), tmp_path / "out")
    assert manifest.dropped["no_token_ids"]["trajectories"] == 1


# Fields of slime's Sample (slime/utils/types.py, 0d234f3): from_dict sets what it does not know as
# attributes, so a field that is spelt otherwise is lost without a word.
SLIME_SAMPLE = {
    *("group_index", "index", "prompt", "tokens", "response", "response_length", "label", "reward"),
    *("loss_mask", "weight_versions", "rollout_log_probs", "status", "metadata"),
}
SLIME_STATUS = {"pending", "completed", "truncated", "aborted", "failed"}


def test_slime_knows_every_field_of_its_samples(tmp_path: Path):
    log, credit = token_log(response_logprobs=[-0.5])
    write("slime", (log, credit), tmp_path / "out", unit="step")
    samples = lines(tmp_path / "out" / DATA["slime"])
    assert [sample["index"] for sample in samples] == [0, 1, 2]
    assert [sample["rollout_log_probs"] for sample in samples] == [[-0.5], None, None]
    for sample in samples:
        assert sample.keys() <= SLIME_SAMPLE
        assert sample["status"] in SLIME_STATUS
        # slime asserts this where it makes its training data.
        assert len(sample["loss_mask"]) == sample["response_length"]
        assert 0 < sample["response_length"] < len(sample["tokens"])


# What rLLM's `from_dict` of Episode, Trajectory and Step looks up without a default.
RLLM_EPISODE = {"id", "task", "is_correct", "trajectories"}
RLLM_TRAJECTORY = {"name", "task", "reward"}
RLLM_STEP = {
    *("prompt_ids", "response_ids", "logprobs", "chat_completions", "observation", "thought"),
    *("action", "model_response", "reward", "done", "mc_return"),
}


def test_rllm_finds_all_that_it_looks_up(tmp_path: Path):
    log, credit = token_log()
    write("rllm", (log, credit), tmp_path / "out")
    episodes = lines(tmp_path / "out" / DATA["rllm"])
    ids = [episode["id"] for episode in episodes]
    assert len(set(ids)) == len(ids)
    for episode in episodes:
        assert episode.keys() >= RLLM_EPISODE
        # rLLM refuses a reason that it does not know, null too; without one it takes "unknown".
        assert "termination_reason" not in episode
        assert episode["id"].rsplit(":", 1)[0] == episode["task"]
        (trajectory,) = episode["trajectories"]
        assert trajectory.keys() >= RLLM_TRAJECTORY
        steps = trajectory["steps"]
        assert [step["done"] for step in steps] == [False] * (len(steps) - 1) + [True]
        for step in steps:
            assert step.keys() >= RLLM_STEP
            # Lists of another length are replaced with zeros, and a number is refused.
            assert len(step["advantage"]) == len(step["response_ids"])
            # No probabilities is an empty list there: its length is asked for.
            assert len(step["logprobs"]) in (0, len(step["response_ids"]))


def test_without_logged_probabilities_rllm_gets_empty_lists(tmp_path: Path):
    log, credit = token_log()
    log = log.drop("response_logprobs", strict=False)
    write("rllm", (log, credit), tmp_path / "out")
    for episode in lines(tmp_path / "out" / DATA["rllm"]):
        assert all(step["logprobs"] == [] for step in episode["trajectories"][0]["steps"])
    manifest = read_manifest(tmp_path / "out")
    again = TARGETS["rllm"].read(tmp_path / "out", manifest)
    assert again["old_logprobs"].null_count() == again.height
