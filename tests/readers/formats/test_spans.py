"""Spans of OpenTelemetry and OpenInference as conversations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import write_lines
from samples_of import SAMPLES, assert_nine_steps_of_sessions

from workbench.errors import LogError
from workbench.readers import import_log, read

ASK: Mapping[str, Any] = {"role": "user", "content": "Find the key."}
LOOK: Mapping[str, Any] = {"role": "assistant", "content": "I look."}


def span(
    name: str, attributes: Mapping[str, Any], *, parent: str | None = None, at: int = 0, **more: Any
) -> dict[str, Any]:
    """A span of one trace in the SDK's JSON."""
    return {
        "name": "call",
        "context": {"trace_id": "0xaa", "span_id": f"0x{name}"},
        "parent_id": None if parent is None else f"0x{parent}",
        "start_time": f"2026-03-01T10:00:{at:02d}Z",
        "attributes": dict(attributes),
        **more,
    }


def chat(
    name: str, prompt: Sequence[Mapping[str, Any]], *replies: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    """A span of a call in OpenTelemetry's convention, its messages as structured values."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "demo",
        "gen_ai.input.messages": list(prompt),
        "gen_ai.output.messages": list(replies),
        **more.pop("attributes", {}),
    }
    return span(name, attributes, **more)


def said(role: str, *parts: Mapping[str, Any]) -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def frame_of(folder: Path, *records: Any) -> pl.DataFrame:
    return read([write_lines(folder / "spans.jsonl", records)]).frame


@pytest.mark.parametrize(
    "name", ["attributes.jsonl", "log_records.jsonl", "openinference.jsonl", "phoenix.parquet"]
)
def test_each_convention_gives_the_nine_steps(name: str):
    imported = import_log([SAMPLES / "spans" / name])
    assert_nine_steps_of_sessions(imported, "spans")
    assert set(imported.validated.log["segment"]) == {0}


def test_what_is_said_beside_the_texts_is_kept():
    log = import_log([SAMPLES / "spans/attributes.jsonl"]).validated.log
    first = json.loads(log["messages"][0])
    assert [message["role"] for message in first] == ["system", "user", "assistant"]
    assert first[-1]["reasoning_content"] == "hm"
    assert json.loads(log["tools"][0])[0]["name"] == "act"
    assert log["tools"][1] is None
    assert (set(log["agent_id"]), set(log["model"])) == ({"finder"}, {"demo-1"})
    assert log["response_tokens"].to_list() == [3] * 9
    assert log["trajectory_id"].unique().sort().to_list() == [f"conversation-{n}" for n in range(4)]


def test_calls_are_in_the_order_in_which_they_began(tmp_path: Path):
    later = [ASK, LOOK, {"role": "user", "content": "And?"}]
    done = {"role": "assistant", "content": "Done."}
    frame = frame_of(tmp_path, chat("b", later, done, at=5), chat("a", [ASK], LOOK, at=1))
    assert frame["action"].to_list() == ["I look.", "Done."]
    assert frame["observation"].to_list() == ["Find the key.", "And?"]
    assert frame["next_observation"].to_list() == ["And?", None]
    assert frame["source_line"].to_list() == [2, 1]


def test_the_console_of_the_sdk_prints_spans_over_several_lines(tmp_path: Path):
    path = tmp_path / "console.txt"
    later = [ASK, LOOK, {"role": "user", "content": "And?"}]
    spans = [chat("a", [ASK], LOOK, at=1), chat("b", later, LOOK, at=2)]
    path.write_text("".join(json.dumps(each, indent=4) + "\n" for each in spans))
    frame = read([path]).frame
    assert frame["observation"].to_list() == ["Find the key.", "And?"]
    # The second begins behind the closing brace of the first.
    assert frame["source_line"].to_list() == [1, json.dumps(spans[0], indent=4).count("\n") + 2]


def test_a_prompt_that_does_not_go_on_begins_a_segment(tmp_path: Path):
    other = [{"role": "user", "content": "Sum up."}]
    frame = frame_of(tmp_path, chat("a", [ASK], LOOK, at=1), chat("b", other, LOOK, at=2))
    assert frame["segment"].to_list() == [0, 1]
    assert frame["trajectory_id"].to_list() == ["aa", "aa"]


def test_a_call_that_two_instrumentations_tell_of_is_one(tmp_path: Path):
    inner = {
        "openinference.span.kind": "LLM",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "Find the key.",
        "llm.output_messages.0.message.content": "I look.",
    }
    path = write_lines(
        tmp_path / "s.jsonl",
        [chat("a", [ASK], LOOK), span("m", {}, parent="a"), span("b", inner, parent="m")],
    )
    raw = read([path])
    assert raw.frame.height == 1
    assert any("calls inside a call repeat that call" in notice for notice in raw.notices)


def test_parts_of_every_type_are_understood(tmp_path: Path):
    prompt = [
        said("system", text("You find keys.")),
        said(
            "user",
            text("What is this?"),
            {
                "type": "blob",
                "modality": "image",
                "mime_type": "image/png",
                "content": "iVBORw0KGgo=",
            },
            {"type": "uri", "modality": "audio", "uri": "https://example.org/a.wav"},
            {"type": "odd", "value": 1},
        ),
    ]
    reply = said(
        "assistant",
        {"type": "reasoning", "content": "hm"},
        text("A key."),
        {"type": "server_tool_call", "id": "s", "name": "search", "server_tool_call": {"q": "key"}},
        {"type": "tool_call", "id": "c", "name": "act", "arguments": {"command": "take"}},
    )
    answer = said("tool", {"type": "tool_call_response", "id": "c", "response": {"ok": True}})
    frame = frame_of(
        tmp_path,
        chat("a", prompt, reply, at=1),
        chat("b", [*prompt, reply, answer], LOOK, at=2),
    )
    first, second = (json.loads(messages) for messages in frame["messages"])
    assert frame["segment"].to_list() == [0, 0]
    assert frame["observation"][0].splitlines() == [
        "What is this?",
        # The digest of the bytes 89 50 4e 47 0d 0a 1a 0a, as in every other reader.
        "[image sha256:4c4b6a3be1314ab8]",
        frame["observation"][0].splitlines()[2],
        frame["observation"][0].splitlines()[3],
    ]
    assert frame["observation"][0].splitlines()[2].startswith("[audio sha256:")
    assert frame["observation"][0].splitlines()[3].startswith("[odd sha256:")
    assert first[-1]["reasoning_content"] == "hm"
    assert [call["function"]["name"] for call in first[-1]["tool_calls"]] == ["search", "act"]
    assert second[0] == {"role": "tool", "content": '{"ok": true}', "tool_call_id": "c"}


def test_contents_of_openinference_are_parts(tmp_path: Path):
    before = "llm.input_messages.0.message."
    attributes = {
        "openinference.span.kind": "LLM",
        f"{before}role": "user",
        f"{before}contents.0.message_content.type": "text",
        f"{before}contents.0.message_content.text": "What?",
        f"{before}contents.1.message_content.type": "image",
        f"{before}contents.1.message_content.image.image.url": "data:image/png;base64,iVBORw0KGgo=",
        "llm.output_messages.0.message.content": "A key.",
        "llm.output_messages.0.message.function_call_name": "act",
        "llm.output_messages.0.message.function_call_arguments_json": "{}",
    }
    frame = frame_of(tmp_path, span("a", attributes))
    assert frame["observation"].to_list() == ["What?\n[image sha256:4c4b6a3be1314ab8]"]
    assert frame["action"].to_list() == ['A key.\n{"arguments": {}, "name": "act"}']


def test_nested_attributes_are_those_with_dots(tmp_path: Path):
    nested = {
        "openinference": {"span": {"kind": "LLM"}},
        "llm": {
            "model_name": "demo",
            "input_messages": [{"message": {"role": "user", "content": "Find the key."}}],
            "output_messages": [{"message": {"role": "assistant", "content": "I look."}}],
        },
    }
    frame = frame_of(tmp_path, span("a", nested))
    assert frame["action"].to_list() == ["I look."]
    assert frame["model"].to_list() == ["demo"]


def test_openllmetry_numbers_prompts_and_completions(tmp_path: Path):
    attributes = {
        "gen_ai.request.model": "demo",
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": '[{"type": "text", "text": "Find the key."}]',
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.finish_reason": "length",
        "gen_ai.completion.0.tool_calls.0.id": "c",
        "gen_ai.completion.0.tool_calls.0.name": "act",
        "gen_ai.completion.0.tool_calls.0.arguments": '{"command": "look"}',
        "llm.request.functions.0.name": "act",
        "llm.request.functions.0.parameters": '{"type": "object"}',
    }
    frame = frame_of(tmp_path, span("a", attributes))
    assert frame["observation"].to_list() == ["Find the key."]
    assert frame["action"].to_list() == ['{"arguments": {"command": "look"}, "name": "act"}']
    assert (frame["finish_reason"][0], frame["truncated"][0]) == ("length", True)
    assert json.loads(frame["tools"][0])[0]["function"]["parameters"] == {"type": "object"}


def test_messages_may_be_events_of_the_span_or_the_details_of_one(tmp_path: Path):
    events = [
        {"name": "gen_ai.user.message", "attributes": {"content": "Find the key."}},
        {"name": "gen_ai.choice", "attributes": {"index": 0, "message": '{"content": "I look."}'}},
    ]
    details = {
        "name": "gen_ai.client.inference.operation.details",
        "attributes": {
            "gen_ai.input.messages": json.dumps([said("user", text("Find the key."))]),
            "gen_ai.output.messages": json.dumps([said("assistant", text("I look."))]),
        },
    }
    for told in (events, [details]):
        frame = frame_of(tmp_path, span("a", {"gen_ai.operation.name": "chat"}, events=told))
        assert frame.select("observation", "action").rows() == [("Find the key.", "I look.")]


def test_messages_may_be_texts(tmp_path: Path):
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.system_instructions": "You find keys.",
        "gen_ai.input.messages": "Find the key.",
        "gen_ai.output.messages": '[{"role": "assistant", "content": "I look."}]',
    }
    frame = frame_of(tmp_path, span("a", told))
    assert [message["content"] for message in json.loads(frame["messages"][0])] == [
        "You find keys.", "Find the key.", "I look.",
    ]  # fmt: skip


def test_prompts_and_completions_were_json_once(tmp_path: Path):
    prompt = json.dumps([said("user", text("Find the key."))])
    answer = json.dumps({"text": "I look.", "finish_reason": "stop"})
    events = [
        {"name": "gen_ai.content.prompt", "attributes": {"gen_ai.prompt": prompt}},
        {"name": "gen_ai.content.completion", "attributes": {"gen_ai.completion": answer}},
    ]
    kind = {"gen_ai.operation.name": "chat"}
    for record in (
        span("a", kind | {"gen_ai.prompt": prompt, "gen_ai.completion": answer}),
        span("a", kind, events=events),
    ):
        frame = frame_of(tmp_path, record)
        assert frame.select("observation", "action", "finish_reason").rows() == [
            ("Find the key.", "I look.", "stop")
        ]


def test_services_and_models_do_not_share_a_group(tmp_path: Path):
    one, two = chat("a", [ASK], LOOK), chat("b", [ASK], LOOK)
    two["context"]["trace_id"] = "0xbb"
    two["attributes"]["gen_ai.request.model"] = "other"
    assert frame_of(tmp_path, one, two)["group_id"].n_unique() == 2
    two["attributes"]["gen_ai.request.model"] = "demo"
    assert frame_of(tmp_path, one, two)["group_id"].n_unique() == 1


def test_calls_without_texts_are_counted_and_the_switch_is_named(tmp_path: Path):
    bare = span("a", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "demo"})
    path = write_lines(tmp_path / "s.jsonl", [bare])
    with pytest.raises(LogError, match=r"CAPTURE_MESSAGE_CONTENT=true"):
        read([path])
    raw = read([write_lines(path, [bare, chat("b", [ASK], LOOK)])])
    assert raw.frame.height == 1
    assert [problem.count for problem in raw.dropped] == [1]


def test_what_is_no_call_and_what_is_more_than_one_answer_is_counted(tmp_path: Path):
    other = {"role": "assistant", "content": "I wait."}
    path = write_lines(
        tmp_path / "s.jsonl",
        [
            chat("a", [ASK], LOOK, other),
            span("b", {"gen_ai.operation.name": "embeddings"}),
            {"resourceMetrics": []},
            {
                "resourceLogs": [
                    {
                        "scopeLogs": [
                            {"logRecords": [{"spanId": "zz", "eventName": "gen_ai.choice"}]}
                        ]
                    }
                ]
            },
        ],
    )
    notices = " ".join(read([path]).notices)
    for words in (
        "of several answers of a call the first is read",
        "spans of the kind embeddings are no calls of a model",
        "lines of metrics hold no span",
        "log records of no span of the file are left out",
    ):
        assert words in notices


def test_what_is_no_span_and_what_is_no_message_is_refused_with_its_line(tmp_path: Path):
    no_message: Any = ["x"]
    spans = [chat("a", [ASK], LOOK), {"name": "b"}, chat("c", [no_message], LOOK)]
    path = write_lines(tmp_path / "s.jsonl", spans)
    with pytest.raises(LogError, match=r"neither a span nor a request of OTLP, at .*s\.jsonl:2"):
        read([path])
    with pytest.raises(LogError, match=r"holds a message without a role, at .*s\.jsonl:3"):
        read([path])


def test_spans_without_a_call_of_a_model_say_what_they_are_of(tmp_path: Path):
    path = write_lines(
        tmp_path / "s.jsonl",
        [span("a", {"http.method": "GET"}), span("b", {"openinference.span.kind": "TOOL"})],
    )
    with pytest.raises(
        LogError, match=r"none is a call of a model; their kinds are \['TOOL', 'other'\]"
    ):
        read([path])


def test_spans_above_one_another_in_a_circle_end(tmp_path: Path):
    one = chat("a", [ASK], LOOK, parent="b")
    assert frame_of(tmp_path, one, span("b", {}, parent="c"), span("c", {}, parent="b")).height == 1


def test_messages_that_are_cut_off_are_no_text(tmp_path: Path):
    cut = chat("a", [ASK], attributes={"gen_ai.output.messages": '[{"role": "assist'})
    with pytest.raises(LogError, match=r"gen_ai.output.messages is no JSON: it begins as"):
        frame_of(tmp_path, cut)


def test_a_span_that_was_sent_twice_is_one_step_and_counted(tmp_path: Path):
    path = write_lines(tmp_path / "spans.jsonl", [chat("a", [ASK], LOOK)] * 3)
    raw = read([path])
    assert raw.frame["action"].to_list() == ["I look."]
    (note,) = (note for note in raw.notices if "spans that were sent before" in note)
    assert note.endswith(f"at {path}:2, {path}:3")


def test_an_operation_and_a_service_that_are_no_texts_are_none(tmp_path: Path):
    named = {"attributes": {"service.name": {"a": 1}}}
    odd = chat("a", [ASK], LOOK, attributes={"gen_ai.operation.name": {"a": 1}}, resource=named)
    assert frame_of(tmp_path, odd)["action"].to_list() == ["I look."]
