"""Origin of a batch's numbers: its method, its policies, its tokenizer."""

from __future__ import annotations

from typing import Any

import polars as pl

from workbench.errors import ParameterError
from workbench.exporters.selection import places
from workbench.log.credit import Provenance
from workbench.log.policies import policies_of


def method_entries(provenance: Provenance) -> dict[str, Any]:
    """The method, and those of its fields that say which deviation and which epsilon."""
    method = dict(provenance.method)
    words = ("eps", "ddof", "std", "norm", "scale", "baseline")
    fields = method.get("fields", {})
    conventions = {
        name: value for name, value in fields.items() if any(word in name for word in words)
    }
    return {"method": method, "conventions": conventions}


def policies(steps: pl.DataFrame) -> dict[str, Any]:
    """Policies that acted, and how far the oldest was behind the optimiser."""

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
        "acted": policies_of(steps),
        "versions": distinct("policy_version"),
        "train_steps": distinct("train_step"),
        "max_staleness": staleness,
    }


def tokenizer_of(steps: pl.DataFrame) -> str | None:
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
            "Hint: export them apart, by --group or --task"
        )
    return names[0] if names else None
