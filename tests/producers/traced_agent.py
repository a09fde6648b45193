"""An agent whose calls of a model are traced: `python traced_agent.py CONVENTION FOLDER`.

It asks a server on this machine that answers like OpenAI's, calls a tool, and ends. What a real
instrumentation makes of that is written as OTLP JSON lines and as the SDK's own JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

ANSWERS: list[dict[str, Any]] = [
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call_{command}",
                "type": "function",
                "function": {"name": "act", "arguments": json.dumps({"command": command})},
            }
            for command in ("look drawer", "look shelf")
        ],
    },
    {"role": "assistant", "content": "The key is in the drawer."},
]
QUESTION = [
    {"role": "system", "content": "You find keys."},
    {"role": "user", "content": "Find the key."},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "act",
            "description": "Acts.",
            "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
        },
    }
]


class Answering(BaseHTTPRequestHandler):
    """Answers with a call of two tools where no tool has answered yet, and else with a text."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_answered = any(message["role"] == "tool" for message in asked["messages"])
        answer = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "demo-2026",
            "choices": [
                {
                    "index": 0,
                    "message": ANSWERS[is_answered],
                    "finish_reason": "stop" if is_answered else "tool_calls",
                }
            ],
            "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: Any) -> None:
        """Says nothing."""


def traced(convention: str, folder: Path) -> Any:
    """Trace with the instrumentation of a convention; ends the tracing when called."""
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.exporter.otlp.json.file import FileSpanExporter
    from opentelemetry.exporter.otlp.json.file._log_exporter import FileLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    resource = Resource.create({"service.name": "finder"})
    spans, logs = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    path = str(folder / "otlp.jsonl")
    spans.add_span_processor(SimpleSpanProcessor(FileSpanExporter(path)))
    logs.add_log_record_processor(SimpleLogRecordProcessor(FileLogExporter(path)))
    console = (folder / "console.jsonl").open("w")
    lines = ConsoleSpanExporter(
        out=console, formatter=lambda span: span.to_json(indent=None) + "\n"
    )
    spans.add_span_processor(SimpleSpanProcessor(lines))
    set_logger_provider(logs)
    if convention == "openinference":
        from openinference.instrumentation.openai import OpenAIInstrumentor
    else:
        from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

        os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "true"
        if convention == "attributes":
            os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_only"
            os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
        elif convention == "nothing":
            del os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"]
    options = {} if convention == "openinference" else {"logger_provider": logs}
    OpenAIInstrumentor().instrument(tracer_provider=spans, **options)

    def end() -> None:
        spans.shutdown()
        logs.shutdown()
        console.close()

    return spans.get_tracer("agent"), end


def run(convention: str, folder: Path) -> None:
    """Two rollouts of one task, traced."""
    server = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tracer, end = traced(convention, folder)
    from openai import OpenAI

    client = OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none")
    for _ in range(2):
        with tracer.start_as_current_span("invoke_agent finder"):
            messages: list[Any] = list(QUESTION)
            while True:
                answer = client.chat.completions.create(
                    model="demo", messages=messages, tools=TOOLS, temperature=0
                )
                said = answer.choices[0].message
                messages.append(said.model_dump(exclude_none=True))
                if not said.tool_calls:
                    break
                for call in said.tool_calls:
                    with tracer.start_as_current_span("execute_tool act") as span:
                        span.set_attribute("gen_ai.operation.name", "execute_tool")
                        span.set_attribute("openinference.span.kind", "TOOL")
                    command = json.loads(call.function.arguments)["command"]
                    answered = {
                        "role": "tool",
                        "tool_call_id": call.id,
                        "content": f"did {command}",
                    }
                    messages.append(answered)
    end()
    server.shutdown()


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
