"""OpenHands evaluations: `output.jsonl`, an instance a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from workbench.readers.base import SYSTEM, Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_record
from workbench.readers.jsonfiles import Record, lookup
from workbench.readers.mapping import refuse_mapping
from workbench.readers.openhands_events import REBUILT, Events, flattened
from workbench.readers.records import parts_of_records
from workbench.readers.rows import (
    Converter,
    StepRows,
    checked_values,
    identity,
    is_number,
    named,
    number,
    ones,
    token_ids,
    truth,
)
from workbench.readers.sessions import text_of
from workbench.readers.systems import system_of

_CELLS = Cells(
    objects=frozenset({"history", "test_result", "metadata", "metrics", "instance", "report"})
)
_EVENT = {"kind", "action", "observation", "source"}
_RESOLVED = (
    "test_result.report.resolved", "test_result.resolved", "report.resolved", "resolved",
    "test_result.result.resolved",
)  # fmt: skip
_SCORES = ("test_result.score", "test_result.result.score", "test_result.result")
_LIMITS = {"maximum iteration": "max_iterations", "MaxIterationsReached": "max_iterations"}
"""Part of an error -> the limit that it tells of."""


@reader("openhands", description="OpenHands evaluations, output.jsonl")
class OpenHands:
    """Groups are instances, trajectories their lines, steps answers of the model.

    The reward is 1 where the report in `test_result` says that the instance was resolved and 0
    where it says that it was not, else the score there, else null; a mapping may name another key.
    Trajectories are numbered in their group, over all files. Where the answers of the model are
    not logged, they are rebuilt from what was done and marked so. A condensation begins a segment.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Lines with an instance and a history of events."""
        record = first_record(path, head, _CELLS)
        history = record.get("history")
        if "instance_id" not in record or not isinstance(history, list):
            return False
        first = next(iter(flattened(history)), None)
        is_event = isinstance(first, dict) and bool(_EVENT & first.keys()) and "role" not in first
        return is_event or (not history and "test_result" in record)

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The steps of all instances; `columns` may name the key that is the reward."""
        refuse_mapping(columns, "OpenHands outputs", but="reward")
        add = partial(_add, told=columns.get("reward"))
        return parts_of_records(path, add, cells=_CELLS, numbered=True)


def _add(
    rows: StepRows,
    record: Record,
    line: int,
    diagnostics: Diagnostics,
    place: str,
    *,
    told: str | None,
) -> None:
    values = checked_values(record, {"instance_id": identity}, diagnostics, place)
    if values is None:
        return
    history = record.get("history")
    if not isinstance(history, list):
        diagnostics.problem("history", "is missing or no list of events", place)
        return
    events = Events()
    for event in flattened(history):
        if not isinstance(event, dict):
            diagnostics.problem("history", "holds an event that is no object", place)
            return
        events.read(event)
    try:
        steps = events.talk.turns(events.tools or None)
        tokens = _tokens(events)
    except (ValueError, RecursionError) as error:
        diagnostics.problem("history", str(error), place)
        return
    reward = _reward(record, told, diagnostics, place)
    if not steps:
        rule = "holds no answer of the model, so no step"
        diagnostics.drop("history", rule, f"{place} ({record.get('error') or 'no error'})")
        return
    if events.is_rebuilt:
        text = "answers of the model are not logged and rebuilt from the thought and the action"
        diagnostics.notice(text, place)
    for kind, count in sorted(events.kinds.items()):
        diagnostics.notice(f"events of the kind {kind} hold no message", place, count=count)
    model, agent = _model(record)
    reason = _ending(record, events)
    rows.add(
        steps,
        line=line,
        outcome=reward,
        fields={
            "group_id": values["instance_id"],
            "trajectory_id": None,
            "success": bool(reward)
            if told in {None, *_RESOLVED} and reward in {0.0, 1.0}
            else None,
            "model": model,
            "attempt": record.get("attempt") if isinstance(record.get("attempt"), int) else None,
            "reconstructed": REBUILT if events.is_rebuilt else None,
            SYSTEM: system_of(agent, model),
        },
        last_fields={"finish_reason": reason, "truncated": reason in _LIMITS.values()},
        step_fields=tokens,
    )


def _reward(record: Record, told: str | None, diagnostics: Diagnostics, place: str) -> float | None:
    """The reward that a record tells; None where it tells none."""
    keys = [told] if told is not None else [*_RESOLVED, *_SCORES]
    for key in keys:
        value = lookup(record, key)
        converter: Converter = truth if key in _RESOLVED else number
        is_text = isinstance(value, str) and not is_number(value)
        if value is None or isinstance(value, dict | list) or (told is None and is_text):
            continue
        try:
            found = converter(value)
        except ValueError as error:
            diagnostics.problem("reward", f"{key!r} {error}", place)
            return None
        return None if found is None else float(found)
    lacking = "no report says how it went" if told is None else f"there is no value for {told!r}"
    diagnostics.notice(f"{lacking}: the reward is null", place)
    return None


def _model(record: Record) -> tuple[str | None, str | None]:
    """The model and the agent, as the metadata says."""
    keys = ("metadata.llm.model", "metadata.llm_config.model", "metadata.model_name")
    found = [value for value in (lookup(record, key) for key in keys) if isinstance(value, str)]
    agent = lookup(record, "metadata.agent_class")
    return next(iter(found), None), agent if isinstance(agent, str) else "OpenHands"


def _ending(record: Record, events: Events) -> str | None:
    """Reason why the rollout ended: a limit, else the kind of the error."""
    error = text_of(record, "error") or events.ending
    if error is None:
        return None
    limit = next((limit for part, limit in _LIMITS.items() if part in error), None)
    return limit or "error"


def _tokens(events: Events) -> dict[str, list[Any]]:
    """Token columns, where events of a server tell the ids.

    Raises:
        ValueError: They are none.
    """
    prompts, answers = (
        [None if pair is None else named(name, token_ids, pair[at]) for pair in events.tokens]
        for at, name in enumerate(("prompt_token_ids", "response_token_ids"))
    )
    return {
        "prompt_ids": prompts,
        "response_ids": answers,
        "response_mask": [ones(ids) for ids in answers],
    }
