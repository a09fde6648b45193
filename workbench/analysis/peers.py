"""The members of a step's baseline for a reader: who they are, and what differs in their texts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from workbench.analysis.rollouts import StepId
from workbench.log.credit import Explanation

_IDS = ["group_id", "trajectory_id", "step_index"]
_PIECE_ENDS = re.compile(r"(?<=\n)|(?<=\[SEP\] )|(?<=[.!?] )")

Kept = Literal["same", "gone", "new"]


def own_name(trajectory_id: str, group_id: str) -> str:
    """A trajectory's id without the group's in front of it."""
    rest = trajectory_id.removeprefix(group_id)
    return rest.lstrip("/:-_ ") or trajectory_id if rest != trajectory_id else trajectory_id


@dataclass(frozen=True, kw_only=True)
class PeerRows:
    """The heaviest members of a term's baseline.

    Args:
        rows: rollout (marked "(this)" for the step itself, "(own)" for its rollout), step (counted
            from 1; null where the whole trajectory is meant), weight, similarity, value.
        targets: The step that each row leads to; a trajectory leads to its first.
        count: Members of the baseline in all.
        rest: Weight of those that are not in `rows`.
    """

    rows: pl.DataFrame
    targets: Sequence[StepId]
    count: int
    rest: float


def peer_rows(explanation: Explanation, term: str, top: int = 20) -> PeerRows:
    """The members of a term's baseline for a reader, heaviest first."""
    peers = explanation.peers.filter(pl.col("term") == term)
    shown = peers.head(top)
    own_id, own_index = explanation.step["trajectory_id"], explanation.step["step_index"]
    rollout = [
        own_name(trajectory, group)
        + (" (this)" if (trajectory, index) == (own_id, own_index) else "")
        + (" (own)" if trajectory == own_id and index != own_index else "")
        for group, trajectory, index in shown.select(_IDS).iter_rows()
    ]
    rows = shown.select(
        pl.Series("rollout", rollout, dtype=pl.String),
        (pl.col("step_index") + 1).alias("step"),
        "weight",
        "similarity",
        "value",
    )
    return PeerRows(
        rows=rows,
        targets=tuple(shown.select("trajectory_id", pl.col("step_index").fill_null(0)).iter_rows()),
        count=peers.height,
        rest=float(peers["weight"][top:].sum()),
    )


def difference(own: str, other: str) -> list[tuple[str, Kept]]:
    """The lines and sentences that another text says otherwise, in its order.

    Returns:
        Pieces that both have ("same"), that only the own text has ("gone") and that only the other
        has ("new"); neighbours of one kind are one piece.

    Example:
        >>> difference("A desk. A mug.", "A desk. A pen.")
        [('A desk. ', 'same'), ('A mug.', 'gone'), ('A pen.', 'new')]
    """
    left, right = ([piece for piece in _PIECE_ENDS.split(text) if piece] for text in (own, other))
    found: list[tuple[str, Kept]] = []
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            found.append(("".join(left[i:j]), "same"))
            continue
        found += [("".join(left[i:j]), "gone")] * (j > i)
        found += [("".join(right[k:m]), "new")] * (m > k)
    return found
