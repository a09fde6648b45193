"""Spans as files hold them: OTLP JSON lines, the SDK's own JSON, and what Phoenix exports.

- OTLP JSON (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding"; the collector's file
  exporter and opentelemetry-exporter-otlp-json-file write a request a line): `resourceSpans` >
  `scopeSpans` > `spans`, attributes as a list of {key, value {stringValue | intValue …}}. Log
  records (`resourceLogs`) name the span that they belong to.
- `ReadableSpan.to_json` of the SDK, and Phoenix's spans over its API: {name, context {trace_id,
  span_id}, parent_id, start_time, attributes {…}}.
- A data frame of Phoenix as JSON lines or Parquet: columns `context.trace_id`, `parent_id`,
  `attributes.llm.input_messages` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics
from workbench.readers.bounds import loaded
from workbench.readers.containers import Cells, records_of
from workbench.readers.jsonfiles import Record, objects

_NANOSECONDS = 1_000_000_000
_CELLS = Cells(
    objects=frozenset({
        "resourceSpans", "resourceLogs", "context", "attributes", "events", "resource",
        "attributes.llm.input_messages", "attributes.llm.output_messages", "attributes.llm.tools",
    })
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of a span, or a log record that belongs to one.

    Args:
        name: What happened.
        values: Its attributes, and the keys of its body.
    """

    name: str
    values: Mapping[str, Any]


