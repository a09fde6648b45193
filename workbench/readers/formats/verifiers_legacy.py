"""verifiers before v1: `results.jsonl` of `vf-eval`, one rollout per line, and `metadata.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.bounds import loaded
from workbench.readers.containers import Cells, first_keys
from workbench.readers.formats.verifiers import SAMPLE
from workbench.readers.jsonfiles import Record, json_object
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn, joined, turns
from workbench.readers.records import digest, notice_untold_images, parts_of_records
from workbench.readers.rows import (
    StepRows,
    checked_values,
    identity,
    named,
    number,
    numbers,
    token_ids,
    truth,
)
from workbench.readers.systems import folder_of
from workbench.readers.tokens import StepTokens, mask, same_lengths, token_columns

_TIMES = frozenset({"generation_ms", "scoring_ms", "total_ms"})
_CONVERTERS = {
    "reward": number,
    "example_id": identity,
    "is_completed": truth,
    "is_truncated": truth,
}
_KNOWN = frozenset(_CONVERTERS) | _TIMES | {
    "id", "prompt", "completion", "task", "info", "answer", "error", "timing", "stop_condition",
    "metrics", "tool_defs", "token_usage", "trajectory", "oai_tools",
}  # fmt: skip
_TALKS = frozenset({"prompt", "completion"})
_CELLS = Cells(
    objects=_TALKS
    | {"info", "error", "timing", "metrics", "tool_defs", "token_usage", "trajectory", "oai_tools"},
    texts=_TALKS,
)


@dataclass(frozen=True, kw_only=True)
class _Rollout:
    """Steps of a rollout with the columns that have a value for each."""

    turns: list[Turn]
    columns: Mapping[str, list[Any]]


@reader(
    "verifiers-legacy",
    description="verifiers before v1: results.jsonl of vf-eval",
    companions=("metadata.json",),
    run=folder_of,
)
class VerifiersLegacy:
    """Steps are the assistant messages of the completion; the reward is the outcome.

    Up to 0.1.5 the key `id` counts rows and names no example, so a group is the rollouts with the
    same prompt; later ones have `example_id`. Rollouts with an `error` are excluded. Where the
    state column `trajectory` was saved, its items are the steps, with tokens and advantages.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """A prompt, a completion and a reward, with the timing that `vf-eval` writes."""
        keys = first_keys(path, head)
        if keys >= SAMPLE:
            return False
        timed = "timing" in keys or keys >= _TIMES
        return keys >= {"prompt", "completion", "reward"} and timed

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The steps of all rollouts; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "results of vf-eval")
        diagnostics = Diagnostics()
        add = partial(_add, run=_run(path, diagnostics))
        yield Part(frame=StepRows(diagnostics).frame(), diagnostics=diagnostics)
        yield from parts_of_records(path, add, cells=_CELLS, numbered=True)


def _run(path: Path, diagnostics: Diagnostics) -> dict[str, str | None]:
    """Environment and model, as the file next to the results says."""
    beside = path.with_name(path.name.replace("results.jsonl", "metadata.json"))
    said = json_object(beside, diagnostics) if beside != path and beside.is_file() else None
    said = said or {}
    names = {"env": said.get("env_id") or said.get("env"), "model": said.get("model")}
    return {key: name if isinstance(name, str) else None for key, name in names.items()}


