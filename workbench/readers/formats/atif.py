"""Agent trajectories in ATIF, and the trials of a Harbor job that hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.readers.atif_documents import Document, documents_of, is_act, is_part_of_another
from workbench.readers.base import SYSTEM, Diagnostics, Part, reader
from workbench.readers.harbor import (
    Trial,
    exception_of,
    outcome_of,
    report_trial_without_trajectory,
    system_of_trial,
    trial_of,
    with_rollout_details,
)
from workbench.readers.jsonfiles import Record, json_object, leading_keys, objects
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn, turns
from workbench.readers.records import is_cut, whole
from workbench.readers.rows import Converter, StepRows, checked_values, numbers, ones, token_ids

_VERSION = re.compile(rb'"schema_version"\s*:\s*"ATIF-v')
_TRIAL = re.compile(rb'"trial_name"\s*:')
_USER = "user-agent"  # the folder of a trial that holds what the simulated user did


@reader(
    "atif",
    description="ATIF trajectories and Harbor job folders",
    companions=("result.json",),
)
class Atif:
    """Steps are those of the agent that a model wrote; the observation is what came before.

    In a Harbor job, groups are tasks, those of several agents, models or jobs apart, trajectories
    are trials, and the reward is the verifier's in
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
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        record = json_object(path, diagnostics)
        if record is None:
            return Part(frame=rows.frame(), diagnostics=diagnostics)
        if path.parent.name == _USER:
            diagnostics.drop("trajectory", "is the simulated user's", str(path))
        elif "steps" not in record:
            report_trial_without_trajectory(path, record, diagnostics)
        elif not is_part_of_another(path, diagnostics):
            trial = trial_of(path, record, diagnostics)
            documents = list(documents_of(path, record, diagnostics))
            system = system_of_trial(trial, record)
            told = columns.get("reward")
            _add_documents(rows, documents, trial, diagnostics, told=told, system=system)
        return Part(frame=rows.frame(), diagnostics=diagnostics)


def _add_documents(
    rows: StepRows,
    documents: Sequence[Document],
    trial: Trial,
    diagnostics: Diagnostics,
    *,
    told: str | None,
    system: str | None,
) -> None:
    is_tree = len(documents) > 1
    for document in documents:
        is_main = document.parent is None
        try:
            steps = _turns(document.steps)
        except ValueError as error:
            diagnostics.problem("steps", str(error), document.place)
            continue
        acts = [step for step in document.steps if is_act(step)]
        if not steps:
            diagnostics.drop("steps", "hold none of the agent's, so no step", document.place)
            continue
        columns = _step_columns(acts, diagnostics)
        if columns is None:
            continue
        outcome, others = (
            outcome_of(trial, told, diagnostics, document.place) if is_main else (None, {})
        )
        trajectory = trial.name if is_main else f"{trial.name}/{document.agent_id}"
        fields: dict[str, Any] = {
            "group_id": trial.task or trial.name,
            "trajectory_id": trajectory,
            "model": document.model,
            SYSTEM: system,
            **others,
        }
        if is_tree:
            nodes = [f"{trial.name}:{document.agent_id}:{at}" for at in range(len(steps))]
            root = None if is_main else f"{trial.name}:{document.parent}"
            fields |= {"tree_id": trial.name, "agent_id": document.agent_id}
            columns |= {"node_id": nodes, "parent_id": [root, *nodes[:-1]]}
        if is_main:
            columns = with_rollout_details(columns, trial, diagnostics, document.place)
        rows.add(
            steps,
            outcome=outcome,
            fields=fields,
            last_fields={
                "finish_reason": exception_of(trial) if is_main else None,
                "truncated": is_cut(exception_of(trial)) if is_main else None,
            },
            step_fields=columns,
        )


def _turns(steps: Sequence[Record]) -> list[Turn]:
    """ATIF steps as messages: who spoke, and what the tools answered behind it."""
    messages: list[Record] = []
    acts: list[int] = []
    for step in steps:
        source = step.get("source")
        if source not in ("system", "user", "agent"):
            raise ValueError(f"hold one of source {source!r}")
        message: Record = {"content": step.get("message")}
        if source == "agent":
            if is_act(step):
                acts.append(len(messages))
            message["tool_calls"] = [
                {"id": call.get("tool_call_id"), "name": call.get("function_name"),
                 "arguments": call.get("arguments")}
                for call in objects(step.get("tool_calls"))
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
            for result in objects(results)
            if result.get("content") is not None
        ]
    return turns(messages, acts)


_METRICS: dict[str, Converter] = {
    "step_id": whole,
    "prompt_token_ids": token_ids,
    "completion_token_ids": token_ids,
    "logprobs": numbers,
    "completion_tokens": whole,
}


def _step_columns(acts: Sequence[Record], diagnostics: Diagnostics) -> dict[str, list[Any]] | None:
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
        numbered = metrics if isinstance(metrics, dict) else {}
        numbered = numbered | {"step_id": step.get("step_id")}
        values = checked_values(numbered, _METRICS, diagnostics, place, optional=_METRICS)
        if values is None:
            return None
        columns["prompt_ids"].append(values["prompt_token_ids"])
        columns["response_ids"].append(values["completion_token_ids"])
        columns["response_mask"].append(ones(values["completion_token_ids"]))
        columns["response_logprobs"].append(values["logprobs"])
        columns["response_tokens"].append(values["completion_tokens"])
        columns["source_file"].append(step["__file"])
        columns["source_line"].append(values["step_id"])
    return columns
