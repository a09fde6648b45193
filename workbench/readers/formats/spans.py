"""Spans of OpenTelemetry and OpenInference: calls of a model become conversations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.log.conversation import Message, content_text, increments_of_prompts, normalised
from workbench.readers.base import SYSTEM, Diagnostics, Part, reader
from workbench.readers.containers import first_keys
from workbench.readers.jsonfiles import leading_keys
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn, turn
from workbench.readers.records import digest, is_cut
from workbench.readers.rows import StepRows
from workbench.readers.span_files import Span, spans_of
from workbench.readers.span_messages import Call, call_of, kind_of
from workbench.readers.systems import system_of

_CONVERSATION = ("gen_ai.conversation.id", "session.id")
_AGENT = ("gen_ai.agent.name", "agent.name")
_SWITCH = (
    "instrumentations leave texts out until configured otherwise: "
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true (span_only, event_only); where they "
    "are log records of another file, put the lines of both into one"
)


@dataclass(frozen=True, kw_only=True)
class _Said:
    """A call of a model with its messages in the one form."""

    span: Span
    call: Call
    prompt: list[Message]
    reply: Message


@reader("spans", description="OpenTelemetry or OpenInference spans, JSONL or Parquet")
class Spans:
    """Steps are calls of a model, in the order in which they began.

    Trajectories are conversations (`gen_ai.conversation.id`, `session.id`), else traces. Each call
    repeats what was said before: what is new is told by the prefix, and a prompt that does not
    continue the one before begins a segment. A call inside a call, which two instrumentations tell
    of, is one. Groups are trajectories that begin with the same message of the user, of one
    service and one set of models, and are marked as reconstructed. Spans carry no reward.
    `source_line` is the line of the span.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Requests of OTLP, spans with their context, or a table of these."""
        found = [leading_keys(line) for line in head.splitlines()]
        return any(map(_is_of_spans, [first_keys(path, head), *found]))

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of all conversations; the format has fixed names: `columns` must be empty."""
        refuse_mapping(columns, "spans")
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        spans = spans_of(path, diagnostics)
        above = _Above(spans)
        conversations: dict[str, list[_Said]] = {}
        for said in _calls(spans, above, diagnostics, str(path)):
            name = above.told(said.span, _CONVERSATION) or said.span.trace
            conversations.setdefault(name, []).append(said)
        for name, calls in conversations.items():
            calls.sort(key=lambda said: (said.span.start, said.span.line))
            _add(rows, name, calls, above)
        if conversations:
            text = "trajectories that begin with the same message of the user are one group"
            diagnostics.notice(f"spans carry no reward: rewards are null; {text}", str(path))
        return Part(frame=rows.frame(), diagnostics=diagnostics)


def _is_of_spans(keys: frozenset[str]) -> bool:
    """True where a record with these keys is a span or holds some."""
    is_otlp = bool(keys & {"resourceSpans", "resourceLogs"})
    is_row = {"context.trace_id", "context.span_id"} <= keys
    return is_otlp or is_row or {"context", "attributes", "parent_id"} <= keys


