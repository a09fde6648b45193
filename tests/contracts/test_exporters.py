"""The contract of every export target.

A target is held to it as soon as it is registered. All that a new one adds here is a sample of what
it writes, in tests/exporters/targets/<name>/; this rewrites those of all targets, with the
package versions of constraints.txt, on which Parquet and zip files depend:

    UPDATE_SAMPLES=1 pytest tests/contracts/test_exporters.py

A target that cannot keep a rule says so by a field (`Exporter.masks`, `Layout.cut`,
`Layout.contents`, `Layout.tokenises`, `Layout.set_aside`); here the rule holds for all others, and
is shown broken for that one.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tiny_policy
from batches import (
    PROVENANCE,
    STEP,
    Files,
    Log,
    export,
    exportable,
    files,
    logs,
    made,
    step_row,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from traces import from_traces, sample_log, without_ids

from workbench.errors import ArtefactError, EmptyBatchError, MissingInputError, ParameterError
from workbench.exporters import TARGETS, Batch, read_manifest
from workbench.exporters.archive import archive
from workbench.exporters.card import CARD
from workbench.exporters.selection import PAIRLESS, UNTRAINED
from workbench.files import MANIFEST, file_digest
from workbench.parameters import fields

NAMES = list(TARGETS)
OF_TEXTS = [name for name in NAMES if TARGETS[name].layout.contents != "tokens"]
TEXTS_ONLY = [name for name in NAMES if TARGETS[name].layout.contents == "texts"]
SAMPLES = Path(__file__).parents[1] / "exporters" / "targets"

Trained = tuple[Any, float, float | None]
"""A token or a reply that is trained, its weighted advantage, its log-probability if it has one."""


def data(folder: Path) -> Files:
    """The files of an export but for those that tell of it, its manifest and its card."""
    told = (MANIFEST, CARD)
    return {name: content for name, content in files(folder).items() if name not in told}


def canonical(name: str, logged: Log, **options: Any) -> Batch:
    """The weighted batch of what a target trains, with its options where nothing is said."""
    target, whole = TARGETS[name], TARGETS["weighted-batch"]
    chosen = {**target.options, **options}
    chosen["unit"] = chosen["unit"] or target.layout.unit
    contents = "texts" if name in TEXTS_ONLY else whole.layout.contents
    layout = dataclasses.replace(whole.layout, contents=contents, set_aside=target.layout.set_aside)
    whole = dataclasses.replace(whole, layout=layout, options_type=target.options_type)
    return whole.assemble(*exportable(logged), **chosen)


def names_of(rows: pl.DataFrame) -> tuple[str, str, str]:
    """The columns of what is read, of the advantages, and of what says which are trained."""
    if "input_ids" in rows.columns:
        return "input_ids", "advantages", "loss_mask"
    return "messages", "step_advantages", "step_mask"


def trained(rows: pl.DataFrame, *, mask: bool = True) -> dict[str, list[Trained]]:
    """Trajectory -> its trained tokens or replies in order.

    Args:
        rows: Of a batch, or as a target reads them.
        mask: Whether the mask says what is trained; otherwise an advantage other than 0 does.
    """
    contents, values, masks = names_of(rows)
    found: dict[str, list[Trained]] = {}
    for row in rows.iter_rows(named=True):
        read = row[contents]
        if contents == "messages":
            read = [entry["content"] for entry in read if entry["role"] == "assistant"]
        weight = np.float32(row.get("weight", 1.0))
        own = found.setdefault(row["trajectory_id"], [])
        for index, (content, value) in enumerate(zip(read, row[values], strict=True)):
            if row[masks][index] if mask else value:
                logprobs = row.get("old_logprobs")
                chance = None if logprobs is None else logprobs[index]
                own.append((content, float(np.float32(value) * weight), chance))
    return {name: entries for name, entries in found.items() if entries}


def pulling(found: dict[str, list[Trained]]) -> dict[str, list[Trained]]:
    """Those of the trained tokens whose advantage is not 0."""
    some = {name: [entry for entry in entries if entry[1]] for name, entries in found.items()}
    return {name: entries for name, entries in some.items() if entries}


def changed(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Edits the manifest of an export as a person might."""
    path = folder / MANIFEST
    values = json.loads(path.read_text(encoding="utf-8"))
    edit(values)
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return sample_log(tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_policy.tokenizer(tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, logged: Log
) -> Callable[[str], tuple[Path, Batch]]:
    """An export of the sample log that no test changes, and what was to be in it."""
    made_once: dict[str, tuple[Path, Batch]] = {}

    def of(name: str) -> tuple[Path, Batch]:
        if name not in made_once:
            batch = TARGETS[name].assemble(*exportable(logged))
            folder = tmp_path_factory.mktemp("finished") / name
            TARGETS[name].save(batch, folder)
            made_once[name] = folder, batch
        return made_once[name]

    return of


@pytest.fixture
def copy(finished: Any, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of that export, to be damaged."""

    def of(name: str) -> Path:
        shutil.copytree(finished(name)[0], tmp_path / "copy", dirs_exist_ok=True)
        return tmp_path / "copy"

    return of


# What a target is


def test_every_target_has_a_sample_and_every_sample_a_target():
    if not os.environ.get("UPDATE_SAMPLES"):
        found = {path.name for path in SAMPLES.iterdir() if (path / MANIFEST).is_file()}
        assert found == set(NAMES)


def test_no_two_targets_write_the_same_format():
    formats = [target.layout.format for target in TARGETS.values()]
    assert len(set(formats)) == len(formats)


@pytest.mark.parametrize("name", NAMES)
def test_a_description_is_one_line(name: str):
    text = TARGETS[name].description
    assert re.fullmatch(r"\S.{10,118}\.", text)


@pytest.mark.parametrize("name", NAMES)
def test_what_to_switch_off_is_said_for_the_trainer(name: str, finished: Any):
    layout, said = TARGETS[name].layout, finished(name)[1].manifest.turn_off
    if layout.trainer is None:
        assert {t.layout.trainer for t in TARGETS.values()} - {None} <= set(said)
    else:
        assert said == {layout.trainer: layout.turn_off}
    for text in said.values():
        assert re.fullmatch(r"\S.*[^\s.]", text)
        for module in re.findall(r"\bworkbench_\w+\.py", text):
            assert layout.trainer is None or module in files(finished(name)[0])


@pytest.mark.parametrize("name", NAMES)
def test_every_choice_of_every_option_can_be_chosen(name: str, logged: Log):
    target = TARGETS[name]
    assert set(target.choices) <= set(target.options) == set(target.helps)
    for option, choices in target.choices.items():
        assert target.options[option] in choices
        for value in choices:
            if value != "trajectory":  # t2 cannot be one row
                assert target.assemble(*exportable(logged), **{option: value}).rows.height


@pytest.mark.parametrize("name", NAMES)
def test_options_that_cannot_be_are_refused_by_name(name: str, logged: Log, tmp_path: Path):
    target = TARGETS[name]
    for attempt in (
        lambda **options: export(name, logged, tmp_path / "out", **options),
        lambda **options: target.rehearse(logged[0], **options),
    ):
        with pytest.raises(ParameterError, match="unknown export option 'colour'") as refusal:
            attempt(colour="red")
        assert all(repr(option) in str(refusal.value) for option in target.options)
        for option in fields(target.options_type):
            with pytest.raises(ParameterError, match=rf"\b{option} must be "):
                attempt(**{option: {"a": "table"}})
        with pytest.raises(ParameterError, match="unit must be one of"):
            attempt(unit="token")
    assert list(tmp_path.iterdir()) == []


# What it writes


@pytest.mark.parametrize("name", NAMES)
def test_the_sample_comes_out_byte_by_byte(name: str, finished: Any):
    found, loader = files(finished(name)[0]), TARGETS[name].loader
    if loader is not None:  # it lies in the package, so the sample does not hold it again
        assert found.pop(f"workbench_{name}.py") == loader.read_bytes()
    if os.environ.get("UPDATE_SAMPLES"):
        shutil.rmtree(SAMPLES / name, ignore_errors=True)
        (SAMPLES / name).mkdir()
        for path, content in found.items():
            (SAMPLES / name / path).write_bytes(content)
    sample = files(SAMPLES / name)
    for held in (sample, found):
        held[MANIFEST] = re.sub(
            rb'"package_version": "[^"]+"', b'"package_version": "-"', held[MANIFEST]
        )
    assert list(found) == list(sample)
    for path, content in sample.items():
        assert found[path] == content, f"{path}; UPDATE_SAMPLES=1 rewrites the samples"


@pytest.mark.parametrize("name", NAMES)
def test_the_same_input_gives_the_same_bytes_in_any_order_of_rows(
    name: str, logged: Log, finished: Any, tmp_path: Path
):
    log, credit = logged
    others = {
        "again": logged,
        "reversed": (log.reverse(), credit.reverse()),
        "shuffled": tuple(frame.sample(fraction=1.0, shuffle=True, seed=1) for frame in logged),
        "columns": (log.select(log.columns[::-1]), credit.select(credit.columns[::-1])),
    }
    for label, other in others.items():
        export(name, other, tmp_path / label)
        assert files(tmp_path / label) == files(finished(name)[0]), label


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_but_the_files_of_the_manifest(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    logged = sample_log(tmp_path / "log")
    for place in ("here", "home", "temporary"):
        (tmp_path / place).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = files(tmp_path)
    manifest = export(name, logged, tmp_path / "place" / "out")
    expected = {f"place/out/{file}" for file in (*manifest.files, MANIFEST)}
    assert set(files(tmp_path)) - set(before) == expected
    assert {path: files(tmp_path)[path] for path in before} == before
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["out"]
    after = files(tmp_path)
    TARGETS[name].load(tmp_path / "place" / "out")
    assert files(tmp_path) == after


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("stands", [False, True])
def test_an_interrupted_export_leaves_what_was_there(
    name: str, moment: str, stands: bool, logged: Log, tmp_path: Path
):
    target = TARGETS[name]
    if stands:
        export(name, logged, tmp_path / "out")

    def interrupted(batch: Batch, folder: Path) -> None:
        if moment == "after":
            target.write(batch, folder)
        (folder / "half").write_text("unfinished")
        raise KeyboardInterrupt

    before = files(tmp_path)
    broken = dataclasses.replace(target, write=interrupted)
    with pytest.raises(KeyboardInterrupt):
        broken(*exportable(logged), tmp_path / "out", clip=0.05, overwrite=True)
    assert files(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"] * stands
    assert export(name, logged, tmp_path / "out", overwrite=True) == read_manifest(tmp_path / "out")


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_check_leaves_what_was_there(
    name: str, logged: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    export(name, logged, tmp_path / "out")
    before = files(tmp_path)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workbench.exporters.base.require_equal", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(name, logged, tmp_path / "out", clip=0.05, overwrite=True)
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", NAMES)
def test_the_archive_is_the_folder_in_one_file(name: str, logged: Log, finished: Any):
    packed = archive(TARGETS[name], *exportable(logged))
    with zipfile.ZipFile(io.BytesIO(packed.content)) as opened:
        found = {path.removeprefix("batch/"): opened.read(path) for path in opened.namelist()}
    assert found == files(finished(name)[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_says_what_a_trainer_must_know(name: str, finished: Any):
    folder, batch = finished(name)
    said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert (said["method"], said["source"]) == (PROVENANCE.method, PROVENANCE.log)
    assert said["conventions"] == {"eps": 1e-06, "ddof": 1}
    layout = TARGETS[name].layout
    assert said["unit"] == ("pair" if layout.pairs else layout.unit or "mixed")
    texts = name in TEXTS_ONLY
    assert said["tokenizer"] == (None if texts else "words")
    assert said["tokens"]["from"] == (None if texts else "log")
    assert said["policy"]["models"] == ["policy"]
    assert said["policy"]["max_staleness"] == 3
    assert said["options"] == {
        option: value for option, value in TARGETS[name].options.items() if option != "overwrite"
    }
    assert said["worth"] == batch.worth.summary()
    assert said["checks"] == {
        "lengths_equal": True, "masked_advantages_zero": True, "logprobs_present": not texts,
        "prefix_property": None if texts else False, "read_back_equal": True,
    }  # fmt: skip
    assert set(said["files"]) == set(files(folder)) - {MANIFEST}


# What is in it


@pytest.mark.parametrize("name", NAMES)
def test_what_is_read_back_is_what_was_written(name: str, logged: Log, tmp_path: Path):
    target = TARGETS[name]
    some = logged[0].with_columns(
        response_logprobs=pl.when(pl.col("trajectory_id") != "t1").then("response_logprobs")
    )
    bare = logged[0].drop("response_logprobs", "policy_version", "truncated", "success", "task")
    cases = [(log, unit) for log in (logged[0], some, bare) for unit in target.units]
    for number, (log, unit) in enumerate(cases):
        kept = (pl.col("trajectory_id") != "t2") | (unit != "trajectory")  # it cannot be one row
        batch = target.assemble(*exportable((log.filter(kept), logged[1].filter(kept))), unit=unit)
        folder = tmp_path / str(number)
        target.save(batch, folder)
        found = target.load(folder)
        contents, values, mask = names_of(found)
        assert (contents == "messages") == (name in TEXTS_ONLY)
        held = {"group_id", "trajectory_id", contents, values}
        assert held | ({mask} if target.masks else set()) <= set(found.columns)
        expected = batch.rows.select(found.columns)
        assert found.cast(expected.schema).equals(expected)


@pytest.mark.parametrize("name", [name for name in NAMES if not TARGETS[name].masks])
def test_a_target_that_says_so_has_no_mask(name: str, finished: Any):
    folder, batch = finished(name)
    found = TARGETS[name].load(folder)
    assert "loss_mask" not in found.columns
    assert trained(found, mask=False) == pulling(trained(batch.rows))


@pytest.mark.parametrize("name", [name for name in NAMES if TARGETS[name].layout.cut])
def test_some_targets_have_no_logprobs_before_the_first_trained_token(
    name: str, logged: Log, finished: Any, tmp_path: Path
):
    target, one = TARGETS[name], pl.col("trajectory_id") == "t1"
    read, whole = target.load(finished(name)[0]).filter(one), canonical(name, logged).rows
    # t1's first step, 22 and 23, was sampled and is not trained.
    assert read["old_logprobs"].to_list()[0][:4] == [0.0] * 4
    assert whole.filter(one)["old_logprobs"].to_list()[0][:4] == pytest.approx([0, -0.1, -0.1, 0])
    layout = dataclasses.replace(target.layout, cut=False)
    with pytest.raises(ArtefactError, match=r"old_logprobs was written as .*trajectory 't1'"):
        dataclasses.replace(target, layout=layout)(*exportable(logged), tmp_path / "out")


@pytest.mark.parametrize("name", OF_TEXTS)
def test_what_is_read_back_of_texts_is_what_was_written(name: str, logged: Log, tmp_path: Path):
    target = TARGETS[name]
    for unit in target.units:
        batch = target.assemble(*exportable(without_ids(logged)), unit=unit)
        target.save(batch, tmp_path / str(unit))
        found = target.load(tmp_path / str(unit))
        assert {"group_id", "trajectory_id", "messages", "step_advantages"} <= set(found.columns)
        expected = batch.rows.select(found.columns)
        assert found.cast(expected.schema).equals(expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight": "inverse_length"},
        {"positive_only": False},
        {"positive_only": True},
        {"clip": 0.2},
        {"top_share": 0.5},
        {"drop_zero_groups": True},
        {"groups": ["küche"], "unit": "step"},
        {"tasks": ["keys"], "weight": "inverse_length", "positive_only": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", NAMES)
def test_trained_tokens_are_those_of_the_weighted_batch_with_their_advantages(
    name: str, options: dict[str, Any], logged: Log, tmp_path: Path
):
    target = TARGETS[name]
    cases = {"tokens": logged} | ({"texts": without_ids(logged)} if name in OF_TEXTS else {})
    for label, case in cases.items():
        export(name, case, tmp_path / label, **options)
        found, whole = target.load(tmp_path / label), canonical(name, case, **options).rows
        held = {*found.columns, "trajectory_id", "weight", *names_of(found)}
        expected = trained(whole.select(held & set(whole.columns)))
        if target.masks:
            assert trained(found) == expected
        else:
            assert trained(found, mask=False) == pulling(expected)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_trained_has_no_part_in_the_files(
    name: str, logged: Log, finished: Any, tmp_path: Path
):
    log, credit = logged
    folder = finished(name)[0]
    # Steps that are masked: whatever their advantage.
    masked = log.select(*STEP, masked=~pl.col("gradient_mask"))
    other = credit.join(masked, on=STEP).with_columns(
        advantage=pl.when("masked").then(-77.0).otherwise("advantage")
    )
    export(name, (log, other.drop("masked")), tmp_path / "masked")
    assert data(tmp_path / "masked") == data(folder)
    # Trajectories that are left out: as if they had not been logged.
    kept = ~pl.col("trajectory_id").is_in(left_out(name))
    export(name, (log.filter(kept), credit.filter(kept)), tmp_path / "kept")
    assert data(tmp_path / "kept") == data(folder)


def left_out(name: str) -> list[str]:
    """Trajectories of the sample log that a target leaves out: texts need no token ids."""
    return ["t3", "t4"] + ["t5"] * (name not in TEXTS_ONLY)


@pytest.mark.parametrize("name", NAMES)
def test_masked_and_excluded_steps_never_train_and_are_counted(name: str, finished: Any):
    folder, _ = finished(name)
    rows, manifest = TARGETS[name].load(folder), read_manifest(folder)
    assert not set(rows["trajectory_id"]) & set(left_out(name))
    values = trained(rows, mask=bool({"loss_mask", "step_mask"} & set(rows.columns)))
    if name in TEXTS_ONLY:
        found = {(name, reply) for name, entries in values.items() for reply, *_ in entries}
        assert found <= {
            ("t0", "do 0"), ("t0", "do 1"), ("t1", "do less"), ("t2", "do 0"), ("t2", "do 1"),
            ("t5", "do more"), ("t6", "do 0"),
        }  # fmt: skip
    else:
        tokens = {token for entries in values.values() for token, *_ in entries}
        # 14 was put in, 20, 22, 23 and 73 are of steps that are masked, the others of prompts.
        assert tokens <= {13, 15, 17, 18, 25, 33, 36, 37, 63}
    lost = {reason: entry["steps"] for reason, entry in manifest.dropped.items() if entry["steps"]}
    expected = {"excluded_trajectories": 1, "nonfinite_advantage": 1, "no_token_ids": 1}
    assert lost == dict(list(expected.items())[: len(left_out(name))])
    off = sum(manifest.counts[reason] for reason in UNTRAINED if reason != "masked_in_log")
    assert manifest.counts["masked_steps"] == 3 + off


@pytest.mark.parametrize("name", NAMES)
def test_what_came_in_is_what_was_dropped_and_what_is_in(name: str, logged: Log, finished: Any):
    folder, batch = finished(name)
    rows, manifest = TARGETS[name].load(folder), read_manifest(folder)
    log, counts, dropped = logged[0], manifest.counts, manifest.dropped.values()
    assert manifest.input == {
        "groups": log["group_id"].n_unique(),
        "trajectories": log["trajectory_id"].n_unique(),
        "steps": log.height,
    }
    for unit in ("trajectories", "steps"):
        assert manifest.input[unit] == counts[unit] + sum(entry[unit] for entry in dropped)
    whole = canonical(name, logged)
    in_row = 2 if TARGETS[name].layout.pairs else 1
    assert rows.height == in_row * counts["rows"]
    if in_row == 1:
        assert counts["rows"] + counts.get("rows_without_training", 0) == whole.rows.height
    size = [len(entries) for entries in trained(batch.rows).values()]
    unit = "steps" if name in TEXTS_ONLY else "tokens"
    assert counts[f"trained_{unit}"] == sum(size) == manifest.worth[unit]
    for count in ("steps", "trajectories", "groups", f"trained_{unit}", "masked_steps"):
        assert counts[count] == whole.manifest.counts[count]


@pytest.mark.parametrize("name", NAMES)
def test_every_export_has_a_card_that_names_its_method_counts_and_how_to_load_it(
    name: str, finished: Any
):
    folder, batch = finished(name)
    target, text = TARGETS[name], (folder / CARD).read_text(encoding="utf-8")
    assert text.startswith("---\nconfigs:\n") == (target.dataset is not None)
    assert ("upload_folder" in text) == (target.dataset is not None)
    if target.dataset is not None:
        assert f"data_files: {target.dataset}\n" in text
        assert target.dataset in data(folder)
    assert f"# {name} of " in text
    assert (f"`workbench_{name}.py` in this folder" in text) == (target.loader is not None)
    assert ("Written by the trajectory workbench; needs" in text) == (target.loader is not None)
    assert "`grpo` with" in text
    assert PROVENANCE.log["sha256"] in text
    counts = batch.manifest.counts
    steps, trajectories = (
        counts[unit] - counts.get(f"{unit}_not_written", 0) for unit in ("steps", "trajectories")
    )
    assert f"| in the batch | {trajectories} | {steps} |" in text
    assert trajectories == TARGETS[name].load(folder)["trajectory_id"].n_unique()


@pytest.mark.parametrize("name", [name for name in OF_TEXTS if TARGETS[name].packed])
def test_the_card_of_packed_messages_gives_those_of_the_log(name: str, tmp_path: Path):
    call = [{"id": "c", "type": "function", "function": {"name": "go", "arguments": "{}"}}]
    said = [
        {"role": "user", "content": [{"type": "text", "text": "see"},
                                     {"type": "image_url", "image_url": {"url": "data:,a"}}],
         "cache": True},
        {"role": "assistant", "content": None, "tool_calls": call},
    ]  # fmt: skip
    log = made([step_row("t", 0, 1.0, messages=json.dumps(said)), step_row("u", 0, -1.0)])
    export(name, log, tmp_path / "out")
    text = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    snippet = re.search(r"## Messages\n.*?```python\n(.*?)```", text, re.DOTALL)
    assert snippet is not None
    rows = pl.read_parquet(tmp_path / "out" / f"{TARGETS[name].dataset}").to_dicts()
    names: dict[str, Any] = {"rows": [row for row in rows if row["trajectory_id"] == "t"]}
    assert any(value is None for value in rows[0][TARGETS[name].packed[0]][0].values())
    exec(snippet.group(1), names)
    # Key for key, but for those that are null.
    assert names["messages"] == [said[0], {"role": "assistant", "tool_calls": call}]


def test_a_card_of_messages_that_are_not_packed_says_nothing_of_packing(finished: Any):
    for name in NAMES:
        text = (finished(name)[0] / CARD).read_text(encoding="utf-8")
        assert "content_type" not in text  # token ids, or JSON lines


# What it refuses


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_that_would_train_nothing_is_not_written(name: str, tmp_path: Path):
    log, credit = sample_log(tmp_path / "log")
    zeros = credit.with_columns(pl.col("advantage").clip(0.0, 0.0))
    negative = credit.with_columns(-pl.col("advantage").abs())
    whatever_the_credit: list[tuple[pl.DataFrame, dict[str, Any]]] = [
        (log.with_columns(gradient_mask=False), {}),
        (log.with_columns(excluded=pl.lit("no")), {}),
        (log, {"groups": ["küche"], "tasks": ["keys"]}),
    ]
    cases: list[tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]] = [
        (log, zeros, {}),
        (log, zeros, {"drop_zero_groups": True}),
        (log, negative, {"positive_only": True}),
        (log, credit, {"groups": ["i"]}),
        *((other, credit, options) for other, options in whatever_the_credit),
    ]
    for other, scored, options in cases:
        with pytest.raises(EmptyBatchError, match=r"would train nothing|is left to export"):
            export(name, (other, scored), tmp_path / "place" / "out", **options)
    for other, options in whatever_the_credit:
        with pytest.raises(EmptyBatchError, match=r"would train nothing|is left to export"):
            TARGETS[name].rehearse(other, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize("name", NAMES)
def test_a_log_of_texts_is_written_or_refused_with_a_hint_that_leads_on(
    name: str, tmp_path: Path, tokenizer: str
):
    target, logged = TARGETS[name], without_ids(sample_log(tmp_path / "log"))
    if name in OF_TEXTS:
        assert not export(name, logged, tmp_path / "out").token_level
        return
    for attempt in (
        lambda: export(name, logged, tmp_path / "out"),
        lambda: target.rehearse(logged[0]),
    ):
        with pytest.raises(MissingInputError, match="token ids, which the log does not") as refusal:
            attempt()
        hint = str(refusal.value).partition(" Hint: ")[2]
        others = [other for other in NAMES if re.search(rf"\b{other}\b", hint)]
        assert others == OF_TEXTS
        assert ("--tokenizer" in hint) == target.layout.tokenises
    for other in others:
        export(other, logged, tmp_path / other)
    assert not (tmp_path / "out").exists()
    if target.layout.tokenises:
        assert export(name, logged, tmp_path / "out", tokenizer=tokenizer).tokens["from"] == "text"


@pytest.mark.parametrize("name", TEXTS_ONLY)
def test_a_target_of_texts_refuses_a_tokenizer(name: str, logged: Log, tmp_path: Path):
    for attempt in (
        lambda: export(name, logged, tmp_path / "out", tokenizer="any"),
        lambda: TARGETS[name].rehearse(logged[0], tokenizer="any"),
    ):
        with pytest.raises(ParameterError, match="takes messages and tokenises them itself"):
            attempt()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [name for name in NAMES if TARGETS[name].layout.set_aside])
def test_what_a_target_sets_aside_is_context_and_counted(name: str, logged: Log, finished: Any):
    batch = finished(name)[1]
    reasons = ("no_prompt", "no_label", *sorted(PAIRLESS))
    steps = batch.steps.filter(pl.col("untrained").is_in(reasons))
    assert not steps["gradient_mask"].any()
    before = TARGETS["weighted-batch"].assemble(*exportable(logged)).manifest.counts
    for reason in reasons:
        count = steps.filter(pl.col("untrained") == reason).height
        assert batch.manifest.counts[reason] == count
        assert before[reason] == 0
    assert steps.height


@pytest.mark.parametrize("name", [name for name in NAMES if not TARGETS[name].layout.tokenises])
def test_a_target_that_says_so_cannot_be_written_from_tokens_made_of_text(
    name: str, tmp_path: Path, tokenizer: str
):
    target, logged = TARGETS[name], without_ids(sample_log(tmp_path / "log"))
    with pytest.raises(MissingInputError, match="token ids, which the log does not"):
        export(name, logged, tmp_path / "out", tokenizer=tokenizer)
    # Nor could it be: what says so is not said in vain.
    layout = dataclasses.replace(target.layout, tokenises=True)
    with pytest.raises(ParameterError):
        dataclasses.replace(target, layout=layout)(
            *exportable(logged), tmp_path / "out", tokenizer=tokenizer
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_refused_with_its_row(name: str, tmp_path: Path):
    log, credit = sample_log(tmp_path / "log")
    one = pl.col("trajectory_id") == "t1"
    nan = credit.with_columns(advantage=pl.when(one).then(float("nan")).otherwise("advantage"))
    with pytest.raises(ParameterError, match=r"scored steps is NaN: .*trajectory 't1' step 0"):
        export(name, (log, nan), tmp_path / "out")
    if name not in TEXTS_ONLY:
        long = pl.when(one).then(pl.lit([1], dtype=pl.List(pl.Int8))).otherwise("response_mask")
        with pytest.raises(ParameterError, match=r"another length than response_ids.*'t1' step 0"):
            export(name, (log.with_columns(response_mask=long), credit), tmp_path / "out")
    with pytest.raises(ParameterError, match=r"2 steps are only in the log: .*'t1' step 0"):
        export(name, (log, credit.filter(~one)), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a byte changed": flipped,
    "cut": lambda content: content[:-9],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"\n",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_damaged_or_missing_is_named(name: str, finished: Any, copy: Any):
    for file, whole in data(finished(name)[0]).items():
        for damage in DAMAGE.values():
            path = copy(name) / file
            path.write_bytes(damage(whole))
            with pytest.raises(ArtefactError, match=re.escape(f"{path} is not the file that")):
                TARGETS[name].load(path.parent)
        path.unlink()
        with pytest.raises(ArtefactError, match=re.escape(f"{path} is missing")):
            TARGETS[name].load(path.parent)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["cut", "empty", "half", "foreign"])
def test_damage_is_found_even_where_a_faulty_tool_wrote_the_digest_anew(
    name: str, damage: str, finished: Any, copy: Any
):
    done = {
        **DAMAGE,
        "half": lambda content: content[: len(content) // 2],
        "foreign": lambda content: b'{"x": 1}\n',
    }[damage]
    for file, whole in data(finished(name)[0]).items():
        if file == f"workbench_{name}.py":
            continue  # code, which nothing but its digest can tell from other code
        path = copy(name) / file
        path.write_bytes(done(whole))

        def reseal(manifest: dict[str, Any], path: Path = path) -> None:
            entry = {"sha256": file_digest(path), "bytes": path.stat().st_size}
            manifest["files"][path.name] = entry

        changed(path.parent, reseal)
        with pytest.raises(ArtefactError, match=re.escape(str(path.parent))):
            TARGETS[name].load(path.parent)


def plus_one(*keys: str) -> Callable[[dict[str, Any]], None]:
    """Counts one more of something: the last of the keys, or of its alternatives, that is there."""

    def edit(manifest: dict[str, Any]) -> None:
        for key in keys[:-1]:
            manifest = manifest[key]
        (name,) = (name for name in keys[-1].split("|") if name in manifest)
        manifest[name] += 1

    return edit


def first_file(manifest: dict[str, Any]) -> dict[str, Any]:
    return next(iter(manifest["files"].values()))


EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another format": lambda m: m.update(format="workbench-other"),
    "a format that is no name": lambda m: m.update(format=None),
    "another version": plus_one("version"),
    "an entry less": lambda m: m.pop("weight"),
    "an entry more": lambda m: m.update(colour="red"),
    "more steps in": plus_one("input", "steps"),
    "more trajectories dropped": plus_one("dropped", "no_token_ids", "trajectories"),
    "more steps kept": plus_one("counts", "steps"),
    "more rows": plus_one("counts", "rows"),
    "more tokens": plus_one("counts", "tokens|messages"),
    "more trained tokens": plus_one("counts", "trained_tokens|trained_steps"),
    "no counts": lambda m: m.update(counts=[]),
    "a count that is no number": lambda m: m["counts"].update(rows="3"),
    "the other contents": lambda m: m.update(token_level=not m["token_level"]),
    "neither tokens nor messages": lambda m: m.update(token_level="yes"),
    "no files": lambda m: m.update(files={}),
    "files that are no table": lambda m: m.update(files=[]),
    "a file that is not there": lambda m: m["files"].update(other=first_file(m)),
    "another size": lambda m: first_file(m).update(bytes=0),
    "another digest": lambda m: first_file(m).update(sha256="ab" * 32),
    "a digest that is none": lambda m: first_file(m).pop("sha256"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_manifest_is_named(name: str, edit: str, copy: Any):
    folder = copy(name)
    changed(folder, EDITS[edit])
    if edit == "more trained tokens" and not TARGETS[name].masks:
        # Without a mask nobody can count them.
        TARGETS[name].load(folder)
        return
    # Where it says of a file what that is not, the file may be named.
    places = "|".join(re.escape(str(folder / file)) for file in files(folder))
    with pytest.raises(ArtefactError, match=rf"manifest\.json|{places}"):
        TARGETS[name].load(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_that_is_damaged_or_missing_is_named(name: str, copy: Any):
    path = copy(name) / MANIFEST
    whole = path.read_bytes()
    for content in (whole[:-9], b"", b"[]", b"\xff" + whole, whole.replace(b"workbench", b"\xfe")):
        path.write_bytes(content)
        with pytest.raises(ArtefactError, match=re.escape(str(path))):
            TARGETS[name].load(path.parent)
    path.unlink()
    with pytest.raises(ArtefactError, match=r"has no manifest\.json"):
        TARGETS[name].load(path.parent)


@pytest.mark.parametrize("name", NAMES)
def test_the_export_of_another_target_is_refused(name: str, finished: Any):
    for other in set(NAMES) - {name}:
        with pytest.raises(ArtefactError, match=rf"{MANIFEST}.*{TARGETS[other].layout.format}"):
            TARGETS[name].load(finished(other)[0])


@pytest.mark.parametrize("name", NAMES)
def test_an_export_stands_alone(name: str, tmp_path: Path):
    logged = sample_log(tmp_path / "log")
    export(name, logged, tmp_path / "out")
    before = TARGETS[name].load(tmp_path / "out")
    shutil.rmtree(tmp_path / "log")
    (tmp_path / "out").rename(tmp_path / "moved")
    assert TARGETS[name].load(tmp_path / "moved").equals(before)


@pytest.mark.parametrize("name", NAMES)
def test_a_rehearsal_is_json_and_writes_nothing(name: str, tmp_path: Path):
    logged = sample_log(tmp_path / "log")
    before = files(tmp_path)
    said = TARGETS[name].rehearse(logged[0])
    assert json.loads(json.dumps(said)) == said
    assert files(tmp_path) == before


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
    """The batch that is read back is the written one (save checks that), with the same credit."""
    log, credit = made(rows, response_mask=pl.List(pl.Int8))
    folder = tmp_path_factory.mktemp("export")
    logged = from_traces(log, folder / "traces.jsonl"), credit
    try:
        TARGETS["weighted-batch"].assemble(*exportable(logged), weight=weight, unit=unit)
    except EmptyBatchError:
        return
    refused: list[str] = []
    for name in set(NAMES) - {"weighted-batch"}:
        options: dict[str, Any] = {"positive_only": False, "weight": weight}
        options |= {"unit": unit} if unit in TARGETS[name].units else {}
        try:
            batch = TARGETS[name].assemble(*exportable(logged), **options)
        except (EmptyBatchError, MissingInputError, ParameterError) as error:
            refused.append(str(error))
            continue
        TARGETS[name].save(batch, folder / name)
        whole = canonical(name, logged, **options)
        mine, other = (w.groups.filter(pl.col("share") > 0) for w in (batch.worth, whole.worth))
        mine, other = (g.sort("group_id").select("group_id", "share") for g in (mine, other))
        assert mine["group_id"].equals(other["group_id"])
        np.testing.assert_allclose(mine["share"], other["share"], rtol=1e-5)
        assert batch.worth.effective_steps == pytest.approx(whole.worth.effective_steps, rel=1e-5)
        assert TARGETS[name].load(folder / name).height == batch.rows.height
    reasons = ("would train nothing", "with a trained token", "does not have: group")
    assert all(any(reason in text for reason in reasons) for text in refused)
