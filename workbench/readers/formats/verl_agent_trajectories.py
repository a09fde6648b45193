"""Trajectory dumps that forks of verl-agent write: one JSON object a training step.

`{global_step, trajectories: [{traj_id, success, episode_reward, steps: [{observation, action,
obs_n_tokens, step_reward, advantage, …}]}]}`. The steps of a trajectory stand in the order of the
batch, which the trainer permutes, and some were copied to fill it; groups are not in the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.formats.verl_agent import SUCCESS, said
from workbench.readers.jsonfiles import Record, json_object, leading_keys
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn
from workbench.readers.records import digest, kept_fields, of_step, whole
from workbench.readers.rows import (
    Converter,
    StepRows,
    checked_values,
    identity,
    number,
    text,
    truth,
)
from workbench.readers.systems import folder_of

RECONSTRUCTED = "groups and order of steps"

_OF_TRAJECTORY: dict[str, Converter] = {
    "traj_id": identity,
    "success": truth,
    "episode_reward": number,
}
_OF_STEP: dict[str, Converter] = {
    "observation": text,
    "action": text,
    "obs_n_tokens": whole,
    "step_reward": number,
    "advantage": number,
}
_LATER = frozenset({"obs_n_tokens", "step_reward", "advantage"})


@reader(
    "verl-agent-trajectories",
    description="trajectory dump of verl-agent's forks",
    run=folder_of,
)
class VerlAgentTrajectories:
    """Trajectories are those of the file; their groups and the order of their steps are inferred.

    A group begins with one prompt, so its trajectories agree in the first observation and in the
    number of tokens of the first prompt; and where its rewards were all equal, every advantage in
    it is 0. Two tasks that agree in all of that fall into one group, which then has more rollouts
    than the others. The first step is the one with the shortest prompt, since
    later ones also hold what went before, and the last one is the step that was rewarded; between
    them the order of the batch is kept, which is not that of time. The outcome is on the last
    step. Advantages are sums over the tokens of a response, whose number is not in the file, so
    they are kept as `summed_advantage`.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """A training step with trajectories."""
        return leading_keys(head) >= {"global_step", "trajectories"}

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of all trajectories; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "trajectory dumps of verl-agent")
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        dump = json_object(path, diagnostics) or {}
        try:
            train_step = whole(dump.get("global_step"))
        except ValueError as error:
            diagnostics.problem("global_step", str(error), str(path))
            train_step = None
        given = dump.get("trajectories", [])
        if not isinstance(given, list):
            diagnostics.problem("trajectories", "is not a list", str(path))
            given = []
        for line, trajectory in enumerate(given, start=1):
            place = f"{path} record {line}"
            if isinstance(trajectory, dict):
                _add(rows, trajectory, line, diagnostics, place, train_step=train_step)
            else:
                diagnostics.problem("trajectories", "holds one that is no object", place)
        if given:
            words = (
                "groups are inferred from the lengths of the first prompts, so tasks of one length "
                "fall together, and the steps between the first and the last stand in the order of "
                "the batch: do not discount them or look at histories"
            )
            diagnostics.notice(words, str(path))
        return Part(frame=rows.frame(), diagnostics=diagnostics)


def _add(
    rows: StepRows,
    trajectory: Record,
    line: int,
    diagnostics: Diagnostics,
    place: str,
    *,
    train_step: int | None,
) -> None:
    values = checked_values(
        trajectory, _OF_TRAJECTORY, diagnostics, place, optional=("success", "episode_reward")
    )
    steps = _steps(trajectory.get("steps"), diagnostics, place)
    if values is None or steps is None:
        return
    if not steps:
        diagnostics.drop("steps", "there are none", place)
        return
    ordered = _ordered(steps)
    first = ordered[0]
    begins = (first["observation"], first["obs_n_tokens"], any(step["advantage"] for step in steps))
    reward = values["episode_reward"]
    taken = [said(step["observation"], step["action"]) for step in ordered]
    rows.add(
        [
            Turn(
                observation=step["observation"],
                action=one["action"],
                next_observation=None,
                messages=one["messages"],
                segment=at,  # each prompt is written afresh and continues none
            )
            for at, (step, one) in enumerate(zip(ordered, taken, strict=True))
        ],
        line=line,
        outcome=reward,
        fields={
            "group_id": of_step(train_step, digest(*begins)),
            "trajectory_id": values["traj_id"],
            "train_step": train_step,
            "success": values["success"],
            "episode_reward": reward,
            "reward_scale": SUCCESS if reward in (0.0, SUCCESS) else None,
            "reconstructed": RECONSTRUCTED,
        },
        step_fields={
            "thought": [one["thought"] for one in taken],
            "copies": [step["copies"] for step in ordered],
            "prompt_tokens": [step["obs_n_tokens"] for step in ordered],
            "summed_advantage": [step["advantage"] for step in ordered],
            **_others(ordered),
        },
    )


def _steps(given: Any, diagnostics: Diagnostics, place: str) -> list[Record] | None:
    """The distinct steps, each with its number of copies; None where one is malformed."""
    if not isinstance(given, list) or not all(isinstance(step, dict) for step in given):
        diagnostics.problem("steps", "is not a list of steps", place)
        return None
    found: dict[tuple[Any, ...], Record] = {}
    for step in given:
        values = checked_values(step, _OF_STEP, diagnostics, place, optional=_LATER)
        if values is None:
            return None
        key = (values["observation"], values["action"], values["obs_n_tokens"])
        if key in found:
            found[key]["copies"] += 1
        else:
            others = kept_fields(step, {*_OF_STEP, "step"})
            found[key] = values | {"copies": 1, "others": others}
    return list(found.values())


def _ordered(steps: Sequence[Record]) -> list[Record]:
    """The step with the shortest prompt first, the rewarded one last, the others as they are."""
    lengths = [step["obs_n_tokens"] for step in steps]
    shortest = min((length for length in lengths if length is not None), default=None)
    first = lengths.index(shortest)
    places = range(len(steps))
    return [
        steps[at]
        for at in sorted(places, key=lambda at: (bool(steps[at]["step_reward"]), at != first))
    ]


def _others(steps: Sequence[Record]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for step in steps for name in step["others"])
    return {name: [step["others"].get(name) for step in steps] for name in names}
