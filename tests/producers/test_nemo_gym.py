"""NeMo Gym rollouts in the items that its own models write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

orjson = pytest.importorskip("orjson")
gym = pytest.importorskip("nemo_gym.openai_utils", reason="NeMo Gym is not installed")

from workbench.readers import import_log  # noqa: E402  after the check that it is there

pytestmark = pytest.mark.filterwarnings("ignore")


def tokens(*ids: int) -> dict[str, Any]:
    return {
        "prompt_token_ids": [1, 2],
        "generation_token_ids": list(ids),
        "generation_log_probs": [-0.5] * len(ids),
    }


def message(text: str, **fields: Any) -> Any:
    kind = (
        gym.NeMoGymResponseOutputMessageForTraining if fields else gym.NeMoGymResponseOutputMessage
    )
    part = gym.NeMoGymResponseOutputText(annotations=[], text=text)
    return kind(id="m", content=[part], role="assistant", status="completed", **fields)


def function_call(name: str, **fields: Any) -> Any:
    kind = (
        gym.NeMoGymResponseFunctionToolCallForTraining
        if fields
        else gym.NeMoGymResponseFunctionToolCall
    )
    return kind(arguments='{"x": 1}', call_id="c", name=name, id="f", **fields)


def write(path: Path, *outputs: list[Any], **fields: Any) -> Path:
    """Rollouts as the collector dumps them: numbers, request, response, reward."""
    with path.open("wb") as file:
        for number, output in enumerate(outputs):
            request = gym.NeMoGymResponseCreateParamsNonStreaming(
                input=[gym.NeMoGymEasyInputMessage(role="user", content="go")]
            )
            response = gym.NeMoGymResponse(
                id="r",
                created_at=0.0,
                model="m",
                object="response",
                output=output,
                parallel_tool_calls=True,
                tool_choice="auto",
                tools=[],
            )
            row = {
                "responses_create_params": request.model_dump(),
                "response": response.model_dump(),
                "reward": float(number),
                "_ng_task_index": 0,
                "_ng_rollout_index": number,
                **fields,
            }
            file.write(orjson.dumps(row) + b"\n")
    return path


def answer(text: str) -> Any:
    return gym.NeMoGymFunctionCallOutput(type="function_call_output", call_id="c", output=text)


def test_items_of_one_call_are_one_step_with_its_tokens(tmp_path: Path):
    thought = gym.NeMoGymResponseReasoningItem(
        id="t", summary=[gym.NeMoGymSummary(text="hm", type="summary_text")]
    )
    output = [thought, message("I act"), function_call("f", **tokens(5, 6)), answer("seen")]
    log = import_log(
        [write(tmp_path / "r.jsonl", [*output, message("bye", **tokens(7))])]
    ).validated.log
    assert log["observation"].to_list() == ["go", "seen"]
    assert log["action"].to_list() == ['I act\n{"arguments": {"x": 1}, "name": "f"}', "bye"]
    assert log["response_ids"].to_list() == [[5, 6], [7]]
    assert log["response_logprobs"].to_list() == [[-0.5, -0.5], [-0.5]]
    assert "hm" in log["messages"][0]


def test_rollouts_of_a_task_are_a_group_and_reports_count_tokens(tmp_path: Path):
    path = write(tmp_path / "r.jsonl", [message("a", **tokens(1))], [message("b")], [])
    report = import_log([path]).report
    assert dict(report.rollouts) == {2: 1}
    assert report.missing_token_ids == 0.5
    assert "holds nothing that the model wrote" in str(report)


def test_names_are_those_that_the_collector_uses():
    collection = pytest.importorskip("nemo_gym.rollout_collection")
    assert collection.TASK_INDEX_KEY_NAME == "_ng_task_index"
    assert collection.ROLLOUT_INDEX_KEY_NAME == "_ng_rollout_index"
    assert collection.NG_FAILURE_CLASS_KEY == "_ng_failure_class"
