"""The canonical weighted batch: one Parquet file that trainers and `datasets` can load.

A log with token ids gives rows of token ids, a log without gives conversations. `reward` is the
undiscounted sum of the trajectory's rewards in either unit. `weight` is a factor for the loss of
each token and is the same in all rows of a trajectory: a sum over tokens weighs a trajectory alike
whether it is one row or many, a mean over rows does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from workbench.errors import ArtefactError
from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import TARGETS, Exporter, register
from workbench.exporters.conversations import MESSAGE
from workbench.exporters.lists import Array, Ints, flat, lengths, row_has
from workbench.exporters.manifest import Manifest, require_counted
from workbench.exporters.tables import read_parquet, write_parquet
from workbench.wording import number_of

FILE = "weighted_batch.parquet"

_IDS = [("group_id", pa.string()), ("trajectory_id", pa.string())]
_SCALARS = [("reward", pa.float32()), ("weight", pa.float32())]

TOKEN_SCHEMA = pa.schema(
    [
        *_IDS,
        ("input_ids", pa.list_(pa.int32())),
        ("loss_mask", pa.list_(pa.int8())),
        ("step_ids", pa.list_(pa.int16())),
        ("old_logprobs", pa.list_(pa.float32())),
        ("advantages", pa.list_(pa.float32())),
        *_SCALARS,
    ]
)
"""One row a sequence. step_ids is -1 where the policy did not sample the token; loss_mask is 1
where it is trained; old_logprobs is null where they were not logged."""

TEXT_SCHEMA = pa.schema(
    [
        *_IDS,
        ("messages", pa.list_(MESSAGE)),
        ("tools", pa.string()),
        ("step_advantages", pa.list_(pa.float32())),
        ("step_mask", pa.list_(pa.int8())),
        *_SCALARS,
    ]
)
"""One row a conversation; step_advantages and step_mask have one entry an assistant message, also
one that is history. tools is the JSON of the tools that were offered; null where none were."""


def write(batch: Batch, folder: Path) -> None:
    """Write `weighted_batch.parquet`."""
    write_parquet(batch.rows, folder / FILE, _schema(batch.manifest))


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The rows again, after checking every rule.

    Raises:
        ArtefactError: A rule is broken, with file and row.
    """
    path = folder / FILE
    rows = read_parquet(path, _schema(manifest))
    _check_scalars(rows, path)
    found = _check_tokens(rows, path) if manifest.token_level else _check_text(rows, path)
    _check_counts(rows, found, manifest, path)
    return rows


def _schema(manifest: Manifest) -> pa.Schema:
    return TOKEN_SCHEMA if manifest.token_level else TEXT_SCHEMA


def _refuse(rows: pl.DataFrame, bad: pl.Series | np.ndarray, rule: str, path: Path) -> None:
    """Raise for the first row that breaks a rule."""
    broken = np.flatnonzero(np.asarray(bad))
    if broken.size:
        row = int(broken[0])
        raise ArtefactError(
            f"{path}: {rule} in {number_of(broken.size, 'row')}, first row {row} "
            f"(trajectory {rows['trajectory_id'][row]!r})"
        )


def _check_scalars(rows: pl.DataFrame, path: Path) -> None:
    for name in set(rows.columns) - {"old_logprobs", "tools"}:
        _refuse(rows, rows[name].is_null(), f"{name} is null", path)
    for name in ("reward", "weight"):
        _refuse(rows, ~rows[name].is_finite(), f"{name} is not finite", path)


def _check_lengths(rows: pl.DataFrame, path: Path, reference: str, *names: str) -> None:
    for name in names:
        other = rows[name].list.len() != rows[reference].list.len()
        _refuse(
            rows, other.fill_null(value=False), f"{name} and {reference} differ in length", path
        )


def _check_masked(rows: pl.DataFrame, path: Path, mask_name: str, value_name: str) -> pl.Series:
    """Rules of a mask and the advantages under it; returns the flat mask."""
    mask, values = flat(rows[mask_name]), flat(rows[value_name])
    for name, column in ((mask_name, mask), (value_name, values)):
        _refuse(rows, row_has(rows[name], column.is_null()), f"a null in {name}", path)
    rules = (
        (~mask.is_in([0, 1]), f"{mask_name} is neither 0 nor 1"),
        (~values.is_finite(), f"{value_name} is not finite"),
        ((mask == 0) & (values != 0), f"{value_name} is not 0 where {mask_name} is 0"),
    )
    for bad, rule in rules:
        _refuse(rows, row_has(rows[mask_name], bad), rule, path)
    return mask


