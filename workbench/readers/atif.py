"""Agent trajectories in ATIF, and the trials of a Harbor job that hold them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.readers.base import Findings, Part, reader
from workbench.readers.jsonfiles import Record, json_object, leading_keys
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn, turns
from workbench.readers.rows import StepRows, checked_values, number, numbers, text, token_ids
from workbench.readers.scores import reward_of

_VERSION = re.compile(rb'"schema_version"\s*:\s*"ATIF-v')
_TRIAL = re.compile(rb'"trial_name"\s*:')
_USER = "user-agent"  # the folder of a trial that holds what the simulated user did


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """What a trial's `result.json` says of its trajectory; without one only the id is known."""

    name: str
    task: str | None = None
    result: Record | None = None


@dataclass(frozen=True, kw_only=True)
class _Document:
    """One ATIF document: who acted, its steps, and where it stands.

    Args:
        agent_id: Path of agents from the main one down, such as `main/search-1`.
        parent: Node that called it; None for the main agent.
        steps: Its own and its continuations' steps, copied context left out.
        place: The file, and the document in it.
    """

    agent_id: str
    parent: str | None
    steps: Sequence[Record]
    model: str | None
    place: str


@reader("atif", description="ATIF trajectories and Harbor job folders")
class Atif:
    """Steps are those of the agent that a model wrote; the observation is what came before.

    In a Harbor job, groups are tasks and trajectories trials, and the reward is the verifier's in
    the trial's `result.json`; a trial that ended in an exception has none and is not scored.
    A trajectory without such a file is a group of its own and has no reward. Copied context and
    steps without a model call are history, not steps. Continuation files are read where the
    trajectory refers to them.

    A sub-agent's steps are a trajectory of their own, `<trial>/<agent>`, without a reward; where
    there are any, `agent_id`, `tree_id`, `node_id` and `parent_id` say who called whom. A file or
    a document that refers to itself, directly or not, is refused with its place. `source_line`
    is the `step_id` in `source_file`.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """An object with an ATIF version, or a trial's `result.json`."""
        keys = leading_keys(head)
        if "schema_version" in keys and _VERSION.search(head):
            return True
        return "task_name" in keys and _TRIAL.search(head) is not None

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of a trajectory and its sub-agents; `columns` may name the reward to take."""
        refuse_mapping(columns, "ATIF trajectories", but="reward")
        findings, rows = Findings(), StepRows()
        record = json_object(path, findings)
        if record is None:
            return Part(frame=rows.frame(), findings=findings)
        if path.parent.name == _USER:
            findings.drop("trajectory", "is the simulated user's", str(path))
        elif "steps" not in record:
            _report_trial_without_trajectory(path, record, findings)
        elif not _is_part_of_another(path):
            trial = _trial_of(path, record, findings)
            documents = list(_documents(path, record, findings))
            _add_documents(rows, documents, trial, columns.get("reward"), findings)
        return Part(frame=rows.frame(), findings=findings)


def _report_trial_without_trajectory(path: Path, result: Record, findings: Findings) -> None:
    """A trial's `result.json` holds no step; its trajectory is read where that lies."""
    if next(path.parent.glob("**/trajectory*.json"), None) is None:
        error = result.get("exception_info")
        why = error.get("exception_type") if isinstance(error, dict) else None
        rule = "the trial has no trajectory, so no step"
        findings.drop("trajectory", rule, f"{path}" + f" ({why})" * bool(why))


def _is_part_of_another(path: Path) -> bool:
    """Whether a file beside or above this one refers to it, and so reads it."""
    for folder in (path.parent, path.parent.parent):
        files = [(other, other.stat().st_mtime_ns) for other in sorted(folder.glob("*.json"))]
        if path.resolve() in _referred_to(folder, tuple(files)):
            return True
    return False


