"""A verl batch: padded tensors in one `.npz`, and the plug-in that lets its advantages through.

The advantages stand in `rm_scores`, because that is where verl takes token-level rewards from; the
identity estimator of the plug-in makes them advantages again. Rows are cut before their first
trained token: prompts are padded on the left, responses on the right.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from workbench.errors import ArtefactError
from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.lists import Array, lengths, nested
from workbench.exporters.manifest import Manifest
from workbench.exporters.sequences import joined, padded, placed, split

FILE = "verl_batch.npz"


def write(batch: Batch, folder: Path) -> None:
    """Write `verl_batch.npz`; `rollout_log_probs` is there only if every row has them."""
    parts = split(batch.rows)
    before, after = lengths(parts["prompt_ids"]), lengths(parts["response_ids"])
    width = int(before.max()), int(after.max())
    prompts = padded(parts["prompt_ids"], width[0], np.int64, left=True)
    responses = padded(parts["response_ids"], width[1], np.int64)
    filled = [placed(before, width[0], left=True), placed(after, width[1])]
    attention = np.concatenate(filled, axis=1).astype(np.int64)
    arrays: dict[str, Any] = {
        "prompts": prompts,
        "responses": responses,
        "input_ids": np.concatenate([prompts, responses], axis=1),
        "attention_mask": attention,
        "position_ids": np.maximum(np.cumsum(attention, axis=1) - 1, 0),
        "response_mask": padded(parts["loss_mask"], width[1], np.int64),
        "rm_scores": padded(parts["advantages"], width[1], np.float32),
    }
    if parts["old_logprobs"].null_count() == 0:
        arrays["rollout_log_probs"] = padded(parts["old_logprobs"], width[1], np.float32)
    for name, column in (("uid", "group_id"), ("traj_uid", "trajectory_id")):
        arrays[name] = parts[column].to_numpy().astype(np.str_)
    arrays["step_index"] = parts["step_index"].to_numpy().astype(np.int64)
    np.savez(folder / FILE, **arrays)


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The sequences again, padding taken off."""
    path = folder / FILE
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return _sequences({name: file[name] for name in file.files})
    except (
        *(OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError),
        *(zipfile.BadZipFile, pl.exceptions.PolarsError),
    ) as error:
        raise ArtefactError(f"{path} cannot be read: {error}") from error


def _sequences(arrays: Mapping[str, Array]) -> pl.DataFrame:
    """Rows of the arrays of a file, padding taken off."""
    width = arrays["prompts"].shape[1]
    held = arrays["attention_mask"] == 1
    before, after = held[:, :width], held[:, width:]

    def lists(name: str, cells: Array, dtype: type) -> pl.Series:
        return nested(arrays[name][cells].astype(dtype), cells.sum(axis=1), name)

    parts = pl.DataFrame(
        {
            "group_id": arrays["uid"],
            "trajectory_id": arrays["traj_uid"],
            "step_index": arrays["step_index"].astype(np.int32),
            "prompt_ids": lists("prompts", before, np.int32),
            "response_ids": lists("responses", after, np.int32),
            "loss_mask": lists("response_mask", after, np.int8),
            "advantages": lists("rm_scores", after, np.float32),
        }
    )
    if "rollout_log_probs" in arrays:
        logprobs = lists("rollout_log_probs", after, np.float32)
        parts = parts.with_columns(logprobs.alias("old_logprobs"))
    return joined(parts)


register(
    Exporter(
        name="verl",
        description="Padded tensors (.npz) and a plug-in for verl's DataProto; no pickles.",
        layout=Layout(
            format="workbench-verl-batch",
            trainer="verl",
            turn_off=(
                "algorithm.adv_estimator=precomputed (the identity of workbench_verl.py) and "
                "algorithm.use_kl_in_reward=false"
            ),
            cut=True,
        ),
        write=write,
        read=read,
        loader=Path(__file__).with_name("loader.py"),
    )
)
