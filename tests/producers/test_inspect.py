"""Inspect and Scout logs as those packages themselves write them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import polars as pl
import pytest

inspect_ai = pytest.importorskip("inspect_ai")
inspect_scout = pytest.importorskip("inspect_scout")

from inspect_ai import Task  # noqa: E402  after the check that it is there
from inspect_ai import eval as run_eval  # noqa: E402
from inspect_ai.agent import Agent, AgentState, agent, handoff  # noqa: E402
from inspect_ai.dataset import Sample  # noqa: E402
from inspect_ai.model import (  # noqa: E402
    ChatMessageAssistant,
    ChatMessageUser,
    ContentReasoning,
    ContentText,
    ModelOutput,
    get_model,
)
from inspect_ai.scorer import Score, accuracy, match, mean, scorer  # noqa: E402
from inspect_ai.solver import generate, solver, use_tools  # noqa: E402
from inspect_ai.tool import tool  # noqa: E402
from inspect_scout import Transcript, transcripts_db  # noqa: E402
from polars.testing import assert_frame_equal  # noqa: E402

from workbench.readers import import_log  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts bytes as tokens, where the package would fetch a vocabulary."""

    class Bytes:
        def encode(self, text: str, **options: Any) -> list[int]:
            return list(text.encode())

    tiktoken = pytest.importorskip("tiktoken")
    for name in ("get_encoding", "encoding_for_model"):
        monkeypatch.setattr(tiktoken, name, lambda *_: Bytes())


@tool
def act() -> Any:
    async def execute(command: str) -> str:
        """Acts.

        Args:
            command: What to do.
        """
        if command == "break":
            raise ValueError("it broke")
        return f"did {command}"

    return execute


def calls(*commands: str) -> list[ModelOutput]:
    return [
        ModelOutput.for_tool_call("mockllm/model", "act", {"command": command}, content="I act")
        for command in commands
    ]


def says(text: str) -> ModelOutput:
    return ModelOutput.from_content("mockllm/model", text)


def evaluate(folder: Path, outputs: list[ModelOutput], form: str, **options: Any) -> Path:
    task = Task(
        dataset=options.pop("dataset", [Sample(id="a", input="go", target="yes")]),
        solver=options.pop("solver", [use_tools(act()), generate()]),
        scorer=options.pop("scorer", match()),
        name="demo",
    )
    model = get_model("mockllm/model", custom_outputs=outputs)
    run_eval(task, model=model, log_dir=str(folder), log_format=form, display="none", **options)
    return folder


@pytest.mark.parametrize("form", ["eval", "json"])
def test_tool_calls_and_what_they_answered_are_steps(tmp_path: Path, form: str):
    outputs = [*calls("look", "take"), says("yes")]
    log = import_log([evaluate(tmp_path, outputs, form)]).validated.log
    assert log["observation"].to_list() == ["go", "did look", "did take"]
    assert log["action"].to_list()[0] == 'I act\n{"arguments": {"command": "look"}, "name": "act"}'
    assert log["action"].to_list()[2] == "yes"
    assert log["reward"].to_list() == [0.0, 0.0, 1.0]
    assert set(log["group_id"]) == {"demo/mockllm/model/a"}


@pytest.mark.parametrize("form", ["eval", "json"])
def test_epochs_are_trajectories_of_one_group(tmp_path: Path, form: str):
    outputs = [says("yes"), says("no"), says("yes")]
    folder = evaluate(tmp_path, outputs, form, epochs=3, max_samples=1)
    imported = import_log([folder])
    assert dict(imported.report.rollouts) == {3: 1}
    assert sorted(imported.validated.log["reward"]) == [0.0, 1.0, 1.0]
    assert imported.validated.log["success"].sum() == 2


@pytest.mark.parametrize("form", ["eval", "json"])
def test_a_sample_that_breaks_is_in_the_log_and_not_scored(tmp_path: Path, form: str):
    @solver
    def breaking() -> Any:
        async def solve(state: Any, generate: Any) -> Any:
            state = await generate(state)
            if state.sample_id == "b":
                raise RuntimeError("broke")
            return state

        return solve

    dataset = [Sample(id=name, input="go", target="yes") for name in "ab"]
    outputs = [says("yes"), says("yes")]
    folder = evaluate(
        tmp_path, outputs, form, dataset=dataset, solver=breaking(), fail_on_error=False
    )
    imported = import_log([folder])
    assert imported.report.trajectories == 2
    assert imported.report.excluded == {"reward is null": 1}


def test_a_limit_truncates_and_does_not_fail(tmp_path: Path):
    folder = evaluate(tmp_path, calls(*"abcdefgh"), "eval", message_limit=5)
    log = import_log([folder]).validated.log
    assert log["truncated"].to_list()[-1] is True
    assert log["finish_reason"].to_list()[-1] == "message"


def test_a_tool_that_fails_is_an_observation(tmp_path: Path):
    @tool
    def fail() -> Any:
        async def execute() -> str:
            """Fails."""
            raise PermissionError("not allowed")

        return execute

    outputs = [ModelOutput.for_tool_call("mockllm/model", "fail", {}), says("no")]
    folder = evaluate(tmp_path, outputs, "eval", solver=[use_tools(fail()), generate()])
    log = import_log([folder]).validated.log
    assert log.height == 2
    assert log["observation"][1] != ""


