from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from workbench.errors import ArtefactError
from workbench.exporters.replies import frame_of, joined_reply, read_objects, single


def test_a_float32_is_written_with_the_digits_that_it_has():
    assert single(0.30000001192092896) == 0.3
    assert single(1e-7) == 1e-7


@pytest.mark.parametrize(("text", "says"), [("{}\n[1]\n", "line 2 is not an object"),
                                            ("{}\n{}\n{'\n", "line 3 is not JSON")])  # fmt: skip
def test_a_line_that_is_no_object_is_named(text: str, says: str, tmp_path: Path):
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(ArtefactError, match=says):
        read_objects(tmp_path / "x.jsonl")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "line 1 has no label"),
        ({"label": "x", "messages": []}, "of another type"),
        ({"label": True, "messages": 3}, "line 1: messages is not a list of messages"),
        ({"label": True, "messages": [{"content": "x"}]}, "not a list of messages with roles"),
        ({"label": True, "messages": [{"role": "a", "tool_calls": [3]}]}, "a tool call that is"),
    ],
)
def test_an_object_that_is_no_row_is_named(value: dict[str, object], says: str, tmp_path: Path):
    with pytest.raises(ArtefactError, match=says):
        frame_of([value], [("label", pa.bool_())], tmp_path / "x.jsonl", "messages")


def test_the_last_reply_alone_is_trained_among_messages_of_any_role():
    def messages(*roles: str) -> list[dict[str, str]]:
        return [{"role": role, "content": "x"} for role in roles]

    # Two replies before it; the others are none, whatever they are called.
    parts = pl.DataFrame(
        {
            "prompt": [messages("Agent", "assistant", "user", "a", "assistant", "tool")],
            "completion": [messages("assistant")],
            "advantage": [0.5],
        },
        schema_overrides={"advantage": pl.Float32},
    )
    (row,) = joined_reply(parts).to_dicts()
    assert (row["step_mask"], row["step_advantages"]) == ([0, 0, 1], [0.0, 0.0, 0.5])
