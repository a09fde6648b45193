"""verifiers v1 and prime-rl: one episode per record, its traces as graphs of messages.

A trace is a list of nodes, each a message and the tokens that it adds to its parent's sequence.
Where an agent's context was compacted, or sub-agents ran in the same trace, there are several
leaves, so several branches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from workbench.readers.base import SYSTEM, Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys
from workbench.readers.jsonfiles import Record, decoded_json
from workbench.readers.mapping import refuse_mapping
from workbench.readers.records import is_cut, of_step, parts_of_records, step_of_name, whole
from workbench.readers.rows import StepRows, number, say_text_numbers
from workbench.readers.systems import system_of
from workbench.readers.tokens import token_columns
from workbench.readers.trace_graph import (
    as_object,
    in_loss,
    nodes_of,
    objects_in,
    tokens_of,
    turns_of,
)

_KEYS = frozenset({"env", "task", "traces"})
SAMPLE = frozenset({"problem_id", "sample_id", "env_name", "trajectory", "info"})
"""Columns of the Parquet in which prime-rl sends episodes to its platform."""

_CELLS = Cells(objects=_KEYS | {"group", "run", "errors", "info"})

_STEP = r"/step_(\d+)/"
"""Place of the rollouts that prime-rl trains on at a step."""

_LIMITS = frozenset(
    {"max_turns", "max_input_tokens", "max_output_tokens", "max_total_tokens", "compaction_failed"}
)
"""Stop conditions of a trace that mean that a limit cut it."""


@reader("verifiers", description="verifiers v1 and prime-rl traces, one episode per record")
class Verifiers:
    """A trace is a trajectory, and its sampled messages are the steps, in the order of sampling.

    The reward is the weighted sum of a trace's rewards, on its last step; one that was not scored
    is null. What prime-rl's algorithm wrote to the sampled tokens is `logged_token_advantage`, and
    `logged_advantage` where it is the same for all tokens of the step. Traces of agents that are
    not trained (judges, user simulators) are left out and stated; failed ones are excluded. A
    compaction that the agent did not go on from takes no part in the loss. In the Parquet that
    prime-rl sends to its platform, a row holds the episode in `info`.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """An episode: `env`, `task` and `traces`; or a sample that holds one."""
        keys = first_keys(path, head)
        return keys >= _KEYS or keys >= SAMPLE

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The steps of all traces; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "verifiers traces")
        add = partial(_add_episode, step=step_of_name(path, _STEP))
        return parts_of_records(path, add, cells=_CELLS)


def _add_episode(
    rows: StepRows,
    episode: Record,
    line: int,
    diagnostics: Diagnostics,
    place: str,
    *,
    step: int | None,
) -> None:
    if (native := as_object(decoded_json(episode.get("info"))).get("native_wrapper")) is not None:
        try:
            step = whole(episode.get("step")) if step is None else step
        except ValueError as error:
            diagnostics.problem("step", str(error), place)
            return
        episode = as_object(native)
    elif "traces" not in episode and episode.keys() >= SAMPLE:
        rule = "holds no native_wrapper: a large episode is sent as a summary without its graph"
        diagnostics.drop("info", rule, place)
        return
    traces = episode.get("traces")
    if not isinstance(traces, list) or not all(isinstance(trace, dict) for trace in traces):
        diagnostics.problem("traces", "is not a list of traces", place)
        return
    if not traces:
        diagnostics.drop(
            "traces", f"the episode has none ({_failure(episode) or 'no error'})", place
        )
        return
    for number_of_trace, trace in enumerate(traces):
        where = place if len(traces) == 1 else f"{place} trace {number_of_trace}"
        if as_object(trace.get("agent")).get("trainable") is False:
            diagnostics.drop(
                "agent", "is not trained, so the trace holds no step of the policy", where
            )
            continue
        try:
            ids = _identity(episode, trace, step)
            _add_trace(
                rows, episode, trace, ids=ids, line=line, diagnostics=diagnostics, place=where
            )
        except ValueError as error:
            diagnostics.problem("traces", str(error), where)


