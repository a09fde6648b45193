"""NeMo Gym rollouts: one rollout per line, in the items of the Responses API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from workbench.readers.base import SYSTEM, Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys
from workbench.readers.jsonfiles import Record, lookup
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import turns
from workbench.readers.records import (
    digest,
    is_cut,
    kept_fields,
    notice_untold_images,
    parts_of_records,
)
from workbench.readers.responses import answer_of, begins_call, empty_reply, is_answer, join_item
from workbench.readers.rows import (
    Converter,
    StepRows,
    checked_values,
    identity,
    named,
    number,
    numbers,
    ones,
    token_ids,
)
from workbench.readers.systems import system_of
from workbench.readers.tokens import same_lengths
from workbench.readers.votes import nested_mask

_TOKENS: dict[str, Converter] = {
    "prompt_token_ids": token_ids,
    "generation_token_ids": token_ids,
    "generation_log_probs": numbers,
}
_CELLS = Cells(objects=frozenset({"responses_create_params", "response", "agent_ref"}))
_NUMBERED = frozenset({"_ng_task_index", "_ng_rollout_index", "reward"})


@reader("nemo-gym", description="NeMo Gym rollouts JSONL")
class NemoGym:
    """Groups are tasks, trajectories rollouts, a step what one call of the model gave.

    Where rollouts have no `_ng_task_index`, those with the same input are one group.

    A call's items (reasoning, message, function calls) are adjacent in `response.output`; the
    call ends with the item that carries token ids, or where something else follows. The items of
    `responses_create_params.input` are the prompt: what the assistant says there is history, not
    a step. The reward is the outcome, on the last step. Failed attempts, which lie in a file of
    their own, are left out and stated. Rollouts that `mask_sample` masks, here or in an object of
    the record, are in the log, but neither count nor train. Rollouts of several agents or models
    are groups of their own.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Lines with the keys that NeMo Gym numbers its rollouts by, or its request."""
        return bool({"responses_create_params", "_ng_task_index"} & first_keys(path, head))

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The steps of all rollouts; `columns` may name the key that tells the tasks apart."""
        refuse_mapping(columns, "NeMo Gym rollouts", but="group_id")
        add = partial(_add, told=columns.get("group_id"))
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
    if record.get("_ng_failure_class") is not None:
        rule = f"is a failed attempt ({record['_ng_failure_class']})"
        diagnostics.drop("rollout", rule, place)
        return
    converters = {"_ng_task_index": identity, "_ng_rollout_index": identity, "reward": number}
    values = checked_values(record, converters, diagnostics, place, optional=_NUMBERED)
    request, response = record.get("responses_create_params"), record.get("response")
    if values is None:
        return
    if not isinstance(request, dict) or not isinstance(response, dict):
        rule = "the record has no responses_create_params or no response"
        diagnostics.problem("response", rule, place)
        return
    try:
        history, _ = _messages(_items(request.get("input"), "input"))
        written, tokens = _messages(_items(response.get("output"), "output"))
        first = len(history)
        own = range(first, first + len(written))
        steps = turns([*history, *written], own, request.get("tools"))
        columns = _step_columns(tokens)
    except ValueError as error:
        diagnostics.problem("response", str(error), place)
        return
    if not steps:
        diagnostics.drop("response", "holds nothing that the model wrote, so no step", place)
        return
    if any(message["role"] == "assistant" for message in history):
        text = "what the assistant says in responses_create_params is history, not a step"
        diagnostics.notice(text, place)
    agent, model = record.get("agent_ref"), response.get("model")
    name = agent.get("name") if isinstance(agent, dict) else None
    try:
        group, is_known = _task(record, values["_ng_task_index"], request, told)
    except ValueError as error:
        diagnostics.problem("group_id", f"{told!r} {error}", place)
        return
    if not is_known:
        text = "rollouts have no _ng_task_index: those with the same input are one group"
        diagnostics.notice(f"{text}; another key can be named with --map, as group_id", place)
        notice_untold_images(request.get("input"), diagnostics, place)
    rollout = values["_ng_rollout_index"]
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    rows.add(
        steps,
        line=line,
        outcome=values["reward"],
        fields={
            "group_id": group,
            "trajectory_id": None if rollout is None else f"{group}/{rollout}",
            "model": model if isinstance(model, str) and model else None,
            "agent": name if isinstance(name, str) else None,
            "reconstructed": None if is_known else "groups",
            SYSTEM: system_of(name, model),
            "mask_reason": nested_mask(record),
        }
        | kept_fields(record, _NUMBERED | {told or ""}),
        last_fields={"finish_reason": reason, "truncated": bool(is_cut(reason))},
        step_fields=columns,
    )


def _task(record: Record, index: str | None, request: Record, told: str | None) -> tuple[str, bool]:
    """The name of a rollout's group, and whether the record says it.

    Raises:
        ValueError: The key that the user named has no value that is an id.
    """
    if told is not None:
        named = identity(lookup(record, told))
        if named is None:
            raise ValueError("has no value in the record")
        return named, True
    if index is not None:
        return f"task-{index}", True
    return f"task-{digest(request.get('input'))}", False


def _items(value: Any, name: str) -> Sequence[Record]:
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"{name} is no list of items")
    return value


def _messages(items: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Items as chat messages, those of one model call joined; and each call's token fields."""
    messages: list[Record] = []
    tokens: list[Record] = []
    is_open = False
    for item in items:
        kind, role = item.get("type") or "message", item.get("role")
        if not isinstance(kind, str):
            raise ValueError("holds an item whose type is no text")
        if is_answer(kind):
            messages.append(answer_of(item))
            is_open = False
        elif kind == "message" and role != "assistant":
            messages.append({"role": role, "content": item.get("content")})
            is_open = False
        else:
            if begins_call(item, messages[-1] if is_open else None):
                messages.append(empty_reply())
                tokens.append({})
            join_item(messages[-1], item, frozenset(_TOKENS))
            tokens[-1] |= {key: item[key] for key in _TOKENS if item.get(key) is not None}
            is_open = not tokens[-1]
    return messages, tokens


def _step_columns(tokens: Sequence[Record]) -> dict[str, list[Any]]:
    values = [
        {key: named(f"{key} of call {at}", how, call.get(key)) for key, how in _TOKENS.items()}
        for at, call in enumerate(tokens)
    ]
    for at, value in enumerate(values):
        key, ids = "generation_log_probs", value["generation_token_ids"]
        if ids is not None:
            same_lengths({f"{key} of call {at}": value[key]}, len(ids), "generated tokens")
    ids = [value["generation_token_ids"] for value in values]
    return {
        "prompt_ids": [value["prompt_token_ids"] for value in values],
        "response_ids": ids,
        "response_mask": [ones(call) for call in ids],
        "response_logprobs": [value["generation_log_probs"] for value in values],
        "response_tokens": [None if call is None else len(call) for call in ids],
    }
