"""ATIF trajectories and trial results as Harbor's own models write them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("harbor.models.trajectories", reason="Harbor is not installed")

from harbor.models.trajectories import (
    Agent,
    ContentPart,
    Metrics,
    Observation,
    ObservationResult,
    Step,
    SubagentTrajectoryRef,
    ToolCall,
    Trajectory,
)
from harbor.models.verifier.result import VerifierResult

from workbench.readers import import_log

AGENT = Agent(name="demo", version="1", model_name="m")


def trajectory(*steps: dict[str, Any], **fields: Any) -> Trajectory:
    numbered = [Step(step_id=at, **step) for at, step in enumerate(steps, start=1)]
    return Trajectory(agent=AGENT, steps=numbered, **fields)


def trial(folder: Path, *documents: Trajectory, rewards: Any = None, **fields: Any) -> None:
    """A trial's folder; `result.json` has the keys of `TrialResult` that a reader needs."""
    (folder / "agent").mkdir(parents=True)
    names = ["trajectory.json", *(f"trajectory.cont-{n}.json" for n in range(1, 9))]
    for name, document in zip(names, documents, strict=False):
        (folder / "agent" / name).write_text(json.dumps(document.to_json_dict()))
    verdict = VerifierResult(rewards=rewards).model_dump() if rewards is not None else None
    result = {"task_name": "t", "trial_name": folder.name, "verifier_result": verdict, **fields}
    (folder / "result.json").write_text(json.dumps(result))


def told(text: str) -> dict[str, Any]:
    return {"source": "user", "message": text}


def acts(command: str, answer: str, **fields: Any) -> dict[str, Any]:
    return {
        "source": "agent",
        "message": "I act",
        "tool_calls": [
            ToolCall(tool_call_id="c", function_name="act", arguments={"command": command})
        ],
        "observation": Observation(results=[ObservationResult(source_call_id="c", content=answer)]),
        **fields,
    }


def test_calls_answers_and_tokens_are_steps(tmp_path: Path):
    metrics = Metrics(
        prompt_tokens=2,
        completion_tokens=2,
        prompt_token_ids=[1, 2],
        completion_token_ids=[3, 4],
        logprobs=[-0.5, -0.25],
    )
    first = acts("look", "a key", metrics=metrics, llm_call_count=1, reasoning_content="hm")
    trial(
        tmp_path / "a", trajectory(told("go"), first, acts("take", "done")), rewards={"reward": 1}
    )
    log = import_log([tmp_path]).validated.log
    assert log["observation"].to_list() == ["go", "a key"]
    assert log["action"][0] == 'I act\n{"arguments": {"command": "look"}, "name": "act"}'
    assert log["response_ids"].to_list() == [[3, 4], None]
    assert log["reward"].to_list() == [0.0, 1.0]
    assert "hm" in log["messages"][0]


def test_pictures_are_named_and_several_answers_joined(tmp_path: Path):
    from harbor.models.trajectories import ImageSource

    picture = ContentPart(
        type="image", source=ImageSource(media_type="image/png", path="images/a.png")
    )
    answers = Observation(
        results=[
            ObservationResult(content=[ContentPart(type="text", text="one"), picture]),
            ObservationResult(content="two"),
        ]
    )
    step = {"source": "agent", "message": "x", "observation": answers}
    trial(tmp_path / "a", trajectory(told("go"), step, step))
    log = import_log([tmp_path]).validated.log
    assert log["observation"].to_list() == ["go", "one\n[image]\ntwo"]
    assert log["reward"].null_count() == 2


def test_a_summary_in_a_continuation_is_one_trajectory(tmp_path: Path):
    first = trajectory(
        told("go"), acts("look", "x"), continued_trajectory_ref="trajectory.cont-1.json"
    )
    copied = {**told("go"), "is_copied_context": True}
    second = trajectory(copied, told("go on"), acts("take", "y"))
    trial(tmp_path / "a", first, second, rewards={"reward": 0.5})
    log = import_log([tmp_path]).validated.log
    assert log["observation"].to_list() == ["go", "x\ngo on"]
    assert log["reward"].to_list() == [0.0, 0.5]


