"""A server on this machine that answers like three providers, and keeps what it was asked.

It speaks chat completions and responses as OpenAI does, and messages as Anthropic does, all as
streams. A question to look it answers with a text and two calls of the shell, all else with a text.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMANDS = ("echo drawer", "echo shelf; exit 3")
QUESTION = re.compile("look (around|again)")
SHELLS = {"bash": "command", "Bash": "command", "exec_command": "cmd"}
"""Name of a program's shell -> the argument that is the command."""

Event = tuple[str, dict[str, Any]]


class Asked(ThreadingHTTPServer):
    """The server; `requests` is what it was asked, oldest first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.requests: list[dict[str, Any]] = []


@contextmanager
def answering() -> Iterator[Asked]:
    """The server while it runs."""
    with Asked() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Answering(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Asked

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kinds = {"completions": completion, "responses": response, "messages": message}
        kind = kinds.get(self.path.partition("?")[0].rsplit("/", 1)[-1])
        if kind is None:
            self.send_response(404)
            self.end_headers()
            return
        self.server.requests.append(request)
        number = len(self.server.requests)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for name, event in kind(request, number, *answer(request, number)):
            head = f"event: {name}\n" if name else ""
            self.wfile.write(f"{head}data: {json.dumps(event)}\n\n".encode())

    def log_message(self, format: str, *values: Any) -> None:
        """Says nothing."""


def answer(request: dict[str, Any], number: int) -> tuple[str, list[dict[str, str]]]:
    """The text of an answer, and its calls: id, name, arguments as JSON."""
    said = request.get("input") or request.get("messages") or []
    acts = [at for at, item in enumerate(said) if item.get("role") == "assistant"]
    asked = json.dumps(said[acts[-1] + 1 if acts else 0 :])
    offered = request.get("tools") or []
    tools = [tool.get("name") or tool.get("function", {}).get("name") for tool in offered]
    shell = next((name for name in SHELLS if name in tools), None)
    if shell is None or COMMANDS[0].split()[1] in asked or not QUESTION.search(asked):
        return f"Done {number}.", []
    return "I look twice.", [
        {"id": f"call_{number}_{at}", "name": shell, "arguments": json.dumps({SHELLS[shell]: text})}
        for at, text in enumerate(COMMANDS)
    ]


def completion(
    request: dict[str, Any], number: int, text: str, calls: list[dict[str, str]]
) -> Iterator[Event]:
    """A chat completion."""

    def chunk(delta: dict[str, Any], reason: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        shared = {"id": f"c{number}", "object": "chat.completion.chunk", "created": 1}
        return "", {**shared, "model": request["model"], "choices": [choice]}

    yield chunk({"role": "assistant", "content": text})
    for at, call in enumerate(calls):
        function = {"name": call["name"], "arguments": call["arguments"]}
        told = {"index": at, "id": call["id"], "type": "function", "function": function}
        yield chunk({"tool_calls": [told]})
    yield chunk({}, "tool_calls" if calls else "stop")


def response(
    request: dict[str, Any], number: int, text: str, calls: list[dict[str, str]]
) -> Iterator[Event]:
    """A response, of which only whole items are told."""

    def event(kind: str, **values: Any) -> Event:
        return kind, {"type": kind, **values}

    content = [{"type": "output_text", "text": text}]
    yield event("response.created", response={"id": f"r{number}"})
    said = {"type": "message", "id": f"m{number}", "role": "assistant", "content": content}
    yield event("response.output_item.done", item=said)
    for call in calls:
        item = {"type": "function_call", "id": f"f{call['id']}", "call_id": call["id"]}
        item |= {"name": call["name"], "arguments": call["arguments"]}
        yield event("response.output_item.done", item=item)
    usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    details = {"input_tokens_details": None, "output_tokens_details": None}
    yield event("response.completed", response={"id": f"r{number}", "usage": {**usage, **details}})


def message(
    request: dict[str, Any], number: int, text: str, calls: list[dict[str, str]]
) -> Iterator[Event]:
    """A message of Anthropic's."""

    def event(kind: str, **values: Any) -> Event:
        return kind, {"type": kind, **values}

    usage = {"input_tokens": 5, "output_tokens": 3}
    whole = {"id": f"msg_{number}", "type": "message", "role": "assistant", "content": []}
    rest = {"model": request["model"], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield event("message_start", message={**whole, **rest})
    begun: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"type": "text", "text": ""}, {"type": "text_delta", "text": text})
    ]
    for call in calls:
        block = {"type": "tool_use", "id": call["id"], "name": call["name"], "input": {}}
        begun.append((block, {"type": "input_json_delta", "partial_json": call["arguments"]}))
    for at, (block, delta) in enumerate(begun):
        yield event("content_block_start", index=at, content_block=block)
        yield event("content_block_delta", index=at, delta=delta)
        yield event("content_block_stop", index=at)
    reason = "tool_use" if calls else "end_turn"
    yield event("message_delta", delta={"stop_reason": reason}, usage=usage)
    yield event("message_stop")
