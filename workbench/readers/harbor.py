"""Metadata of a Harbor trial, for the trajectory in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics
from workbench.readers.jsonfiles import Record, json_object, objects
from workbench.readers.rows import numbers, ones, text, token_ids
from workbench.readers.scores import reward_of
from workbench.readers.systems import system_of


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Metadata from a trial's `result.json`; without one only the id is known."""

    name: str
    task: str | None = None
    result: Record | None = None


def trial_of(path: Path, record: Record, diagnostics: Diagnostics) -> Trial:
    """The trial that a trajectory belongs to: its `result.json` lies in a folder above."""
    for folder in path.parents[:4]:
        beside = folder / "result.json"
        if beside.is_file():
            result = json_object(beside, diagnostics)
            if result is None or not isinstance(result.get("trial_name"), str):
                break
            name, task = result["trial_name"], result.get("task_name")
            # A trial of several steps has one trajectory per step, each in a folder of its own.
            inner = path.parent.parent.relative_to(folder)
            if inner.parts[:1] == ("steps",):
                name = "/".join((name, *inner.parts[1:]))
                result = _result_of_step(result, inner.name)
            return Trial(name=name, task=task if isinstance(task, str) else None, result=result)
    own = record.get("trajectory_id") or record.get("session_id")
    diagnostics.notice("no result.json lies above the trajectory: it has no reward", str(path))
    return Trial(name=own if isinstance(own, str) else path.stem)


def system_of_trial(trial: Trial, record: Record) -> str | None:
    """The job, agent, version and model of a trial, as its result says or else the trajectory."""
    result = trial.result or {}
    config, told, own = result.get("config"), result.get("agent_info"), record.get("agent")
    job = config.get("job_id") if isinstance(config, dict) else None
    agent = told if isinstance(told, dict) else own if isinstance(own, dict) else {}
    info = agent.get("model_info")
    model = info.get("name") if isinstance(info, dict) else None
    if model is None and isinstance(own, dict):
        model = own.get("model_name")
    return system_of(job, agent.get("version"), agent.get("name"), model)


def _result_of_step(result: Record, step: str) -> Record:
    found = [item for item in objects(result.get("step_results")) if item.get("step_name") == step]
    return found[0] if found else {}


def report_trial_without_trajectory(path: Path, result: Record, diagnostics: Diagnostics) -> None:
    """A trial's `result.json` holds no step; its trajectory is read where that lies."""
    if not [*path.parent.glob("**/trajectory*.json")]:
        error = result.get("exception_info")
        why = error.get("exception_type") if isinstance(error, dict) else None
        rule = "the trial has no trajectory, so no step"
        diagnostics.drop("trajectory", rule, f"{path}" + f" ({why})" * bool(why))


def with_rollout_details(
    columns: Mapping[str, list[Any]], trial: Trial, diagnostics: Diagnostics, place: str
) -> dict[str, list[Any]]:
    """Token columns from `result.json`, where the steps have none: one turn there is one step."""
    agent = (trial.result or {}).get("agent_result")
    details = objects(agent.get("rollout_details")) if isinstance(agent, dict) else []
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
            diagnostics.notice(
                f"rollout_details have no {key} for each step; they are not read", place
            )
            return dict(columns)
        try:
            read[name] = [convert(turn) for turn in given]
        except ValueError as error:
            diagnostics.problem(key, str(error), place)
            return dict(columns)
    return {**columns, **read, "response_mask": [ones(ids) for ids in read["response_ids"]]}


def outcome_of(
    trial: Trial, told: str | None, diagnostics: Diagnostics, place: str
) -> tuple[float | None, dict[str, float | None]]:
    """The verifier's reward; none where the trial ended in an exception that voids it."""
    verdict = (trial.result or {}).get("verifier_result")
    rewards = verdict.get("rewards") if isinstance(verdict, dict) else None
    if not isinstance(rewards, dict):
        return None, {}
    if (trial.result or {}).get("reward_valid") is False:
        diagnostics.notice("the verifier's reward counts as invalid and is not read", place)
        return None, {}
    return reward_of(rewards, told, diagnostics, place)


def exception_of(trial: Trial) -> str | None:
    """The type of the exception that ended the trial, if one did."""
    error = (trial.result or {}).get("exception_info")
    return text(error.get("exception_type")) if isinstance(error, dict) else None
