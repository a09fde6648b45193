"""C3's bucket lines become steps whose siblings are the candidates of a bucket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import LogError, ParameterError
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.readers import import_log
from workbench.states.space import Space


def bucket(**fields: Any) -> dict[str, Any]:
    return {
        "bucket_id": "bkt_1",
        "ctx_hash": 123,
        "target_role": "Actor",
        "question_id": 7,
        "restart": {
            "roles_topo": ["Reasoner", "Actor"],
            "role_outputs_prefix": {"Reasoner": "add them"},
            "question": "2 + 2?",
        },
        "candidates": [
            {"j": 0, "action_text": "4", "returns": [1.0, 1.0], "next_actions": ["done"]},
            {"j": 1, "action_text": "5", "returns": [0.0, 1]},
            {"j": 2, "action_text": "22", "returns": [0.0]},
        ],
        "meta": {"real_j": 0},
    } | fields


def written(path: Path, *records: Any) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def test_candidates_are_siblings_below_their_bucket(tmp_path: Path):
    file = written(tmp_path / "buckets.jsonl", bucket(), bucket(bucket_id="bkt_2", ctx_hash=5))
    imported = import_log([file])
    log = imported.validated.log
    assert imported.report.format == "c3"
    assert log["group_id"].unique().to_list() == ["7"]
    assert log["trajectory_id"].to_list()[:3] == ["bkt_1/0", "bkt_1/1", "bkt_1/2"]
    assert log["observation"][0] == "2 + 2?\n\nReasoner: add them"
    assert log["reward"].to_list()[:3] == [1.0, 0.5, 0.0]
    assert log["replay_returns"].to_list()[1] == [0.0, 1.0]
    assert log["state_key"].to_list()[3] == "5"
    assert log["next_actions"].to_list()[:2] == [["done"], []]
    assert log["source_line"].to_list() == [1, 1, 1, 2, 2, 2]
    steps = Steps.from_log(log)
    # Of the first, the others are 0, 1 and 0: 1 - 1/3. Of the last, 1, 1, 0, 1: 0 - 3/4.
    found = create("c3")(steps, Space(steps)).advantage
    assert found[[0, 2]].tolist() == pytest.approx([2 / 3, -3 / 4])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"bucket_id": None}, "bucket_id: is missing or null"),
        ({"ctx_hash": [1]}, "ctx_hash: is neither text nor a whole number"),
        ({"candidates": []}, "candidates: is no list of candidates"),
        ({"candidates": ["x"]}, "hold something that is no JSON object"),
        ({"candidates": [{"action_text": "4", "returns": []}]}, "a list of finite returns"),
        ({"candidates": [{"action_text": 4, "returns": [1]}]}, "need action_text"),
        ({"candidates": [{"action_text": "4", "returns": [10**400]}]}, "a list of finite returns"),
        (
            {"candidates": [{"action_text": "4", "returns": [1], "next_actions": 3}]},
            "if any, a list of next_actions",
        ),
    ],
)
def test_a_broken_bucket_is_named_with_its_line(tmp_path: Path, fields: dict[str, Any], words: str):
    file = written(tmp_path / "buckets.jsonl", bucket(), bucket(bucket_id="b") | fields)
    with pytest.raises(LogError, match=words) as refused:
        import_log([file])
    assert "buckets.jsonl:2" in str(refused.value)
    assert import_log([file], skip_bad=True).validated.log.height == 3


def test_a_mapping_has_no_use(tmp_path: Path):
    file = written(tmp_path / "buckets.jsonl", bucket())
    with pytest.raises(ParameterError, match="fixed names"):
        import_log([file], mapping={"columns": {"task": "question"}})


def test_roles_that_are_no_text_say_nothing(tmp_path: Path):
    restart = bucket()["restart"] | {"roles_topo": [["Reasoner"], {}, "Reasoner"]}
    log = import_log([written(tmp_path / "buckets.jsonl", bucket(restart=restart))]).validated.log
    assert log["observation"][0] == "2 + 2?\n\nReasoner: add them"
