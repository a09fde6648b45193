"""verifiers builds and writes its own traces, and the reader reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from producers import tiny
from workbench.readers import import_log

pytestmark = [tiny.needs("verifiers", "0.4"), pytest.mark.filterwarnings("ignore")]


def new_trace(name: str = "agent", *, trainable: bool = True) -> Any:
    from verifiers.v1.configs.agent import WireAgentConfig
    from verifiers.v1.task import WireTaskData
    from verifiers.v1.trace import AgentInfo, Trace, TraceTask

    task = TraceTask(type="Find", data=WireTaskData(idx=0, prompt="go"), key="find")
    agent = AgentInfo(config=WireAgentConfig(), name=name, trainable=trainable)
    return Trace(task=task, agent=agent)


class Talk:
    """A conversation with a model that writes what it is told to, one token per letter."""

    def __init__(self, trace: Any, *, tokens: bool = True) -> None:
        self.trace, self.tokens = trace, tokens
        self.messages: list[Any] = []
        self.ids: list[int] = []

    def add(self, role: str, content: str, **more: Any) -> None:
        from verifiers.v1 import types

        kind = {"user": types.UserMessage, "tool": types.ToolMessage, "system": types.SystemMessage}
        self.messages.append(kind[role](content=content, **more))

    def say(self, content: str | None, *calls: Any, finish: str = "stop") -> int:
        from verifiers.v1 import graph
        from verifiers.v1.types import AssistantMessage, Response, TurnTokens

        turn = graph.prepare_turn(self.trace, list(self.messages))
        message = AssistantMessage(content=content, tool_calls=list(calls) or None)
        written = [ord(letter) for letter in content or "call"]
        prompt, spans = self._prompt()
        tokens = TurnTokens(
            prompt_ids=prompt,
            completion_ids=written,
            completion_logprobs=[-0.5] * len(written),
            message_spans=spans,
        )
        node = turn.commit(
            Response(
                id="r",
                created=0,
                model="m",
                message=message,
                finish_reason=finish,
                tokens=tokens if self.tokens else None,
            )
        )
        self.messages.append(message)
        return node

    def _prompt(self) -> tuple[list[int], list[tuple[int, int]]]:
        ids: list[int] = []
        spans = []
        for message in self.messages:
            start = len(ids)
            text = message.content if isinstance(message.content, str) else "call"
            scaffold = [1] if message.role == "assistant" else [2]
            ids += [*scaffold, *(ord(letter) for letter in text)]
            spans.append((start, len(ids)))
        return [*ids, 1], spans


def call(arguments: str) -> Any:
    from verifiers.v1.types import ToolCall

    return ToolCall(id="c", name="act", arguments=arguments)


def write(folder: Path, *traces: Any, group: str | None = "g", ok: bool = True) -> Path:
    from verifiers.v1.episode import (
        EnvInfo,
        Episode,
        GroupInfo,
        PolicySpan,
        TrainRunInfo,
        TrainWorkInfo,
    )
    from verifiers.v1.task import WireTaskData
    from verifiers.v1.trace import TraceTask
    from verifiers.v1.utils.trace_store import write_episode

    task = TraceTask(type="Find", data=WireTaskData(idx=0, prompt="go"), key="find")
    work = TrainWorkInfo(step=5, policy=PolicySpan(start=3, end=4))
    episode = Episode(
        env=EnvInfo(id="find"),
        task=task,
        group=GroupInfo(id=group) if group else None,
        run=TrainRunInfo(id="run", work=work),
        ok=ok,
        traces=list(traces),
    )
    write_episode(folder, episode)
    return folder / "traces.jsonl"


def finish(trace: Any, reward: float | None, stop: str = "done") -> Any:
    if reward is not None:
        trace.record_reward("correct", reward, weight=2.0)
    trace.stop(stop)
    trace.ok = True
    return trace


def test_a_conversation_with_tools(tmp_path: Path):
    talk = Talk(new_trace())
    talk.add("system", "rules")
    talk.add("user", "go")
    talk.say("hm", call('{"b": 1, "a": 2}'))
    talk.add("tool", "seen", tool_call_id="c")
    talk.say("done")
    imported = import_log([write(tmp_path, finish(talk.trace, 0.5))])
    log = imported.validated.log
    assert imported.report.format == "verifiers"
    assert log["observation"].to_list() == ["go", "seen"]
    assert log["action"].to_list() == ['hm\n{"arguments": {"a": 2, "b": 1}, "name": "act"}', "done"]
    assert log["reward"].to_list() == [0.0, 1.0]
    assert set(log["policy_version"]) == {3}
    node_ids = [list(talk.trace.branches[0].token_ids)]
    joined = [*log["prompt_ids"][1].to_list(), *log["response_ids"][1].to_list()]
    assert joined == node_ids[0]
    assert log["response_ids"].to_list() == [[ord(c) for c in "hm"], [ord(c) for c in "done"]]
    assert log["response_logprobs"].to_list() == [[-0.5] * 2, [-0.5] * 4]


def test_branches_of_a_compaction_and_of_a_retry(tmp_path: Path):
    trace = new_trace()
    talk = Talk(trace)
    talk.add("user", "go")
    talk.say("one")
    talk.messages.pop()
    talk.say("two")
    again = Talk(trace)
    again.add("user", "summary")
    again.say("three")
    imported = import_log([write(tmp_path, finish(trace, 1.0))])
    log = imported.validated.log
    assert trace.num_branches == 3
    assert log["action"].to_list() == ["one", "two", "three"]
    assert log["observation"].to_list() == ["go", "go", "summary"]
    for step, branch in zip(log.iter_rows(named=True), trace.branches, strict=True):
        assert [*step["prompt_ids"], *step["response_ids"]] == branch.token_ids
    assert "several branches" in str(imported.report)


def test_advantages_that_an_algorithm_assigns(tmp_path: Path):
    talk = Talk(new_trace())
    talk.add("user", "go")
    talk.say("abc")
    node = talk.trace.nodes[-1]
    node.advantages = [0.5, 0.5, -1.0]
    log = import_log([write(tmp_path, finish(talk.trace, 1.0))]).validated.log
    assert log["logged_token_advantage"].to_list() == [[0.5, 0.5, -1.0]]
    assert "logged_advantage" not in log.columns


def test_failures_limits_judges_and_traces_without_tokens(tmp_path: Path):
    failed = Talk(new_trace())
    failed.add("user", "go")
    failed.say("x")
    failed.trace.record_error(ValueError("lost"))
    cut = Talk(new_trace(), tokens=False)
    cut.add("user", "go")
    cut.say("y", finish="length")
    judge = Talk(new_trace("judge", trainable=False))
    judge.add("user", "judge")
    judge.say("fine")
    unscored = Talk(new_trace())
    unscored.add("user", "go")
    unscored.say("z")
    write(tmp_path, failed.trace, ok=False)
    write(tmp_path, finish(cut.trace, 1.0, "max_turns"), finish(judge.trace, None))
    path = write(tmp_path, finish(unscored.trace, None))
    imported = import_log([path])
    log = imported.validated.log.sort("source_line")
    assert log["action"].to_list() == ["x", "y", "z"]
    assert log["excluded"][0].startswith("the rollout failed")
    assert log["excluded"].to_list()[1:] == [None, "reward is null at step 0"]
    assert log["truncated"].to_list()[1] is True
    assert log["response_ids"].to_list()[1] is None
    assert "agent: is not trained" in str(imported.report)


def test_an_evaluation_without_groups_is_grouped_by_task(tmp_path: Path):
    for text in ("a", "b"):
        talk = Talk(new_trace())
        talk.add("user", "go")
        talk.say(text)
        path = write(tmp_path, finish(talk.trace, 0.0), group=None)
    assert import_log([path]).report.rollouts == {2: 1}


def test_an_episode_that_never_began_is_dropped(tmp_path: Path):
    talk = Talk(new_trace())
    talk.add("user", "go")
    talk.say("a")
    write(tmp_path, ok=False)
    path = write(tmp_path, finish(talk.trace, 0.0))
    report = import_log([path]).report
    assert report.trajectories == 1
    assert "the episode has none" in str(report)