@dataclass(kw_only=True)
class Span:
    """A span.

    Args:
        trace: Id of its trace.
        identity: Its own id.
        parent: That of the span above it; None at the top.
        name: What was done.
        start: Nanoseconds since 1970; 0 where that is not known.
        line: Where it stands.
        attributes: Dotted keys -> values; lists and objects are kept as they are.
        resource: Likewise, of what made it.
        events: What happened in it, in order.
    """

    trace: str
    identity: str
    parent: str | None
    name: str
    start: int
    line: int
    attributes: dict[str, Any]
    resource: Mapping[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


def spans_of(path: Path, diagnostics: Diagnostics) -> list[Span]:
    """The spans of a file, in its order, each with the log records that name it."""
    found: list[Span] = []
    logs: list[tuple[str, Event, str]] = []
    records = records_of(path, diagnostics, _CELLS)
    for line, record in records:
        place = records.place(line)
        if "resourceSpans" in record or "resourceLogs" in record:
            for resource in objects(record.get("resourceSpans")):
                found += _otlp_spans(resource, line, diagnostics, place)
            for resource in objects(record.get("resourceLogs")):
                logs += [(name, event, place) for name, event in _otlp_logs(resource)]
        elif "resourceMetrics" in record:
            diagnostics.notice("lines of metrics hold no span", place)
        elif (span := _flat_span(record, line)) is not None:
            found.append(span)
        else:
            rule = "is missing: neither a span nor a request of OTLP"
            diagnostics.problem("span", rule, place)
    first: dict[tuple[str, str], Span] = {}
    for span in found:
        if first.setdefault((span.trace, span.identity), span) is not span:
            text = "spans that were sent before, as by an exporter that tried again, are left out"
            diagnostics.notice(text, records.place(span.line))
    found = [*first.values()]
    by_id = {span.identity: span for span in found}
    for identity, event, place in logs:
        if identity in by_id:
            by_id[identity].events.append(event)
        else:
            diagnostics.notice("log records of no span of the file are left out", place)
    return found


def _otlp_spans(
    resource: Record, line: int, diagnostics: Diagnostics, place: str
) -> Iterator[Span]:
    """The spans of one resource of a request."""
    of_resource = _attributes(_object(resource.get("resource")).get("attributes"))
    for scope in objects(resource.get("scopeSpans")):
        for span in objects(scope.get("spans")):
            trace, identity = span.get("traceId"), span.get("spanId")
            if not isinstance(trace, str) or not isinstance(identity, str):
                diagnostics.problem("spanId", "is missing or no text, or traceId is", place)
                continue
            yield Span(
                trace=trace,
                identity=identity,
                parent=_text(span.get("parentSpanId")),
                name=_text(span.get("name")) or "",
                start=_whole(span.get("startTimeUnixNano")),
                line=line,
                attributes=_attributes(span.get("attributes")),
                resource=of_resource,
                events=[
                    Event(
                        name=_text(event.get("name")) or "",
                        values=_attributes(event.get("attributes")),
                    )
                    for event in objects(span.get("events"))
                ],
            )


def _otlp_logs(resource: Record) -> Iterator[tuple[str, Event]]:
    """The log records of one resource that belong to a span, with its id."""
    for scope in objects(resource.get("scopeLogs")):
        for record in objects(scope.get("logRecords")):
            values = _attributes(record.get("attributes"))
            name = _text(record.get("eventName")) or _text(values.get("event.name"))
            identity = _text(record.get("spanId"))
            if name and identity:
                body = _value(record.get("body"))
                yield identity, Event(name=name, values={**values, **_object(body)})


def _flat_span(record: Record, line: int) -> Span | None:
    """A span in the SDK's JSON or a row of a data frame; None where it is neither."""
    context = _object(record.get("context"))
    trace = record.get("context.trace_id", context.get("trace_id"))
    identity = record.get("context.span_id", context.get("span_id"))
    if not isinstance(trace, str) or not isinstance(identity, str):
        return None
    attributes = dict(_dotted(_object(record.get("attributes"))))
    attributes |= {
        key.removeprefix("attributes."): value
        for key, value in record.items()
        if key.startswith("attributes.") and value is not None
    }
    kind = record.get("span_kind")
    if isinstance(kind, str):
        attributes.setdefault("openinference.span.kind", kind)
    parent = _text(record.get("parent_id"))
    return Span(
        trace=_bare(trace),
        identity=_bare(identity),
        parent=None if parent is None else _bare(parent),
        name=_text(record.get("name")) or "",
        start=_moment(record.get("start_time")),
        line=line,
        attributes=attributes,
        resource=_object(_object(record.get("resource")).get("attributes")),
        events=[
            Event(name=_text(event.get("name")) or "", values=_object(event.get("attributes")))
            for event in objects(record.get("events"))
        ],
    )


def _dotted(nested: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Objects in objects as dotted keys, in which Phoenix keeps what it was sent."""
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _bare(identity: str) -> str:
    """An id without the mark that the SDK puts before hexadecimal digits."""
    return identity.removeprefix("0x")


def _attributes(given: Any) -> dict[str, Any]:
    """A list of keys and values as an object."""
    return {
        item["key"]: _value(item.get("value"))
        for item in objects(given)
        if isinstance(item.get("key"), str)
    }


def _value(given: Any) -> Any:
    """A value of OTLP as JSON has it."""
    if not isinstance(given, dict) or not given:
        return None
    kind, value = next(iter(given.items()))
    if kind == "arrayValue":
        return [_value(item) for item in objects(_object(value).get("values"))]
    if kind == "kvlistValue":
        return _attributes(_object(value).get("values"))
    return _whole(value) if kind == "intValue" else value


def _object(value: Any) -> dict[str, Any]:
    """An object, which a table may hold as JSON text; an empty one for anything else."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = loaded(value)
        except ValueError:
            return {}
    return dict(value) if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: Any) -> int:
    """A whole number, which JSON holds as text where it is large; 0 for anything else."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0


def _moment(value: Any) -> int:
    """A moment as nanoseconds since 1970; 0 for anything else."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return 0
    if isinstance(value, datetime):
        at = value if value.tzinfo else value.replace(tzinfo=UTC)
        since = at - datetime(1970, 1, 1, tzinfo=UTC)
        seconds = since.days * 86_400 + since.seconds
        return seconds * _NANOSECONDS + since.microseconds * 1_000
    return _whole(value) * 1_000_000 if isinstance(value, int | float) else 0  # of a data frame