def _add(
    rows: StepRows,
    record: Record,
    line: int,
    diagnostics: Diagnostics,
    place: str,
    *,
    run: Mapping[str, str | None],
) -> None:
    values = checked_values(record, _CONVERTERS, diagnostics, place, optional=_CONVERTERS)
    if values is None:
        return
    failure = record.get("error")
    if failure and not record.get("completion"):
        diagnostics.drop(
            "completion", f"the rollout failed before a step ({_said(failure)})", place
        )
        return
    try:
        rollout = _rollout(record, diagnostics, place)
    except ValueError as error:
        diagnostics.problem("completion", str(error), place)
        return
    if not rollout.turns:
        diagnostics.drop("completion", "holds no assistant message, so no step", place)
        return
    example = values["example_id"]
    task = digest(_messages(record["prompt"], "user")) if example is None else f"example-{example}"
    if example is None:
        notice_untold_images(record["prompt"], diagnostics, place)
    of_run = "--".join(filter(None, run.values()))
    stop = record.get("stop_condition")
    measures = record.get("metrics") or {
        key: value
        for key, value in record.items()
        if key not in _KNOWN and isinstance(value, int | float)
    }
    rows.add(
        rollout.turns,
        line=line,
        outcome=values["reward"],
        fields={
            "group_id": f"{of_run}/{task}" if of_run else task,
            "trajectory_id": None,
            "model": run["model"],
            "env": run["env"],
            "excluded": f"the rollout failed ({_said(failure)})" if failure else None,
            "metrics": measures or None,
        },
        last_fields={
            "done": values["is_completed"],
            "truncated": values["is_truncated"],
            "finish_reason": stop if isinstance(stop, str) else None,
        },
        step_fields=rollout.columns,
    )


def _said(error: Any) -> str:
    """An error in a few words: its class where it has one."""
    if isinstance(error, dict):
        error = error.get("error") or error.get("type") or "error"
    return str(error).partition("(")[0].partition("\n")[0][:80]


def _rollout(record: Record, diagnostics: Diagnostics, place: str) -> _Rollout:
    """The steps of a record.

    Raises:
        ValueError: Its messages or tokens are malformed.
    """
    prompt = _messages(record.get("prompt"), "user")
    completion = _messages(record.get("completion"), "assistant")
    tools = record.get("tool_defs")
    own = range(len(prompt), len(prompt) + len(completion))
    said = turns([*prompt, *completion], own, tools)
    logged = record.get("trajectory")
    if not isinstance(logged, list) or not logged:
        return _Rollout(turns=said, columns=token_columns([StepTokens()] * len(said)))
    if not all(isinstance(item, dict) for item in logged):
        raise ValueError("trajectory holds an item that is no object")
    if len(logged) != len(said):
        diagnostics.notice(
            "steps are the items of `trajectory`, which the completion has not all", place
        )
    made = []
    for item in logged:
        before = _messages(item.get("prompt"), "user")
        after = _messages(item.get("completion"), "assistant")
        steps = turns([*before, *after], range(len(before), len(before) + len(after)))
        if len(steps) != 1:
            raise ValueError(
                f"an item of trajectory holds {len(steps)} assistant messages, not one"
            )
        made.append(steps)
    chained = joined(made)
    chained = [replace(chained[0], tools=said[0].tools if said else None), *chained[1:]]
    return _Rollout(turns=chained, columns=token_columns([_tokens(item) for item in logged]))


def _tokens(item: Record) -> StepTokens:
    given = item.get("tokens")
    if not isinstance(given, dict) or given.get("completion_ids") is None:
        return StepTokens()
    response = named("completion_ids", token_ids, given["completion_ids"]) or []
    sampled = named("completion_mask", mask, given.get("completion_mask"))
    sampled = [1] * len(response) if sampled is None else sampled
    logprobs = named("completion_logprobs", numbers, given.get("completion_logprobs")) or None
    lists = {"completion_mask": sampled, "completion_logprobs": logprobs}
    same_lengths(lists, len(response), "completion tokens")
    advantage = number(item.get("advantage"))
    return StepTokens(
        prompt=named("prompt_ids", token_ids, given.get("prompt_ids")),
        response=response,
        mask=sampled,
        logprobs=logprobs,
        advantages=None if advantage is None else [advantage * on for on in sampled],
    )


def _messages(given: Any, role: str) -> list[Record]:
    """Messages, or text as one message; tool calls that are JSON text become objects.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(given, str):
        return [{"role": role, "content": given}]
    if not isinstance(given, list) or not all(isinstance(message, dict) for message in given):
        raise ValueError("is neither text nor a list of messages")
    return [
        message | {"tool_calls": [_call(call) for call in message["tool_calls"]]}
        if isinstance(message.get("tool_calls"), list)
        else message
        for message in given
    ]


def _call(call: Any) -> Any:
    if not isinstance(call, str):
        return call
    try:
        return loaded(call)
    except ValueError:
        raise ValueError("holds a tool call that is no JSON") from None