class _Above:
    """The spans that stand above each."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._by_id = {(span.trace, span.identity): span for span in spans}

    def of(self, span: Span) -> list[Span]:
        """The spans above one, the nearest first."""
        found: list[Span] = []
        at = self._by_id.get((span.trace, span.parent or ""))
        while at is not None and at is not span and at not in found:
            found.append(at)
            at = self._by_id.get((at.trace, at.parent or ""))
        return found

    def told(self, span: Span, keys: Sequence[str]) -> str | None:
        """The first text that a span or one above it has under one of some keys."""
        for each in (span, *self.of(span)):
            for key in keys:
                value = each.attributes.get(key)
                if isinstance(value, str) and value:
                    return value
        return None


def _calls(
    spans: Sequence[Span], above: _Above, diagnostics: Diagnostics, path: str
) -> Iterator[_Said]:
    """Calls of a model that hold texts; all others are counted."""
    others: Counter[str] = Counter()
    for span in spans:
        kind = kind_of(span)
        place = f"{path}:{span.line}"
        if kind != "call":
            others[kind] += 1
        elif any(kind_of(each) == "call" for each in above.of(span)):
            diagnostics.notice("calls inside a call repeat that call", place)
        else:
            yield from _said(span, diagnostics, place)
    if spans and others.total() == len(spans):
        rule = f"none is a call of a model; their kinds are {sorted(others)}"
        diagnostics.drop("spans", rule, path)
    for kind, count in sorted(others.items()):
        text = f"spans of the kind {kind} are no calls of a model and are left out"
        diagnostics.notice(text, path, count=count)


def _said(span: Span, diagnostics: Diagnostics, place: str) -> Iterator[_Said]:
    """A call with its messages, unless it holds none."""
    try:
        call = call_of(span)
        prompt = normalised(call.prompt)
        replies = [
            normalised([{**reply, "role": "assistant"}]).messages[-1] for reply in call.replies[:1]
        ]
    except (ValueError, RecursionError) as error:
        diagnostics.problem("messages", str(error), place)
        return
    has_texts = any(_holds(message) for message in prompt.messages)
    if not has_texts or not any(_holds(reply) for reply in replies):
        rule = "a call holds no prompt or no answer: it failed, or its texts were not captured"
        diagnostics.drop("messages", rule, place, _SWITCH)
        return
    if len(call.replies) > 1:
        diagnostics.notice("of several answers of a call the first is read", place)
    for change, count in prompt.changes.items():
        diagnostics.notice(f"conversation: {change}", count=count)
    yield _Said(span=span, call=call, prompt=prompt.messages, reply=replies[0])


def _holds(message: Message) -> bool:
    """True where a message says anything."""
    return any(message.get(key) for key in ("content", "tool_calls", "reasoning_content"))


def _add(rows: StepRows, name: str, calls: Sequence[_Said], above: _Above) -> None:
    models = "+".join(sorted({said.call.model for said in calls if said.call.model}))
    told = (said.span.resource.get("service.name") for said in calls)
    service = "+".join(sorted({name for name in told if isinstance(name, str)}))
    agents = {above.told(said.span, _AGENT) for said in calls}
    asked = [message for message in calls[0].prompt if message["role"] == "user"]
    task = content_text(asked[0].get("content") if asked else None)
    last = calls[-1].call.finish_reason
    rows.add(
        _turns(calls),
        fields={
            "group_id": f"task-{digest(task)}",
            "trajectory_id": name,
            "agent_id": agents.pop() if len(agents) == 1 else None,
            "model": models or None,
            "reconstructed": "groups",
            SYSTEM: system_of(service, models),
        },
        last_fields={"finish_reason": last, "truncated": bool(is_cut(last))},
        step_fields={
            "source_line": [said.span.line for said in calls],
            "response_tokens": [said.call.tokens for said in calls],
        },
    )


def _turns(calls: Sequence[_Said]) -> list[Turn]:
    """The steps, each with what is new at it."""
    replies = [said.reply for said in calls]
    increments, segments = increments_of_prompts([said.prompt for said in calls], replies)
    # A later prompt seldom shows what was thought; the answer is as the model gave it.
    new = [[*told[:-1], reply] for told, reply in zip(increments, replies, strict=True)]
    after = [*(told[:-1] for told in new[1:]), None]
    steps = [
        turn(told, answer, segment)
        for told, answer, segment in zip(new, after, segments, strict=True)
    ]
    for at, said in enumerate(calls):
        if said.call.tools and (at == 0 or segments[at] != segments[at - 1]):
            tools = json.dumps(said.call.tools, ensure_ascii=False, default=str)
            steps[at] = replace(steps[at], tools=tools)
    return steps