def test_sub_agents_of_sub_agents_are_a_tree(tmp_path: Path):
    def calling(name: str) -> dict[str, Any]:
        reference = SubagentTrajectoryRef(trajectory_id=name)
        result = ObservationResult(content="ok", subagent_trajectory_ref=[reference])
        return {"source": "agent", "message": "ask", "observation": Observation(results=[result])}

    inner = trajectory(told("deep"), acts("dig", "x"), trajectory_id="inner")
    middle = trajectory(
        told("mid"), calling("inner"), trajectory_id="middle", subagent_trajectories=[inner]
    )
    outer = trajectory(
        told("go"), acts("look", "x"), calling("middle"), subagent_trajectories=[middle]
    )
    trial(tmp_path / "a", outer, rewards={"reward": 1.0})
    log = import_log([tmp_path]).validated.log
    parents = dict(zip(log["node_id"], log["parent_id"], strict=True))
    assert parents["a:main/middle:0"] == "a:main:1"
    assert parents["a:main/middle/inner:0"] == "a:main/middle:0"
    assert set(parents.values()) - {None} <= set(parents)
    assert log.filter(pl.col("agent_id") != "main")["reward"].null_count() == 2


_texts = st.text(st.characters(codec="utf-8"), max_size=6)
_steps = st.one_of(
    _texts.map(told),
    st.builds(lambda text: {"source": "system", "message": text}, _texts),
    st.builds(acts, _texts, _texts),
    st.builds(lambda text: {"source": "agent", "message": text, "llm_call_count": 0}, _texts),
    st.builds(lambda text: {**acts(text, text), "is_copied_context": True}, _texts),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_steps, max_size=6))
def test_whatever_harbor_may_write_is_read(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[str, Any]]
):
    folder = tmp_path_factory.mktemp("job")
    document = trajectory(told("go"), *steps, acts("end", "done"))
    trial(folder / "a", document, rewards={"reward": 1.0})
    log = import_log([folder]).validated.log
    wrote = [
        step
        for step in document.steps
        if step.source == "agent" and step.llm_call_count != 0 and not step.is_copied_context
    ]
    assert log["source_line"].to_list() == [step.step_id for step in wrote]
    assert log["reward"].to_list() == [0.0] * (len(wrote) - 1) + [1.0]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Harbor's own results need Python 3.12")
def test_a_trial_result_that_harbor_wrote_is_read(tmp_path: Path):
    from harbor.models.task.id import LocalTaskId
    from harbor.models.trial import result
    from harbor.models.trial.config import TaskConfig, TrialConfig

    def write(name: str, **fields: Any) -> None:
        trial(tmp_path / name, trajectory(told("go"), acts("look", "x")))
        written = result.TrialResult(
            task_name="t",
            trial_name=name,
            trial_uri=f"file:///{name}",
            task_id=LocalTaskId(path=tmp_path),
            task_checksum="0",
            config=TrialConfig(task=TaskConfig(path=tmp_path)),
            agent_info=result.AgentInfo(name="demo", version="1"),
            **fields,
        )
        (tmp_path / name / "result.json").write_text(written.model_dump_json())

    def broken(kind: str) -> Any:
        error = type(kind, (Exception,), {})("x")
        return result.ExceptionInfo.from_exception(error)

    write("a", verifier_result=VerifierResult(rewards={"reward": 1}))
    write("b", exception_info=broken("AgentTimeoutError"))
    verdict = VerifierResult(rewards={"reward": 0})
    write("c", exception_info=broken("ApiRateLimitError"), verifier_result=verdict)
    imported = import_log([tmp_path])
    assert imported.validated.log["reward"].to_list() == [1.0, None, None]
    assert any("counts as invalid" in notice for notice in imported.report.notices)