@functools.lru_cache(maxsize=2)
def _referred_to(folder: Path, files: tuple[tuple[Path, int], ...]) -> frozenset[Path]:
    """The files that the trajectories of a folder refer to, not counting themselves."""
    found = set()
    for file, _ in files:
        record = json_object(file, Findings()) or {}
        named = [_beside(folder, name) for name in _file_references(record)]
        found |= {other.resolve() for other in named if other and other.resolve() != file.resolve()}
    return frozenset(found)


def _beside(folder: Path, name: str) -> Path | None:
    """The file of a reference: at that place, or of that name in the folder."""
    found = (folder / name, folder / Path(name).name)
    return next((file for file in found if file.is_file()), None)


def _file_references(record: Record) -> Iterator[str]:
    steps = _objects(record.get("steps"))
    paths = [item.get("trajectory_path") for step in steps for item in _references(step)]
    for name in (record.get("continued_trajectory_ref"), *paths):
        if isinstance(name, str):
            yield name


def _references(step: Record) -> list[Record]:
    """The sub-agents that a step called."""
    observation = step.get("observation")
    results = observation.get("results") if isinstance(observation, dict) else None
    return [
        reference
        for result in _objects(results)
        for reference in _objects(result.get("subagent_trajectory_ref"))
    ]


def _objects(value: Any) -> list[Record]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _trial_of(path: Path, record: Record, findings: Findings) -> _Trial:
    """The trial that a trajectory belongs to: its `result.json` lies in a folder above."""
    for folder in path.parents[:4]:
        beside = folder / "result.json"
        if beside.is_file():
            result = json_object(beside, findings)
            if result is None or not isinstance(result.get("trial_name"), str):
                break
            name, task = result["trial_name"], result.get("task_name")
            # A trial of several steps has one trajectory a step, each in a folder of its own.
            inner = path.parent.parent.relative_to(folder)
            if inner.parts[:1] == ("steps",):
                name = "/".join((name, *inner.parts[1:]))
                result = _result_of_step(result, inner.name)
            return _Trial(name=name, task=task if isinstance(task, str) else None, result=result)
    own = record.get("trajectory_id") or record.get("session_id")
    findings.notice("no result.json lies above the trajectory: it has no reward", str(path))
    return _Trial(name=own if isinstance(own, str) else path.stem)


def _result_of_step(result: Record, step: str) -> Record:
    found = [item for item in _objects(result.get("step_results")) if item.get("step_name") == step]
    return found[0] if found else {}


def _documents(path: Path, record: Record, findings: Findings) -> Iterator[_Document]:
    """The main agent's document and those of its sub-agents, depth first."""
    above = (path.resolve(),)
    yield from _walk(path, record, findings, agent_id="main", parent=None, above=above)


def _walk(
    path: Path,
    record: Record,
    findings: Findings,
    *,
    agent_id: str,
    parent: str | None,
    above: tuple[object, ...],
) -> Iterator[_Document]:
    """A document and all below it; `above` are the files and embedded ids on the way here."""
    steps = list(_own_steps(path, record, findings))
    agent = record.get("agent")
    model = agent.get("model_name") if isinstance(agent, dict) else None
    place = str(path) if agent_id == "main" else f"{path} agent {agent_id}"
    yield _Document(agent_id=agent_id, parent=parent, steps=steps, model=model, place=place)
    embedded = {
        item.get("trajectory_id"): item for item in _objects(record.get("subagent_trajectories"))
    }
    called: set[object] = set()
    number_of_act = -1
    for step in steps:
        number_of_act += _is_act(step)
        for reference in _references(step):
            inner, key, file = _resolved(path, reference, embedded, findings)
            if inner is None or key in called:
                continue
            if key in above:
                rule = "sub-agents refer to each other in a circle"
                findings.problem("subagent_trajectory_ref", rule, f"{place} ({key})")
                continue
            called.add(key)
            name = inner.get("trajectory_id") or inner.get("session_id") or Path(str(key)).stem
            node = f"{agent_id}:{max(number_of_act, 0)}"
            child = f"{agent_id}/{name}"
            yield from _walk(
                file, inner, findings, agent_id=child, parent=node, above=(*above, key)
            )
    for name in sorted(str(name) for name in set(embedded) - called):
        findings.notice(f"no step refers to the embedded sub-agent {name!r}; it is left out", place)


