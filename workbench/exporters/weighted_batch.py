"""The canonical weighted batch: one Parquet file that trainers and `datasets` can load."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import ParameterError
from workbench.exporters.base import exporter
from workbench.exporters.batch import FILE, FORMAT, VERSION, check_batch, write_batch
from workbench.exporters.conversations import text_rows
from workbench.exporters.folder import require_place, write_export
from workbench.exporters.lists import flat
from workbench.exporters.manifest import Manifest
from workbench.exporters.selection import Selection, counts, places, select
from workbench.exporters.tokens import token_rows

UNITS: Mapping[str, str] = {
    "trajectory": "one row a trajectory",
    "step": "one row a step, with all that led to it",
}
WEIGHTS: Mapping[str, str] = {
    "none": "1 everywhere",
    "inverse_length": "1 / number of trained steps of the trajectory, 0 where there is none",
}


@exporter(
    "weighted-batch",
    description=(
        "Parquet with one row a trajectory or step and its advantages, and a manifest; loads "
        "with Hugging Face datasets."
    ),
    choices={
        "unit": {None: "trajectories, and steps where prompts do not follow on", **UNITS},
        "weight": WEIGHTS,
        "drop_zero_groups": {
            False: "keep every group",
            True: "leave out groups in which no trained step has an advantage",
        },
    },
)
def export(
    log: pl.DataFrame,
    credit: pl.DataFrame,
    provenance: Mapping[str, Any],
    directory: Path,
    *,
    unit: str | None = None,
    weight: str = "none",
    drop_zero_groups: bool = False,
    overwrite: bool = False,
) -> Manifest:
    """Writes `weighted_batch.parquet` and `manifest.json`.

    A log with token ids gives rows of token ids, a log without gives conversations. `reward` is
    the undiscounted sum of the trajectory's rewards in either unit. `weight` is a factor for the
    loss of each token and is the same in all rows of a trajectory: a sum over tokens weighs a
    trajectory alike whether it is one row or many, a mean over rows does not.

    Args:
        log: A validated step log.
        credit: The credit of the same steps.
        provenance: How the credit was made: "method" and "log".
        directory: The folder to make.
        unit: "trajectory" or "step": what a row is. None means trajectory, and steps for the
            trajectories in which a prompt does not begin with the sequence of the step before.
        weight: A key of `WEIGHTS`.
        drop_zero_groups: Leave out groups in which no trained step has an advantage.
        overwrite: Replace a finished export.

    Raises:
        ParameterError: An option or the place cannot be, or a step breaks a rule of the batch.
        MissingInputError: Nothing is left to export.
    """
    if unit is not None and unit not in UNITS:
        raise ParameterError(f"unit must be one of {list(UNITS)}, got {unit!r}")
    if weight not in WEIGHTS:
        raise ParameterError(f"weight must be one of {list(WEIGHTS)}, got {weight!r}")
    require_place(Path(directory), overwrite=overwrite)
    selection = select(log, credit, drop_zero_groups=drop_zero_groups)
    steps = selection.steps.with_columns(_weight(weight))
    made = _token_batch if selection.token_level else _text_batch
    rows, entries = made(steps, unit)
    manifest = Manifest(
        format=FORMAT,
        version=VERSION,
        package_version=version("trajectory-workbench"),
        source=dict(provenance.get("log", {})),
        representation={name: provenance.get(name) for name in ("embedder", "state_text")},
        policy=_policy(steps),
        token_level=selection.token_level,
        weight={"name": weight, "value": WEIGHTS[weight], "multiplies": "the loss of each token"},
        options={"unit": unit, "weight": weight, "drop_zero_groups": drop_zero_groups},
        input=selection.input,
        dropped=selection.dropped,
        counts=counts(steps) | _step_counts(selection) | entries.pop("counts"),
        **_method(provenance),
        **entries,
    )

    def write(folder: Path) -> Manifest:
        write_batch(rows, folder / FILE, token_level=selection.token_level)
        return manifest

    def check(folder: Path, written: Manifest) -> None:
        check_batch(folder, written)

    return write_export(Path(directory), write, check, overwrite=overwrite)


def _weight(name: str) -> pl.Expr:
    if name == "none":
        return pl.lit(1.0).alias("weight")
    trained = pl.col("gradient_mask").sum().over("trajectory_id")
    return pl.when(trained > 0).then(1 / trained).otherwise(0.0).alias("weight")


def _token_batch(steps: pl.DataFrame, unit: str | None) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Rows of token ids, and what the manifest says of them."""
    laid_out = token_rows(steps, unit=unit)
    rows, as_steps = laid_out.rows, laid_out.trajectories_as_steps
    whole = steps["trajectory_id"].n_unique() - as_steps
    mask = flat(rows["loss_mask"])
    sampled = pl.col("response_ids").list.len() > 0
    if "response_mask" in steps.columns:
        sampled &= pl.col("response_mask").is_null() | pl.col("response_mask").list.contains(1)
    return rows, {
        "unit": "step" if unit == "step" or not whole else "mixed" if as_steps else "trajectory",
        "tokenizer": _tokenizer(steps),
        "advantage_scope": "per_token(step-broadcast)",
        "counts": {
            "rows": rows.height,
            "tokens": mask.len(),
            "trained_tokens": mask.cast(pl.Int64).sum(),
            "steps_without_tokens": steps.filter(~sampled).height,
            "trajectories_as_steps": as_steps,
        },
        "checks": {
            "lengths_equal": True,
            "masked_advantages_zero": True,
            "prefix_property": laid_out.prefix_property,
            "logprobs_present": rows["old_logprobs"].null_count() == 0,
        },
    }


