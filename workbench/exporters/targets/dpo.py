"""Pairs of replies to one prompt, for direct preference optimisation.

An object per pair: `prompt`, `chosen` and `rejected`, whose advantages are apart by more than the
margin. Two steps are of one prompt where they are of one group and all that stood before their
replies is equal, message for message, tools and ids of calls included: the loss has one prompt for
both. In each such state the best reply is paired with the worst, the second best with the second
worst, and so on, each at most once and with another text than its partner. A reply that is in no
pair is counted under its reason.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from workbench.errors import ArtefactError
from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.conversations import conversation_rows
from workbench.exporters.manifest import Manifest
from workbench.exporters.options import STEPS_ONLY, Options
from workbench.exporters.replies import (
    KEY,
    dictionaries,
    frame_of,
    joined_reply,
    read_objects,
    single,
    split_reply,
    without_prompt,
    write_objects,
)
from workbench.exporters.selection import STEP, without
from workbench.parameters import parameter

FILE = "dpo.jsonl"
PAIR = "pair"
"""Column of the steps: the number of the pair; null for a step in none."""

_SIDES = ("chosen", "rejected")
_OWN = [("trajectory_id", pa.string()), ("step_index", pa.int32()), ("advantage", pa.float32())]
_COLUMNS = [
    ("group_id", pa.string()),
    ("tools", pa.string()),
    *((f"{side}_{name}", kind) for side in _SIDES for name, kind in _OWN),
]


@dataclass(frozen=True, kw_only=True)
class PairOptions(Options):
    """Options of pairs.

    Args:
        margin: How much the advantages of a pair differ by at least, exclusive.
    """

    margin: float = parameter(
        0.0, "pair replies whose advantages differ by more than this", minimum=0.0
    )


def paired(steps: pl.DataFrame, options: PairOptions) -> pl.DataFrame:
    """The steps of which only those in a pair are trained, with the column `pair`."""
    steps = without_prompt(steps)
    prompts, replies = [""] * steps.height, [""] * steps.height
    for row in conversation_rows(steps, by_step=True):
        *before, reply = map(_canonical, row.messages)
        prompts[row.last] = "\n".join([row.tools or "", *before])
        replies[row.last] = reply
    trained = np.flatnonzero(steps["gradient_mask"].to_numpy())
    groups, seen = steps["group_id"].to_list(), steps["observation"].to_list()
    states: dict[tuple[str, str], list[int]] = defaultdict(list)
    histories: dict[tuple[str, str], set[str]] = defaultdict(set)
    for step in trained.tolist():
        states[groups[step], prompts[step]].append(step)
        histories[groups[step], seen[step]].add(prompts[step])
    advantage = steps["advantage"].to_list()
    pairs = [
        pair
        for state in states.values()
        for pair in _pairs(state, advantage, replies, options.margin)
    ]
    number: list[int | None] = [None] * steps.height
    for k, pair in enumerate(pairs):
        for step in pair:
            number[step] = k
    why: list[str | None] = [None] * steps.height
    for (group, _), state in states.items():
        for step in (step for step in state if number[step] is None):
            elsewhere = len(histories[group, seen[step]]) > 1
            why[step] = _unpaired(
                step, state, advantage, replies, options.margin, elsewhere=elsewhere
            )
    reasons = pl.Series("why", why, dtype=pl.String)
    steps = steps.with_columns(pl.Series(PAIR, number, dtype=pl.Int64))
    for reason in reasons.drop_nulls().unique(maintain_order=True):
        steps = without(steps, pl.lit(reasons == reason), reason)
    return steps


def _unpaired(
    step: int,
    state: Sequence[int],
    advantage: Sequence[float],
    replies: Sequence[str],
    margin: float,
    *,
    elsewhere: bool,
) -> str:
    """The reason, a key of `UNTRAINED`, why a step of a state is in no pair.

    `_pairs` leaves no two steps that could be paired, so that whoever has a possible partner lost
    it to another pair. `elsewhere` is true where its observation has another history too.
    """
    others = [other for other in state if other != step]
    if not others:
        return "other_history" if elsewhere else "only_reply"
    apart = [other for other in others if abs(advantage[step] - advantage[other]) > margin]
    if not apart:
        return "no_margin"
    if all(replies[other] == replies[step] for other in apart):
        return "same_text"
    return "already_paired"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _pairs(
    state: Sequence[int], advantage: Sequence[float], replies: Sequence[str], margin: float
) -> list[tuple[int, int]]:
    """Pairs (better, worse) of the steps of one state: best with worst first, each step once."""
    order = sorted(state, key=lambda step: (-advantage[step], step))
    found = []
    while len(order) > 1:
        best = order.pop(0)
        for worst in reversed(order):
            if advantage[best] - advantage[worst] <= margin:
                break
            if replies[best] != replies[worst]:
                order.remove(worst)
                found.append((best, worst))
                break
    return found


def write(batch: Batch, folder: Path) -> None:
    """Write `dpo.jsonl`."""
    rows = split_reply(batch.rows).join(
        batch.steps.select(*STEP, PAIR), on=STEP, how="left", maintain_order="left"
    )
    # The better reply of each pair first, whatever the order of the trajectories.
    rows = rows.sort(PAIR, "advantage", descending=[False, True], maintain_order=True)
    halves = [
        list(dictionaries(rows.gather_every(2, offset), "prompt", "completion"))
        for offset in (0, 1)
    ]
    write_objects((_pair(*both) for both in zip(*halves, strict=True)), folder / FILE)


def _pair(chosen: dict[str, Any], rejected: dict[str, Any]) -> dict[str, Any]:
    """The object of two rows."""
    found = {"prompt": chosen["prompt"]}
    both = dict(zip(_SIDES, (chosen, rejected), strict=True))
    found |= {side: row["completion"] for side, row in both.items()}
    found |= {"tools": chosen["tools"]} if "tools" in chosen else {}
    found["group_id"] = chosen["group_id"]
    for side, row in both.items():
        row["advantage"] = single(row["advantage"])
        found |= {f"{side}_{name}": row[name] for name, _ in _OWN}
    return found


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The rows of both sides again, in the order of the batch.

    Raises:
        ArtefactError: The replies of a pair are one.
    """
    del manifest
    path = folder / FILE
    pairs = frame_of(read_objects(path), _COLUMNS, path, "prompt", *_SIDES)
    same = pairs["chosen"].eq(pairs["rejected"]).arg_true()
    if same.len():
        raise ArtefactError(f"{path} line {same[0] + 1}: chosen and rejected are one reply")
    sides = [
        pairs.select(
            "group_id",
            *(pl.col(f"{side}_{name}").alias(name) for name, _ in _OWN),
            "tools",
            "prompt",
            pl.col(side).alias("completion"),
        )
        for side in _SIDES
    ]
    return joined_reply(pl.concat(sides).sort([name for name, _ in KEY]))


register(
    Exporter(
        name="dpo",
        description="JSON lines of pairs of replies to one prompt, for TRL's DPOTrainer.",
        layout=Layout(
            format="workbench-dpo",
            version=2,
            trainer="TRL DPOTrainer",
            turn_off="nothing: the loss takes the order of a pair alone",
            unit="step",
            pairs=True,
            contents="texts",
            set_aside=paired,
        ),
        write=write,
        read=read,
        dataset=FILE,
        appends=True,
        units=STEPS_ONLY,
        options_type=PairOptions,
    )
)