def _resolved(
    path: Path, reference: Record, embedded: Mapping[Any, Record], findings: Findings
) -> tuple[Record | None, object, Path]:
    """A sub-agent's document, what it is known by, and its file."""
    own = reference.get("trajectory_id")
    if own in embedded:
        return embedded[own], own, path
    named = reference.get("trajectory_path")
    file = _beside(path.parent, named) if isinstance(named, str) else None
    if file is not None:
        return json_object(file, findings), file.resolve(), file
    shown = own or named
    findings.notice(f"the sub-agent {shown!r} is not in the file nor beside it", str(path))
    return None, own, path


def _own_steps(path: Path, record: Record, findings: Findings) -> Iterator[Record]:
    """The steps of a document and of its continuations, without what was copied from before."""
    seen: set[Path] = set()
    while True:
        if path.resolve() in seen:
            rule = "continuations refer to each other in a circle"
            findings.problem("continued_trajectory_ref", rule, str(path))
            return
        seen.add(path.resolve())
        steps = record.get("steps")
        if not isinstance(steps, list):
            findings.problem("steps", "is missing or no list", str(path))
            return
        for step in _objects(steps):
            if not step.get("is_copied_context"):
                yield {**step, "__file": str(path)}
        named = record.get("continued_trajectory_ref")
        if not isinstance(named, str):
            return
        file = _beside(path.parent, named)
        if file is None:
            findings.notice(f"the continuation {named!r} does not lie beside it", str(path))
            return
        following = json_object(file, findings)
        if following is None:
            return
        path, record = file, following


def _is_act(step: Record) -> bool:
    return step.get("source") == "agent" and step.get("llm_call_count") != 0


def _add_documents(
    rows: StepRows,
    documents: Sequence[_Document],
    trial: _Trial,
    told: str | None,
    findings: Findings,
) -> None:
    is_tree = len(documents) > 1
    for document in documents:
        is_main = document.parent is None
        try:
            steps = _turns(document.steps)
        except ValueError as error:
            findings.problem("steps", str(error), document.place)
            continue
        acts = [step for step in document.steps if _is_act(step)]
        if not steps:
            findings.drop("steps", "hold none of the agent's, so no step", document.place)
            continue
        columns = _step_columns(acts, findings)
        if columns is None:
            continue
        outcome, others = _outcome(trial, told, findings, document.place) if is_main else (None, {})
        trajectory = trial.name if is_main else f"{trial.name}/{document.agent_id}"
        fields: dict[str, Any] = {
            "group_id": trial.task or trial.name,
            "trajectory_id": trajectory,
            "model": document.model,
            **others,
        }
        if is_tree:
            nodes = [f"{trial.name}:{document.agent_id}:{at}" for at in range(len(steps))]
            root = None if is_main else f"{trial.name}:{document.parent}"
            fields |= {"tree_id": trial.name, "agent_id": document.agent_id}
            columns |= {"node_id": nodes, "parent_id": [root, *nodes[:-1]]}
        if is_main:
            columns = _with_rollout_details(columns, trial, findings, document.place)
        rows.add(
            steps,
            outcome=outcome,
            fields=fields,
            last_fields={"finish_reason": _exception(trial) if is_main else None},
            step_fields=columns,
        )