def _add_trace(
    rows: StepRows,
    episode: Record,
    trace: Record,
    *,
    ids: Mapping[str, Any],
    line: int,
    diagnostics: Diagnostics,
    place: str,
) -> None:
    nodes = nodes_of(trace.get("nodes"))
    steps = [node for node in nodes if node.sampled]
    if not steps:
        diagnostics.drop("nodes", "hold no sampled message, so no step", place)
        return
    branches = len(set(range(len(nodes))) - {node.parent for node in nodes})
    if branches > 1:
        diagnostics.notice("traces have several branches; steps stand in order of sampling", place)
    calls = {
        node: call
        for call in objects_in(trace.get("calls"))
        if isinstance(node := call.get("node"), int)
    }
    made = [calls.get(node.position, {}) for node in steps]
    reasons = [_text(call.get("finish_reason")) for call in made]
    stop = _text(trace.get("stop_condition"))
    cut = stop in _LIMITS or bool(is_cut(stop)) or bool(is_cut(reasons[-1]))
    rewards = {
        name: _reward(name, given) for name, given in as_object(trace.get("rewards")).items()
    }
    given = as_object(trace.get("rewards")).values()
    say_text_numbers(
        (item.get("score") if isinstance(item, dict) else item for item in given),
        diagnostics,
        place,
    )
    scored = [score * weight for score, weight in rewards.values() if score is not None]
    failure = _failure(trace) or _failure(episode) or "no error is given"
    trained = in_loss(nodes)
    rows.add(
        turns_of(steps, nodes),
        line=line,
        outcome=sum(scored) if scored else None,
        fields={
            **ids,
            "excluded": None if trace.get("ok", True) else f"the rollout failed ({failure})",
            "stop_condition": stop,
            "branches": branches,
            "metrics": trace.get("metrics") or None,
        },
        last_fields={
            "done": bool(trace.get("is_completed")),
            "truncated": cut if stop or reasons[-1] else None,
        }
        | {f"aux_reward_{name}": score for name, (score, _) in rewards.items()},
        step_fields=token_columns([tokens_of(node) for node in steps])
        | {
            "finish_reason": reasons,
            "model": [_text(call.get("model")) or _model(trace) for call in made],
            "gradient_mask": [node.position in trained for node in steps],
        },
    )


def _identity(episode: Record, trace: Record, step: int | None) -> dict[str, Any]:
    """Identity of a trajectory: agent, task and run.

    Args:
        episode: The episode.
        trace: One of its traces.
        step: The training step that the episode was used at; None where nothing says that, and it
            counts as of the one at which it was dispatched.
    """
    run, task = as_object(episode.get("run")), as_object(trace.get("task") or episode.get("task"))
    work, env = as_object(run.get("work")), as_object(episode.get("env"))
    agent = _text(as_object(trace.get("agent")).get("name")) or "agent"
    dispatched = whole(work.get("step"))
    step = dispatched if step is None else step
    group = _text(as_object(episode.get("group")).get("id"))
    system = None  # a group that has an id was sampled at once
    if group is None:
        system = system_of(run.get("id"), _model(trace))
        named = _text(task.get("key")) or _text(task.get("hash"))
        if named is None:
            raise ValueError("the episode has no group, and its task no key: nothing groups it")
        group = of_step(step, f"{_text(env.get('id')) or 'task'}/{named}")
    trajectory = _text(trace.get("id"))
    if not trajectory:
        raise ValueError("the trace has no id")
    policy, prompt = as_object(work.get("policy")), as_object(task.get("data")).get("prompt")
    return {
        "group_id": group if agent == "agent" else f"{group}/{agent}",
        "trajectory_id": trajectory,
        "task": _text(prompt),
        "run_id": _text(run.get("id")),
        "train_step": step,
        "dispatch_step": dispatched,
        "policy_version": whole(policy.get("start")),
        "policy_version_end": whole(policy.get("end")),
        "agent_id": agent,
        SYSTEM: system,
        "env": _text(env.get("name")) or _text(env.get("id")),
        "split": _text(work.get("type")) or _text(run.get("type")),
    }


def _reward(name: str, given: Any) -> tuple[float | None, float]:
    """Score and weight of a named reward; no score where scoring did not run."""
    if given is None:
        return None, 1.0
    if isinstance(given, dict):
        weight = number(given.get("weight"))
        return _number(name, given.get("score")), 1.0 if weight is None else weight
    return _number(name, given), 1.0


def _number(name: str, given: Any) -> float | None:
    try:
        return number(given)
    except ValueError as error:
        raise ValueError(f"reward {name!r} {error}") from None


def _failure(record: Record) -> str | None:
    """The last error of a trace or an episode."""
    errors = objects_in(record.get("errors"))
    return _text(errors[-1].get("type")) if errors else None


def _model(trace: Record) -> str | None:
    return _text(as_object(as_object(trace.get("agent")).get("config")).get("model"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
