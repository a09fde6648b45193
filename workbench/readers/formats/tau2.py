"""tau2-bench results: one JSON object of tasks and simulations, or a folder of simulations."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.jsonfiles import Record, checked_record, json_object, leading_keys
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn, turns
from workbench.readers.records import is_cut
from workbench.readers.rows import (
    StepRows,
    checked_values,
    identity,
    number,
    say_text_numbers,
)
from workbench.readers.scores import score_number

_SOLVED_WITHIN = 1e-6
_GREETING = "Hi! How can I help you today?"
"""First message, which is the benchmark's and not the policy's."""


def _run_of(path: Path) -> Path:
    """The run: one file of results, or the folder in which they lie with their simulations."""
    if path.parent.name == "simulations":
        return path.parent.parent
    return path.parent if path.name == "results.json" else path


@reader("tau2", description="tau2-bench results JSON", companions=("results.json",), run=_run_of)
class Tau2:
    """Groups are tasks, trajectories simulations, steps the agent's messages.

    The reward is the outcome, on the last step; a simulation is a success where it is 1 within
    1e-6. The benchmark's own greeting is history, not a step. Tool calls of the simulated user
    and their answers, which the agent never sees, are left out and stated. A simulation without
    a reward, such as one that ended in an infrastructure error, is not scored; one that a limit
    cut off is marked as truncated. Where an action of the task was checked, the number of those
    that matched is in `matched_actions`. `source_line` counts the simulations from 1.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """An object with simulations, or one simulation."""
        keys = leading_keys(head)
        results = "simulations" in keys or {"info", "tasks"} <= keys
        return results or {"task_id", "termination_reason", "reward_info"} <= keys

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of all simulations; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "tau2-bench results")
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        record = json_object(path, diagnostics)
        if record is not None:
            for line, simulation in enumerate(_simulations(path, record, diagnostics), start=1):
                place = f"{path} record {line}"
                if checked_record(simulation, "", diagnostics, place) is not None:
                    _add(
                        rows,
                        simulation,
                        diagnostics,
                        place,
                        line=line,
                        shared=_shared(path, record),
                    )
        return Part(frame=rows.frame(), diagnostics=diagnostics)


def _simulations(path: Path, record: Record, diagnostics: Diagnostics) -> Iterable[Any]:
    """The simulations of a file; those of a folder lie in files of their own."""
    if "messages" in record:
        return [record]
    given = record.get("simulations")
    if isinstance(given, list):
        return given
    if given is not None or not (path.parent / "simulations").is_dir():
        diagnostics.problem("simulations", "is missing or no list", str(path))
    return []


def _shared(path: Path, record: Record) -> Record:
    """Header of a run: here, or in the results next to the folder of simulations."""
    if "messages" in record:
        results = path.parent.parent / "results.json"
        return _results(results, results.stat().st_mtime_ns) if results.is_file() else {}
    return record


@functools.lru_cache(maxsize=1)
def _results(path: Path, written: int) -> Record:
    """The results next to a folder of simulations, read once for all of them."""
    return json_object(path, Diagnostics()) or {}


def _add(
    rows: StepRows,
    simulation: Record,
    diagnostics: Diagnostics,
    place: str,
    *,
    line: int,
    shared: Record,
) -> None:
    values = checked_values(
        simulation,
        {"id": identity, "task_id": identity, "trial": identity},
        diagnostics,
        place,
        optional={"trial"},
    )
    if values is None:
        return
    try:
        steps = _turns(simulation.get("messages"), diagnostics, place)
        reward = _reward(simulation, diagnostics, place)
    except ValueError as error:
        diagnostics.problem("messages", str(error), place)
        return
    if not steps:
        diagnostics.drop("messages", "hold none of the agent's, so no step", place)
        return
    reason = simulation.get("termination_reason")
    rows.add(
        steps,
        line=line,
        outcome=reward,
        fields={
            "group_id": values["task_id"],
            "trajectory_id": values["id"],
            "success": None if reward is None else abs(reward - 1) <= _SOLVED_WITHIN,
            "model": _model(shared),
            "trial": values["trial"],
            "matched_actions": _matched_actions(simulation),
        },
        last_fields={
            "finish_reason": reason if isinstance(reason, str) else None,
            "truncated": reason == "too_many_errors"
            or bool(is_cut(reason if isinstance(reason, str) else None)),
        },
    )


def _reward(simulation: Record, diagnostics: Diagnostics, place: str) -> float | None:
    info = simulation.get("reward_info")
    if simulation.get("termination_reason") == "infrastructure_error" or info is None:
        return None
    if not isinstance(info, dict):
        raise ValueError("come with a reward_info that is no object")
    say_text_numbers([info.get("reward")], diagnostics, place)
    return number(info.get("reward"))


def _model(shared: Record) -> str | None:
    info = shared.get("info")
    agent = info.get("agent_info") if isinstance(info, dict) else None
    model = agent.get("llm") if isinstance(agent, dict) else None
    return model if isinstance(model, str) else None


def _matched_actions(simulation: Record) -> float | None:
    """Number of the task's actions that the agent took; None where none was checked."""
    info = simulation.get("reward_info")
    checks = info.get("action_checks") if isinstance(info, dict) else None
    if not isinstance(checks, list) or not checks:
        return None
    return sum(
        score_number(check.get("action_match")) or 0.0
        for check in checks
        if isinstance(check, dict)
    )


def _turns(messages: Any, diagnostics: Diagnostics, place: str) -> list[Turn]:
    seen: list[Record] = []
    hidden = 0
    for message in _flat(messages):
        of_user = message.get("role") == "tool" and message.get("requestor") == "user"
        calls = message.get("tool_calls") if message.get("role") == "user" else None
        hidden += of_user or bool(calls)
        if of_user or (calls and not message.get("content")):
            continue
        kept = ("role", "content", "tool_calls") if not calls else ("role", "content")
        seen.append({key: message[key] for key in kept if message.get(key) is not None})
        if message.get("role") == "tool":
            seen[-1]["tool_call_id"] = message.get("id")
    if hidden:
        text = "tool calls of the simulated user and their answers are not shown to the agent"
        diagnostics.notice(text, place)
    greeted = bool(seen) and seen[0] == {"role": "assistant", "content": _GREETING}
    return turns(seen, range(int(greeted), len(seen)))


def _flat(messages: Any) -> Sequence[Record]:
    """Messages one by one: answers to several calls come as one message of several."""
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        raise ValueError("are no list of messages")
    return [
        inner
        for message in messages
        for inner in (message.get("tool_messages") or [message])
        if isinstance(inner, dict)
    ]
