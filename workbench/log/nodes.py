"""Rollout trees in a step log: which step is whose child, and nodes out of shared prefixes.

A node is one decision. Rollouts that were forked share the nodes of their common prefix: the same
`node_id` in each. A step's parent is the step before it in its trajectory; the first step of a
trajectory that was forked off another one names its parent in `parent_id`, and so may every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.errors import ParameterError

Index = NDArray[np.int64]
Truth = NDArray[np.bool_]

SCOPE = ["group_id", "tree_id"]
"""Columns within which a node id is unique."""

_NAME = [*SCOPE, "node_id", "own_trajectory", "own_step"]


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """The nodes that the rows of a log name. L rows, V nodes.

    Args:
        node: Node of each row. (L,) int64
        row_parent: Parent of each row's node as that row has it; -1 at a root. (L,) int64
        parent: Parent of each node; -1 at a root. (V,) int64
        misplaced: Rows whose parent_id is not the node of the step before them. (L,) bool
    """

    node: Index
    row_parent: Index
    parent: Index
    misplaced: Truth

    @cached_property
    def conflicting(self) -> Truth:
        """Rows that give their node another parent than an earlier row does. (L,) bool."""
        conflicting: Truth = self.row_parent != self.parent[self.node]
        return conflicting

    @cached_property
    def cyclic(self) -> Truth:
        """Rows whose node has itself among its ancestors, or hangs below such a one. (L,) bool."""
        return (ancestors(self.parent)[0] >= 0)[self.node]


def ancestors(parent: Index) -> tuple[Index, Index]:
    """Ends of walks from each node towards the root, and how many nodes they pass.

    Steps are doubled, so the cost is V log V whatever the depth.

    Args:
        parent: Parent of each node; -1 at a root. (V,) int64

    Returns:
        -1 for each node that has a root, else some node of a cycle (V,); and the depth, 0 at a
        root; without meaning above a cycle (V,).
    """
    end = np.append(parent, -1)
    end[end < 0] = len(parent)
    depth = (end < len(parent)).astype(np.int64)
    for _ in range(len(parent).bit_length() + 1):
        depth = depth + depth[end]
        end = end[end]
    return np.where(end[:-1] == len(parent), -1, end[:-1]), depth[:-1]


def nodes_of(log: pl.DataFrame) -> Nodes:
    """Numbers the nodes of a log, in the order in which they are first met.

    A step without a `node_id` is a node of its own. A `parent_id` that no step has as its node is
    a node without steps, such as the prompt.

    Args:
        log: With node_id; steps of a trajectory adjacent and in order, none twice.
    """
    rows = _named(log)
    distinct = rows.select(_NAME).unique(maintain_order=True).with_row_index("node")
    joined = rows.join(distinct, on=_NAME, how="left", nulls_equal=True, maintain_order="left")
    node = joined["node"].cast(pl.Int64).to_numpy()
    parent_name = rows.select(*SCOPE, node_id="parent_id")
    named = distinct.filter(pl.col("node_id").is_not_null()).select(*SCOPE, "node_id", "node")
    absent = (
        parent_name.drop_nulls("node_id")
        .unique(maintain_order=True)
        .join(named, on=[*SCOPE, "node_id"], how="anti", nulls_equal=True, maintain_order="left")
        .with_row_index("node", offset=distinct.height)
    )
    known = pl.concat([named, absent.select(named.columns)])
    found = parent_name.join(
        known, on=[*SCOPE, "node_id"], how="left", nulls_equal=True, maintain_order="left"
    )
    logged = found["node"].cast(pl.Int64).fill_null(-1).to_numpy()
    follows = (rows["trajectory_id"] == rows["trajectory_id"].shift(1)).fill_null(value=False)
    before = np.where(follows.to_numpy(), np.concatenate([[-1], node[:-1]]), -1)
    row_parent = np.where(before >= 0, before, logged)
    parent = np.full(known.height + distinct["node_id"].null_count(), -1, dtype=np.int64)
    # The first row of a node has the last word.
    parent[node[::-1]] = row_parent[::-1]
    return Nodes(
        node=node,
        row_parent=row_parent,
        parent=parent,
        misplaced=(before >= 0) & (logged >= 0) & (logged != before),
    )


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Counts of the steps that rollouts of a log share.

    Args:
        nodes: Nodes of the log.
        shared: Nodes that more than one rollout passes.
        groups: Groups that have a shared node.
    """

    nodes: int
    shared: int
    groups: int

    def __str__(self) -> str:
        """One sentence."""
        if not self.shared:
            return f"tree: {self.nodes:,} nodes; no two rollouts of a group begin alike"
        return (
            f"tree: {self.nodes:,} nodes, {self.shared:,} of them shared by several rollouts, "
            f"in {self.groups:,} groups"
        )

    def __add__(self, other: Sharing) -> Sharing:
        """That of two logs which have no group in common."""
        return Sharing(
            nodes=self.nodes + other.nodes,
            shared=self.shared + other.shared,
            groups=self.groups + other.groups,
        )


def sharing(log: pl.DataFrame) -> Sharing:
    """Counts of shared steps in a log with node_id."""
    names = [name for name in (*SCOPE, "node_id") if name in log.columns]
    nodes = log.group_by(names).agg(pl.col("trajectory_id").n_unique().alias("rollouts"))
    shared = nodes.filter(pl.col("rollouts") > 1)
    return Sharing(nodes=nodes.height, shared=shared.height, groups=shared["group_id"].n_unique())


def _named(log: pl.DataFrame) -> pl.DataFrame:
    """The columns that name a row's node and its parent; absent ones are null."""
    for name in ("tree_id", "parent_id"):
        if name not in log.columns:
            log = log.with_columns(pl.lit(None, dtype=pl.String).alias(name))
    unnamed = pl.col("node_id").is_null()
    return log.select(
        *SCOPE,
        "trajectory_id",
        "node_id",
        "parent_id",
        own_trajectory=pl.when(unnamed).then("trajectory_id"),
        own_step=pl.when(unnamed).then("step_index"),
    )


def with_prefix_nodes(log: pl.DataFrame) -> pl.DataFrame:
    """Give a log the nodes of its prefix tree: rollouts that begin alike share nodes.

    Two steps are one node where role, observation and action are equal and were equal at every
    step before. A node is named after the first step that is in it, as `trajectory:step`.

    Args:
        log: A validated step log without node_id.

    Raises:
        ParameterError: The log has nodes already.
    """
    if "node_id" in log.columns and log["node_id"].null_count() < log.height:
        raise ParameterError("the log has a node_id already; its own tree is used")
    content = [name for name in ("role", "observation", "action") if name in log.columns]
    rows = log.with_row_index("row").select("row", "group_id", "step_index", *content)
    first = np.arange(log.height, dtype=np.int64)  # of each row, the first row of its node
    # Rows of equal depth are independent of each other, so the loop is over depths.
    for depth, here in enumerate(rows.sort("step_index").partition_by("step_index")):
        at = here["row"].to_numpy()
        parent = first[at - 1] if depth else np.full(len(at), -1)
        keys = here.select("row", "group_id", *content).with_columns(parent=pl.Series(parent))
        first[at] = keys.select(pl.col("row").first().over("group_id", "parent", *content))[
            "row"
        ].to_numpy()
    name = log["trajectory_id"] + ":" + log["step_index"].cast(pl.String)
    node = name.gather(first).alias("node_id")
    follows = pl.col("step_index") > 0
    return log.with_columns(node).with_columns(
        parent_id=pl.when(follows).then(pl.col("node_id").shift(1))
    )