def _text_batch(steps: pl.DataFrame, unit: str | None) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Rows of messages, and what the manifest says of them."""
    unit = unit or "trajectory"
    laid_out = text_rows(steps, unit=unit)
    rows = laid_out.rows
    return rows, {
        "unit": unit,
        "tokenizer": None,
        "advantage_scope": "per_step(assistant message)",
        "counts": {
            "rows": rows.height,
            "messages": rows["messages"].list.len().cast(pl.Int64).sum(),
            "trained_steps": flat(rows["step_mask"]).cast(pl.Int64).sum(),
            "rows_from_messages": laid_out.from_messages,
        },
        "checks": {
            "lengths_equal": True,
            "masked_advantages_zero": True,
            "prefix_property": None,
            "logprobs_present": False,
        },
    }


def _step_counts(selection: Selection) -> dict[str, int]:
    return {
        "masked_steps": selection.steps.filter(~pl.col("gradient_mask")).height,
        "zero_advantage_groups": selection.zero_advantage_groups,
    }


def _method(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The method, and those of its fields that say which deviation and which epsilon."""
    method = dict(provenance.get("method", {}))
    words = ("eps", "ddof", "std", "norm", "scale", "baseline")
    fields = method.get("fields", {})
    conventions = {
        name: value for name, value in fields.items() if any(word in name for word in words)
    }
    return {"method": method, "conventions": conventions}


def _policy(steps: pl.DataFrame) -> dict[str, Any]:
    """Which policies acted, and how far the oldest was behind the optimiser."""

    def distinct(name: str) -> list[Any]:
        if name not in steps.columns:
            return []
        values: list[Any] = steps[name].drop_nulls().unique().sort().to_list()
        return values

    staleness = None
    if {"train_step", "policy_version"} <= set(steps.columns):
        staleness = steps.select((pl.col("train_step") - pl.col("policy_version")).max()).item()
    return {
        "models": distinct("model"),
        "versions": distinct("policy_version"),
        "train_steps": distinct("train_step"),
        "max_staleness": staleness,
    }


def _tokenizer(steps: pl.DataFrame) -> str | None:
    """The one tokenizer of the token ids.

    Raises:
        ParameterError: There are several.
    """
    if "tokenizer" not in steps.columns:
        return None
    names = steps["tokenizer"].drop_nulls().unique().sort().to_list()
    if len(names) > 1:
        other = steps.filter(pl.col("tokenizer") != steps["tokenizer"].drop_nulls()[0])
        raise ParameterError(
            f"the token ids are of {len(names)} tokenizers, {names[:3]}: {places(other)}. "
            "Hint: export them apart"
        )
    return names[0] if names else None
