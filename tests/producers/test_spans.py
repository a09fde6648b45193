"""Spans as OpenTelemetry's and OpenInference's own instrumentations of OpenAI write them.

Each convention is traced in a process of its own, since an instrumentation patches the client.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

for module in (
    "openai",
    "opentelemetry.exporter.otlp.json.file",
    "opentelemetry.instrumentation.openai_v2",
    "openinference.instrumentation.openai",
):
    pytest.importorskip(module)

from producers.traced_agent import ANSWERS, QUESTION, TOOLS  # noqa: E402  after the check that it is there
from workbench.errors import LogError  # noqa: E402
from workbench.readers import read  # noqa: E402

SCRIPT = Path(__file__).parent / "traced_agent.py"


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each convention."""
    found = {}
    for convention in ("events", "attributes", "openinference", "nothing"):
        folder = tmp_path_factory.mktemp(convention)
        subprocess.run([sys.executable, str(SCRIPT), convention, str(folder)], check=True)
        found[convention] = folder
    return found


@pytest.mark.parametrize(
    ("convention", "name"),
    [
        ("events", "otlp.jsonl"),  # the SDK's own JSON has no log records
        ("attributes", "otlp.jsonl"),
        ("attributes", "console.jsonl"),
        ("openinference", "otlp.jsonl"),
        ("openinference", "console.jsonl"),
    ],
)
def test_the_conversation_is_the_one_that_was_had(
    traces: dict[str, Path], convention: str, name: str
):
    raw = read([traces[convention] / name])
    frame = raw.frame
    assert raw.format == "spans"
    assert frame["trajectory_id"].rle_id().to_list() == [0, 0, 1, 1]
    assert frame["group_id"].n_unique() == 1
    assert frame["reward"].null_count() == 4
    assert set(frame["segment"]) == {0}
    assert set(frame["model"]) == {"demo-2026"}
    results = [
        {"role": "tool", "content": f"did {command}", "tool_call_id": f"call_{command}"}
        for command in ("look drawer", "look shelf")
    ]
    first = {key: value for key, value in ANSWERS[0].items() if value is not None}
    for at in (0, 2):
        told = [json.loads(text) for text in frame["messages"][at : at + 2]]
        assert told == [[*QUESTION, first], [*results, ANSWERS[1]]]


def test_openinference_tells_the_tools_that_were_offered(traces: dict[str, Path]):
    frame = read([traces["openinference"] / "otlp.jsonl"]).frame
    assert [text and json.loads(text) for text in frame["tools"]] == [TOOLS, None, TOOLS, None]


@pytest.mark.parametrize("name", ["otlp.jsonl", "console.jsonl"])
def test_traces_without_texts_are_refused_with_the_switch(traces: dict[str, Path], name: str):
    with pytest.raises(LogError, match=r"CAPTURE_MESSAGE_CONTENT"):
        read([traces["nothing"] / name])
