"""Records of lines: the bad ones are named, the others read."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_files import log_of, written
from samples_of import SAMPLE_FILES, SAMPLES, lines

from workbench.errors import LogError
from workbench.readers import import_log, read
from workbench.readers.base import Diagnostics
from workbench.readers.dialects import with_system
from workbench.readers.records import notice_untold_images
from workbench.readers.responses import empty_reply, join_item


@pytest.mark.parametrize(
    ("sample", "required"),
    [
        ("verifiers", "traces"),
        ("verifiers-legacy/vf_eval_0.1.14", "completion"),
        ("verl/v1", "output"),
        ("verl-agent", "traj_uid"),
        ("verl-agent-bare", "input"),
        ("nemo-rl", "token_ids"),
        ("open-instruct", "prompt_idx"),
        ("skyrl", "output_response"),
        ("areal", "task_id"),
    ],
)
def test_bad_lines_are_all_named_and_the_rest_is_read_where_asked(
    tmp_path: Path, sample: str, required: str
):
    good = lines(sample)
    lacking = {key: value for key, value in good[1].items() if key != required}
    cut = json.dumps(good[2])[:-20]
    path = written(tmp_path, [good[0], lacking, cut, [1], *good[3:]], "step_12.jsonl")
    path.write_bytes(path.read_bytes() + b'{"input": "caf\xe9"}\n')
    with pytest.raises(LogError) as caught:
        read([path])
    for line in (2, 3, 4, len(good) + 2):
        assert f"{path}:{line}" in str(caught.value)
    # Where a row is a step, a trajectory without its first one is set aside.
    imported = import_log([path], skip_bad=True, quarantine=sample == "verl-agent")
    assert sum(problem.count for problem in imported.report.dropped) == 4
    assert imported.report.trajectories >= 2


_KEYS = st.text(max_size=3)


_ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | _KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside a JSON value."""
    if not isinstance(value, dict | list):
        return []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner = list(items)
    deeper = [way for key, item in inner for way in places(item, (*path, key))]
    return [(*path, key) for key, _ in inner] + deeper


def rllm() -> dict[str, Any]:
    path = SAMPLES / "rllm/train_step_12_epoch_0/episode_hash0_idfind-key_1.json"
    return json.loads(path.read_text())


@given(st.sampled_from([*sorted(SAMPLE_FILES), "rllm"]), st.data())
def test_any_value_anywhere_is_read_or_refused_with_its_line(name: str, data: st.DataObject):
    record = rllm() if name == "rllm" else json.loads((SAMPLES / name).read_text().splitlines()[0])
    *way, key = data.draw(st.sampled_from(places(record)))
    holder = record
    for part in way:
        holder = holder[part]
    holder[key] = data.draw(_ANY)
    refused = ""
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), [record], "step_12.jsonl")
        try:
            log_of(path, format=SAMPLE_FILES.get(name, name))
        except LogError as error:
            refused = str(error)
    assert not refused or f"{path}:1" in refused


@pytest.mark.parametrize("odd", [["image"], {"a": 1}, 7, None, True])
def test_a_type_or_a_role_of_any_kind_is_asked_for_and_is_no_fault(odd: Any):
    # What has no hash cannot be looked for in a set.
    diagnostics = Diagnostics()
    notice_untold_images([{"type": odd, "content": [{"type": odd}]}], diagnostics, "a:1")
    assert not diagnostics.notices
    said = [{"role": odd, "content": "x"}]
    assert with_system(said, "be brief") == [{"role": "system", "content": "be brief"}, *said]
    reply = empty_reply()
    join_item(reply, {"type": odd, "content": "x"})
    assert reply.get("content") == "x" or reply["tool_calls"]
