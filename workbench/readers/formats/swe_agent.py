"""SWE-agent trajectories: one `.traj` a run, with the verdicts in a file of the run's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.log.conversation import (
    Message,
    content_text,
    increments_of_prompts,
    normalised,
)
from workbench.readers.base import SYSTEM, Diagnostics, Part, reader
from workbench.readers.jsonfiles import Record, decoded_json, json_object, leading_keys
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn, turn
from workbench.readers.records import is_cut
from workbench.readers.rows import StepRows

_FOREIGN = {"prompt", "completion", "reward", "messages"}  # formats that keep a `trajectory` too
_RESULTS = "results.json"
_LIMITS = ("exit_cost", "exit_context", "exit_total_execution_time", "timeout")
"""Part of the exit status of a run that a limit cut off."""


@reader("swe-agent", description="SWE-agent .traj files", companions=(_RESULTS,))
class SweAgent:
    """Groups are instances, trajectories runs of them, steps the commands that the agent gave.

    A step's observation is what the command before it gave; the first one is the last message of
    the prompt. `action` is the command, and the whole response is in `messages`. The reward is 1
    where `results.json` in a folder above lists the instance as resolved, 0 where it only lists
    it as evaluated or lists no others, and null where the file is missing. The run is the
    folder of that file, else the folder above the trajectory's. Attempts of one run are
    trajectories of their own. `source_line` is the step, from 1.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """An object with a `trajectory`, or attempts, of actions and observations."""
        keys = leading_keys(head)
        named = bool({"trajectory", "attempts"} & keys) and not keys & _FOREIGN
        own = any(name in head for name in (b'"response"', b'"environment"', b'"info"'))
        return named and own and b'"action"' in head and b'"observation"' in head

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of all attempts; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "SWE-agent trajectories")
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        record = json_object(path, diagnostics)
        if record is not None:
            run, resolved = _verdict(path, diagnostics)
            attempts = list(_attempts(record))
            for number, attempt in enumerate(attempts):
                name = f"{path.stem}/{run}" + f"/{number}" * (len(attempts) > 1)
                place = f"{path}" + f" attempt {number}" * (len(attempts) > 1)
                # The verdict is on what was submitted in the end, which no attempt alone is.
                outcome = resolved if len(attempts) == 1 else None
                _add(
                    rows,
                    attempt,
                    diagnostics,
                    place,
                    instance=path.stem,
                    name=name,
                    resolved=outcome,
                    model=_model(record),
                )
            if len(attempts) > 1:
                diagnostics.notice("attempts of one run are not judged one by one", str(path))
        return Part(frame=rows.frame(), diagnostics=diagnostics)


def _model(record: Record) -> str | None:
    """The model, as the configuration says with which the run can be replayed."""
    found = decoded_json(record.get("replay_config"))
    for key in ("agent", "model", "name"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else None


def _attempts(record: Record) -> Iterator[Record]:
    attempts = record.get("attempts")
    if isinstance(attempts, list) and attempts:
        yield from (item for item in attempts if isinstance(item, dict))
    else:
        yield record


def _verdict(path: Path, diagnostics: Diagnostics) -> tuple[str, bool | None]:
    """The name of the run and whether it resolved its instance; None where nothing says so."""
    for folder in (path.parent, path.parent.parent):
        file = folder / _RESULTS
        if not file.is_file():
            continue
        results = json_object(file, diagnostics) or {}
        lists = {
            key.removesuffix("_ids"): value
            for key, value in results.items()
            if isinstance(value, list)
        }
        if "resolved" not in lists:
            diagnostics.problem("resolved_ids", "is missing or no list", str(file))
            return folder.name, None
        if path.stem in lists["resolved"]:
            return folder.name, True
        judged = [value for key, value in lists.items() if key in {"unresolved", "completed"}]
        known = any(path.stem in value for value in judged) if judged else True
        if not known:
            diagnostics.notice("the instance is not among those that were evaluated", str(path))
        return folder.name, False if known else None
    diagnostics.notice(f"no {_RESULTS} lies next to or above it: it has no reward", str(path))
    return path.parent.parent.name, None


def _add(
    rows: StepRows,
    attempt: Record,
    diagnostics: Diagnostics,
    place: str,
    *,
    instance: str,
    name: str,
    resolved: bool | None,
    model: str | None,
) -> None:
    steps = attempt.get("trajectory")
    if not isinstance(steps, list):
        diagnostics.problem("trajectory", "is missing or no list", place)
        return
    try:
        turns = _turns(attempt, steps)
    except ValueError as error:
        diagnostics.problem("trajectory", str(error), place)
        return
    if not turns:
        diagnostics.drop("trajectory", "is empty", place)
        return
    info = attempt.get("info")
    status = info.get("exit_status") if isinstance(info, dict) else None
    rows.add(
        turns,
        outcome=None if resolved is None else float(resolved),
        fields={
            "group_id": instance,
            "trajectory_id": name,
            "success": resolved,
            "model": model,
            SYSTEM: model,
        },
        last_fields={
            "finish_reason": status if isinstance(status, str) else None,
            "truncated": isinstance(status, str)
            and (any(limit in status for limit in _LIMITS) or bool(is_cut(status))),
        },
        step_fields={"source_line": range(1, len(turns) + 1)},
    )


def _turns(attempt: Record, steps: Sequence[Any]) -> list[Turn]:
    """The steps, with the conversation that each was asked in.

    Raises:
        ValueError: A step is malformed.
    """
    told = [_first_observation(attempt, steps), *(_text(s, "observation") for s in steps)]
    replies = [
        {"role": "assistant", "content": _text(step, "response") or _text(step, "action")}
        for step in steps
    ]
    queries = [step.get("query") or step.get("messages") for step in steps]
    if all(isinstance(query, list) and query for query in queries):
        prompts = [normalised(query).messages for query in queries]
    else:
        prompts = [_beginning(attempt) or [{"role": "user", "content": told[0]}]]
        for reply, after in zip(replies, told[1:-1], strict=False):
            prompts.append([*prompts[-1], reply, {"role": "user", "content": after}])
    increments, segments = increments_of_prompts(prompts, replies)
    return [
        replace(
            turn(new, segment=segment),
            observation=before,
            action=_text(step, "action"),
            next_observation=after,
        )
        for step, new, segment, before, after in zip(
            steps, increments, segments, told, told[1:], strict=False
        )
    ]


def _beginning(attempt: Record) -> list[Message]:
    """History of an attempt before the agent's first answer, demonstrations included."""
    history = attempt.get("history")
    messages = [message for message in history or [] if isinstance(message, dict)]
    acts = [
        at
        for at, message in enumerate(messages)
        if message.get("role") == "assistant" and not message.get("is_demo")
    ]
    return normalised(messages[: acts[0]] if acts else []).messages


def _text(step: Any, key: str) -> str:
    if not isinstance(step, dict):
        raise ValueError("holds a step that is no object")
    value = step.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"holds a step whose {key} is no text")
    return value or ""


def _first_observation(attempt: Record, steps: Sequence[Any]) -> str:
    """The last thing that the agent was told before its first command."""
    first = steps[0] if steps and isinstance(steps[0], dict) else {}
    prompt = first.get("query") or first.get("messages") or attempt.get("history") or []
    told = ""
    for message in prompt if isinstance(prompt, list) else []:
        if not isinstance(message, dict) or message.get("role") == "system":
            continue
        if message.get("role") == "assistant" and not message.get("is_demo"):
            break
        if message.get("role") != "assistant":
            told = content_text(message.get("content"))
    return told