def test_several_scorers_give_one_reward_and_the_others_beside(tmp_path: Path):
    @scorer(metrics={"style": [mean()], "facts": [mean()]})
    def judge() -> Any:
        async def score(state: Any, target: Any) -> Score:
            return Score(value={"style": 0.25, "facts": 1.0})

        return score

    folder = evaluate(tmp_path, [says("yes")], "eval", scorer=[judge(), match()])
    imported = import_log([folder])
    row = imported.validated.log.row(0, named=True)
    assert row["reward"] == 0.25
    assert (row["aux_reward_judge.facts"], row["aux_reward_match"]) == (1.0, 1.0)
    told = import_log([folder], mapping={"columns": {"reward": "match"}})
    assert told.validated.log["reward"].to_list() == [1.0]


def test_reasoning_is_kept_beside_and_long_texts_are_whole(tmp_path: Path):
    long = "word " * 2000
    outputs = [
        ModelOutput.from_message(
            ChatMessageAssistant(
                content=[ContentReasoning(reasoning="hm hm"), ContentText(text="yes")]
            )
        )
    ]
    dataset = [Sample(id="a", input=long, target="yes")]
    log = import_log([evaluate(tmp_path, outputs, "eval", dataset=dataset)]).validated.log
    assert log["observation"].to_list() == [long]
    assert log["action"].to_list() == ["yes"]
    assert "hm hm" in log["messages"][0]


def test_a_sub_agent_that_was_handed_the_conversation_speaks_in_it(tmp_path: Path):
    @agent
    def helper() -> Agent:
        async def execute(state: AgentState) -> AgentState:
            """Helps."""
            state.messages.append(ChatMessageUser(content="you help"))
            state.output = await get_model().generate(state.messages)
            state.messages.append(state.output.message)
            return state

        return execute

    outputs = [
        ModelOutput.for_tool_call("mockllm/model", "transfer_to_helper", {}),
        says("I helped"),
        says("yes"),
    ]
    tools = use_tools(handoff(helper(), description="Helps."))
    log = import_log(
        [evaluate(tmp_path, outputs, "eval", solver=[tools, generate()])]
    ).validated.log
    assert "helped" in log["action"][1]
    assert log["reward"].to_list() == [0.0, 0.0, 1.0]


def test_evaluations_of_one_task_are_one_log_with_own_groups(tmp_path: Path):
    for _ in range(2):
        evaluate(tmp_path, [says("yes")], "eval")
    imported = import_log([tmp_path])
    assert len(imported.report.files) == 2
    assert dict(imported.report.rollouts) == {1: 2}
    assert imported.validated.log["run_id"].n_unique() == 2


def transcripts(folder: Path) -> list[Transcript]:
    talk = [ChatMessageUser(content="go"), ChatMessageAssistant(content="ok")]
    kinds: list[dict[str, Any]] = [
        {"score": 0.5},
        {"score": "C", "success": True},
        {"score": {"a": 1, "b": 0}},
        {"success": False},
        {"error": "boom", "score": 1.0},
        {"limit": "tokens", "score": 0.0},
        {},
    ]
    return [
        Transcript(
            transcript_id=f"t{at}",
            task_set="set",
            task_id="a",
            task_repeat=at,
            model="m",
            messages=talk if at != 3 else [*talk, *talk],
            metadata={"mine": at},
            **fields,
        )
        for at, fields in enumerate(kinds)
    ]


def test_a_database_that_scout_wrote_is_read(tmp_path: Path):
    async def write() -> None:
        async with transcripts_db(str(tmp_path)) as database:
            await database.insert(transcripts(tmp_path))

    asyncio.run(write())
    imported = import_log([tmp_path])
    assert imported.report.format == "scout"
    log = imported.validated.log.sort("trajectory_id", "step_index")
    last = log.group_by("trajectory_id", maintain_order=True).last()
    assert last["reward"].to_list() == [0.5, 1.0, 1.0, 0.0, None, 0.0, None]
    assert last["truncated"].to_list() == [False] * 5 + [True, False]
    assert log.filter(pl.col("trajectory_id") == "t3").height == 2
    assert set(log["group_id"]) == {"set/a/m"}


def test_what_inspect_wrote_is_the_same_through_scout(tmp_path: Path):
    folder = evaluate(tmp_path / "logs", [*calls("look"), says("yes")], "eval")

    async def convert() -> None:
        async with transcripts_db(str(tmp_path / "db")) as database:
            await database.insert(inspect_scout.transcripts_from(str(folder)))

    asyncio.run(convert())
    columns = ["observation", "action", "reward", "step_index"]
    through = import_log([tmp_path / "db"]).validated.log
    direct = import_log([folder]).validated.log
    assert_frame_equal(through.select(columns), direct.select(columns))


def test_sessions_of_claude_code_are_the_same_through_scout(tmp_path: Path):
    from inspect_scout.sources import claude_code

    sample = Path(__file__).parents[1] / "samples/claude-code/find-key"

    async def convert() -> None:
        async with transcripts_db(str(tmp_path / "db")) as database:
            await database.insert(claude_code(str(sample)))

    asyncio.run(convert())
    columns = ["trajectory_id", "step_index", "observation", "action", "reward"]
    through, direct = (import_log([path]).validated.log for path in (tmp_path / "db", sample))
    assert_frame_equal(through.select(columns), direct.select(columns))
    assert (through["group_id"].n_unique(), direct["group_id"].n_unique()) == (1, 1)


assert accuracy  # the default metric of match