def _turns(steps: Sequence[Record]) -> list[Turn]:
    """ATIF steps as messages: who spoke, and what the tools answered behind it."""
    messages: list[Record] = []
    acts: list[int] = []
    for step in steps:
        source = step.get("source")
        if source not in {"system", "user", "agent"}:
            raise ValueError(f"hold one of source {source!r}")
        message: Record = {"content": step.get("message")}
        if source == "agent":
            if _is_act(step):
                acts.append(len(messages))
            message["tool_calls"] = [
                {"id": call.get("tool_call_id"), "name": call.get("function_name"),
                 "arguments": call.get("arguments")}
                for call in _objects(step.get("tool_calls"))
            ]  # fmt: skip
            if step.get("reasoning_content"):
                message["reasoning_content"] = step["reasoning_content"]
        messages.append({"role": "assistant" if source == "agent" else source, **message})
        observation = step.get("observation")
        results = observation.get("results") if isinstance(observation, dict) else None
        messages += [
            {
                "role": "tool",
                "tool_call_id": result.get("source_call_id"),
                "content": result["content"],
            }
            for result in _objects(results)
            if result.get("content") is not None
        ]
    return turns(messages, acts)


_METRICS = {
    "prompt_token_ids": token_ids,
    "completion_token_ids": token_ids,
    "logprobs": numbers,
    "completion_tokens": number,
}


def _step_columns(acts: Sequence[Record], findings: Findings) -> dict[str, list[Any]] | None:
    """Token columns and places of the agent's steps; None where one is malformed."""
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            "prompt_ids", "response_ids", "response_mask", "response_logprobs",
            "response_tokens", "source_file", "source_line",
        )
    }  # fmt: skip
    for step in acts:
        place = f"{step['__file']}:{step.get('step_id')}"
        metrics = step.get("metrics")
        values = checked_values(
            metrics if isinstance(metrics, dict) else {},
            _METRICS,
            findings,
            place,
            optional=_METRICS,
        )
        if values is None:
            return None
        count = values["completion_tokens"]
        columns["prompt_ids"].append(values["prompt_token_ids"])
        columns["response_ids"].append(values["completion_token_ids"])
        columns["response_mask"].append(_ones(values["completion_token_ids"]))
        columns["response_logprobs"].append(values["logprobs"])
        columns["response_tokens"].append(None if count is None else int(count))
        columns["source_file"].append(step["__file"])
        columns["source_line"].append(step.get("step_id"))
    return columns


def _ones(ids: Sequence[int] | None) -> list[int] | None:
    return None if ids is None else [1] * len(ids)


def _with_rollout_details(
    columns: Mapping[str, list[Any]], trial: _Trial, findings: Findings, place: str
) -> dict[str, list[Any]]:
    """Token columns from `result.json`, where the steps have none: one turn there is one step."""
    agent = (trial.result or {}).get("agent_result")
    details = _objects(agent.get("rollout_details")) if isinstance(agent, dict) else []
    names = {
        "prompt_ids": ("prompt_token_ids", token_ids),
        "response_ids": ("completion_token_ids", token_ids),
        "response_logprobs": ("logprobs", numbers),
    }
    if not details or any(value is not None for name in names for value in columns[name]):
        return dict(columns)
    read: dict[str, list[Any]] = {}
    for name, (key, convert) in names.items():
        given = details[0].get(key)
        if not isinstance(given, list) or len(given) != len(columns[name]):
            findings.notice(
                f"rollout_details have no {key} for each step; they are not read", place
            )
            return dict(columns)
        try:
            read[name] = [convert(turn) for turn in given]
        except ValueError as error:
            findings.problem(key, str(error), place)
            return dict(columns)
    return {**columns, **read, "response_mask": [_ones(ids) for ids in read["response_ids"]]}


def _outcome(
    trial: _Trial, told: str | None, findings: Findings, place: str
) -> tuple[float | None, dict[str, float | None]]:
    """The verifier's reward; none where the trial ended in an exception that voids it."""
    verdict = (trial.result or {}).get("verifier_result")
    rewards = verdict.get("rewards") if isinstance(verdict, dict) else None
    if not isinstance(rewards, dict):
        return None, {}
    if (trial.result or {}).get("reward_valid") is False:
        findings.notice("the verifier's reward counts as invalid and is not read", place)
        return None, {}
    return reward_of(rewards, told, findings, place)


def _exception(trial: _Trial) -> str | None:
    error = (trial.result or {}).get("exception_info")
    return text(error.get("exception_type")) if isinstance(error, dict) else None
