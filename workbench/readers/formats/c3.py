"""C3's buckets: one JSON line a context, with the actions tried in it and their replays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import ParameterError
from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys, records_of
from workbench.readers.jsonfiles import Record
from workbench.readers.rows import identity, numbers

_CELLS = Cells(objects=frozenset({"candidates", "restart"}))
_SCHEMA: dict[str, Any] = {
    "group_id": pl.String,
    "trajectory_id": pl.String,
    "step_index": pl.Int32,
    "observation": pl.String,
    "action": pl.String,
    "reward": pl.Float64,
    "reward_source": pl.String,
    "role": pl.String,
    "node_id": pl.String,
    "parent_id": pl.String,
    "replay_returns": pl.List(pl.Float64),
    "state_key": pl.String,
    "next_actions": pl.List(pl.String),
    "source_line": pl.Int64,
}


@reader("c3", description="C3 bucket JSONL: one context a line, its candidate actions with replays")
class C3Buckets:
    """Groups are questions; each candidate action is a trajectory of one step.

    The observation is the transcript that was held fixed, and `state_key` its hash. The
    candidate's returns are `replay_returns`, their mean the reward (`reward_source` derived); its
    node hangs below the bucket, so that the candidates of a bucket are siblings. What the next
    role answered is kept in `next_actions`.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """A first record with `candidates` and a `target_role`."""
        return first_keys(path, head) >= {"candidates", "target_role"}

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The candidates of all buckets; names are fixed, so `columns` must be empty."""
        if columns:
            raise ParameterError(
                f"C3 buckets have fixed names; the mapping of {sorted(columns)} has no use"
            )
        diagnostics = Diagnostics()
        rows: list[dict[str, Any]] = []
        records = records_of(path, diagnostics, _CELLS)
        for line, record in records:
            rows += _candidates(record, line, diagnostics, records.place(line))
        return Part(frame=pl.DataFrame(rows, schema=_SCHEMA), diagnostics=diagnostics)


def _candidates(
    record: Record, line: int, diagnostics: Diagnostics, place: str
) -> list[dict[str, Any]]:
    """The rows of one bucket; none of a bucket that has a problem."""
    bucket: dict[str, Any] = {}
    for name in ("bucket_id", "question_id", "target_role", "ctx_hash"):
        try:
            bucket[name] = identity(record.get(name))
        except ValueError as error:
            diagnostics.problem(name, str(error), place)
            return []
        if bucket[name] is None:
            diagnostics.problem(name, "is missing or null", place)
            return []
    candidates = record.get("candidates")
    if not isinstance(candidates, list) or not candidates:
        diagnostics.problem("candidates", "is no list of candidates", place)
        return []
    transcript = _transcript(record)
    rows = []
    for number, candidate in enumerate(candidates):
        returns, action, following = _checked(candidate)
        if returns is None or action is None:
            rule = (
                "need action_text, a list of finite returns and, if any, a list of next_actions"
                if isinstance(candidate, dict)
                else "hold something that is no JSON object"
            )
            diagnostics.problem("candidates", rule, f"{place} candidate {number}")
            return []
        name = f"{bucket['bucket_id']}/{candidate.get('j', number)}"
        rows.append(
            {
                "group_id": bucket["question_id"],
                "trajectory_id": name,
                "step_index": 0,
                "observation": transcript,
                "action": action,
                "reward": math.fsum(returns) / len(returns),
                "reward_source": "derived",
                "role": bucket["target_role"],
                "node_id": name,
                "parent_id": bucket["bucket_id"],
                "replay_returns": returns,
                "state_key": bucket["ctx_hash"],
                "next_actions": following,
                "source_line": line,
            }
        )
    return rows


def _checked(candidate: Any) -> tuple[list[float] | None, str | None, list[str]]:
    """Returns, action and next actions of a candidate; None for what is not as it must be."""
    if not isinstance(candidate, dict):
        return None, None, []
    action, following = candidate.get("action_text"), candidate.get("next_actions") or []
    if not isinstance(following, list):
        return None, None, []
    texts = [text for text in following if isinstance(text, str)]
    try:
        returns = numbers(candidate.get("returns")) or []
    except ValueError:
        returns = []
    sound = bool(returns) and all(map(math.isfinite, returns))
    return returns if sound else None, action if isinstance(action, str) else None, texts


def _transcript(record: Record) -> str:
    """Transcript before the action: the question if it is there, then each role."""
    restart = record.get("restart")
    restart = restart if isinstance(restart, dict) else {}
    question, said = restart.get("question"), restart.get("role_outputs_prefix")
    said = said if isinstance(said, dict) else {}
    order = restart.get("roles_topo")
    roles = list(said)
    order = [role for role in order if role in roles] if isinstance(order, list) else roles
    parts = [question] if isinstance(question, str) else []
    return "\n\n".join([*parts, *(f"{role}: {said[role]}" for role in order)])
