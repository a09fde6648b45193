"""Report on a key: number of labels, their sizes, and the texts that it merges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from workbench.log.steps import Index, Steps
from workbench.parameters import fields
from workbench.states.keys.base import ACTION_KEYS, STATE_KEYS, KeySpace
from workbench.states.keys.text import state_texts

Kind = Literal["state", "action"]
PLAIN: Mapping[Kind, str] = {"state": "exact", "action": "text"}
"""The key that others are compared with: equal characters."""


@dataclass(frozen=True, kw_only=True)
class KeyReport:
    """A key on a log, against the key of equal characters.

    Args:
        kind: Whether it is a key of states or of actions.
        spec: The key.
        steps: Scored steps.
        labels: Different labels.
        plain_labels: Different labels of the plain key.
        singleton_rate: Share of steps that are alone with their label.
        plain_singleton_rate: The same under the plain key.
        one_trajectory_rate: Share of steps whose label lies in one trajectory, so that a step is
            compared with its own trajectory alone.
        split: Labels of the plain key that this one splits.
        largest: All labels, those with the most steps first: label, group_id, steps, trajectories,
            distinct (labels of the plain key), texts (as first met).
        merged: The same of the labels that take several texts for one, those with the most first.
    """

    kind: Kind
    spec: str
    steps: int
    labels: int
    plain_labels: int
    singleton_rate: float
    plain_singleton_rate: float
    one_trajectory_rate: float
    split: int
    largest: pl.DataFrame
    merged: pl.DataFrame

    def to_dict(self, top: int) -> dict[str, Any]:
        """JSON-able, with so many of the largest and of the merged labels."""
        frames = {"largest": self.largest, "merged": self.merged}
        return vars(self) | {name: frame.head(top).to_dicts() for name, frame in frames.items()}

    def lines(self) -> list[str]:
        """The numbers for a reader."""
        return [
            f"{self.kind} key {self.spec}: {self.labels:,} labels for {self.steps:,} steps; "
            f"{PLAIN[self.kind]} has {self.plain_labels:,}",
            f"alone with their label: {self.singleton_rate:.1%} of the steps; "
            f"{PLAIN[self.kind]} {self.plain_singleton_rate:.1%}",
            f"with labels of one trajectory only: {self.one_trajectory_rate:.1%} of the steps",
            f"{self.merged.height:,} labels merge several texts; "
            f"{self.split:,} labels of {PLAIN[self.kind]} are split",
        ]


def key_report(space: KeySpace, spec: str, kind: Kind = "state") -> KeyReport:
    """Count what a key makes of a log.

    Args:
        space: The space of the log.
        spec: The key.
        kind: Of states or of actions.
    """
    of = space.state_key if kind == "state" else space.action_key
    steps, key, plain = space.steps, of(spec), of(PLAIN[kind])
    text = state_texts(steps)[0] if kind == "state" else steps.column("action")
    labels = _labels(steps, key, plain, text)
    size = labels["steps"].gather(key)
    plain_size = pl.Series(np.bincount(plain)[plain])
    pairs = pl.DataFrame({"plain": plain, "key": key}).unique()
    return KeyReport(
        kind=kind,
        spec=spec,
        steps=len(steps),
        labels=labels.height,
        plain_labels=int(plain.max()) + 1,
        singleton_rate=_share(size == 1),
        plain_singleton_rate=_share(plain_size == 1),
        one_trajectory_rate=_share(labels["trajectories"].gather(key) == 1),
        split=int((pairs["plain"].value_counts()["count"] > 1).sum()),
        largest=labels.sort("steps", "label", descending=[True, False]),
        merged=_merged(labels),
    )


def _merged(labels: pl.DataFrame) -> pl.DataFrame:
    several = labels.filter(pl.col("distinct") > 1)
    return several.sort("distinct", "steps", "label", descending=[True, True, False])


def _labels(steps: Steps, key: Index, plain: Index, text: pl.Series) -> pl.DataFrame:
    """One row a label, in the order of labels."""
    rows = pl.DataFrame(
        {
            "label": key,
            "plain": plain,
            "text": text,
            "trajectory": steps.trajectory,
            "group_id": steps.column("group_id"),
        }
    )
    return (
        rows.group_by("label", maintain_order=True)
        .agg(
            pl.col("group_id").first(),
            pl.len().alias("steps"),
            pl.col("trajectory").n_unique().alias("trajectories"),
            pl.col("plain").n_unique().alias("distinct"),
            pl.col("text").unique(maintain_order=True).alias("texts"),
        )
        .sort("label")
    )


def _share(truth: pl.Series) -> float:
    return float(truth.sum()) / len(truth)


def key_table(kind: Kind) -> list[dict[str, str]]:
    """The registered keys as rows for documents: key, fields, what counts as the same."""
    registered = STATE_KEYS if kind == "state" else ACTION_KEYS
    return [
        {
            f"{kind} key": name,
            "fields": ", ".join(fields(cls)) or "–",
            "what is the same": (cls.__doc__ or "").partition("\n")[0],
        }
        for name, cls in registered.items()
    ]