def _check_tokens(rows: pl.DataFrame, path: Path) -> dict[str, int]:
    """Rules of a token-level batch; returns what was counted."""
    names = ("loss_mask", "step_ids", "old_logprobs", "advantages")
    _check_lengths(rows, path, "input_ids", *names)
    mask = _check_masked(rows, path, "loss_mask", "advantages")
    steps, ids = flat(rows["step_ids"]), flat(rows["input_ids"])
    rules = (
        (ids.is_null(), "a null in input_ids"),
        (ids < 0, "a number below 0 in input_ids"),
        (steps.fill_null(-2) < -1, "step_ids is null or below -1"),
        ((mask == 1) & (steps < 0), "a trained token has no step in step_ids"),
    )
    for bad, rule in rules:
        _refuse(rows, row_has(rows["input_ids"], bad), rule, path)
    _check_logprobs(rows, path)
    return {
        "tokens": ids.len(),
        "trained_tokens": int(mask.to_numpy().sum(dtype=np.int64)),
        "steps_with_tokens": _distinct_steps(steps.to_numpy(), lengths(rows["input_ids"])),
    }


def _distinct_steps(steps: Array, size: Ints) -> int:
    """Number of (row, step) pairs, given the step of each token and the tokens of each row.

    Sorting every token is dear; a step's tokens are adjacent but for what it did not sample, so
    the first of each run stands for it.
    """
    ends = np.cumsum(size)
    first = np.append(True, steps[1:] != steps[:-1])[: steps.size]
    first[ends[ends < steps.size]] = True
    at = np.flatnonzero(first & (steps >= 0))
    row = np.searchsorted(ends, at, side="right")
    return np.unique((row << 16) + steps[at]).size


def _check_logprobs(rows: pl.DataFrame, path: Path) -> None:
    numbered = rows.with_row_index("number").filter(pl.col("old_logprobs").is_not_null())
    trained = flat(numbered["loss_mask"]) == 1
    bad = trained & ~flat(numbered["old_logprobs"]).is_finite().fill_null(value=False)
    where = numbered["number"].filter(row_has(numbered["old_logprobs"], bad))
    broken = pl.int_range(rows.height, eager=True).is_in(where.to_list())
    _refuse(rows, broken, "old_logprobs of a trained token is not finite", path)


def _check_text(rows: pl.DataFrame, path: Path) -> dict[str, int]:
    """Rules of a text-only batch; returns what was counted."""
    messages = flat(rows["messages"]).struct.unnest()
    bad = row_has(rows["messages"], messages["role"].is_null())
    _refuse(rows, bad, "a message without role", path)
    row = np.repeat(np.arange(rows.height), lengths(rows["messages"]))
    reply = (messages["role"] == "assistant").to_numpy()
    replies = np.bincount(row[reply], minlength=rows.height)
    differ = replies != lengths(rows["step_advantages"])
    _refuse(rows, differ, "step_advantages and assistant messages differ in number", path)
    _check_lengths(rows, path, "step_advantages", "step_mask")
    mask = _check_masked(rows, path, "step_mask", "step_advantages")
    return {"messages": messages.height, "trained_steps": int(mask.sum()), "replies": mask.len()}


def _check_counts(
    rows: pl.DataFrame, found: Mapping[str, int], manifest: Manifest, path: Path
) -> None:
    """Check the manifest's counts against the file."""
    actual = {
        "groups": rows["group_id"].n_unique(),
        "trajectories": rows["trajectory_id"].n_unique(),
    }
    if manifest.token_level:
        without = manifest.counts.get("steps_without_tokens", 0)
        actual["steps"] = found["steps_with_tokens"] + without
    else:
        history = manifest.counts["history_replies"]
        actual["steps"] = rows.height if manifest.unit == "step" else found["replies"] - history
    require_counted(path, actual, manifest)


_OTHERS: Mapping[str, str] = {
    "NeMo-RL": "grpo.normalize_rewards=false, grpo.use_leave_one_out_baseline=false",
    "OpenRLHF": (
        "--no_advantage_std_norm leaves the mean removed again; bypass its normalisation of "
        "advantages in the experience maker"
    ),
}
"""Trainers that have no target of their own, each with what would normalise these advantages."""

_FIRST = ("verl", "TRL", "Tinker", "prime-rl", "SkyRL", "rLLM", "slime", "datasets")
"""The order in which a manifest lists trainers; those of further targets come after these."""


def _any_trainer() -> Mapping[str, str]:
    """Settings by which trainers would normalise again: of those with a target as it states."""
    own = {
        layout.trainer: layout.turn_off
        for layout in (target.layout for target in TARGETS.values())
        if layout.trainer is not None
    }
    first = {name: own[name] for name in _FIRST if name in own}
    return {**first, **own, **_OTHERS}


WEIGHTED_BATCH = register(
    Exporter(
        name="weighted-batch",
        description=(
            "Parquet with one row per trajectory or step and its advantages, and a manifest; loads "
            "with Hugging Face datasets."
        ),
        layout=Layout(
            format="workbench-weighted-batch",
            any_trainer=_any_trainer,
            contents="either",
            trained_only=False,
        ),
        write=write,
        read=read,
        dataset=FILE,
        packed=("messages",),
        appends=True,
    )
)


def read_batch(directory: Path) -> pl.DataFrame:
    """The rows of a weighted batch, after checking digests and every rule of the format.

    Raises:
        ArtefactError: A file is damaged or missing, or a rule is broken, with file and row.
    """
    return WEIGHTED_BATCH.load(directory)
