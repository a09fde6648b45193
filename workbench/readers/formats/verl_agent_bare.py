"""verl-agent dumps as the trainer writes them: one step per line, with nothing that says of what.

Group, trajectory and step are not in the file, its rows are permuted, and some were copied at
random to fill the batch. What is left is the prompt: the templates of ALFWorld and WebShop state
how many steps were taken, and show the last few observations and actions. From these the steps are
chained again, and the report says how well that went. The hook of docs/verl_agent_hook.md makes
all of this unnecessary.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import first_keys, first_record, records_of
from workbench.readers.formats.verl import CELLS, is_of_verl_agent
from workbench.readers.formats.verl_agent import said, with_success
from workbench.readers.mapping import refuse_mapping
from workbench.readers.records import digest, of_step, whole
from workbench.readers.rows import checked_values, number, series, text
from workbench.readers.systems import folder_of

RECONSTRUCTED = "groups and trajectories"
"""Value of the column `reconstructed` for rows whose trajectory was inferred."""

_KEYS = frozenset({"input", "output", "score", "step"})
_CONVERTERS = {"input": text, "output": text, "score": number, "step": whole}
_TASK = re.compile(
    r"[Yy]our task is(?: to)?: ?(.*?)\.?\s*\n|Task: ?(.*?)(?=\.? Observation:)", re.DOTALL
)
_TAKEN = re.compile(r"already taken (\d+) step")
_NOW = re.compile(
    r"current observation is:\s*(.*?)\s*\n\s*Your admissible actions"
    r"|Observation: ?(.*?)\s*(?:\nassistant\s*)?$",
    re.DOTALL,
)
_PAST = re.compile(r"\[Observation (\d+): '(.*?)', Action \1: '(.*?)'\]", re.DOTALL)

Pair = tuple[str, str]


@dataclass(kw_only=True)
class _Step:
    """A row and what its prompt says.

    Args:
        taken: How many steps were taken before; None where the template does not say.
        history: The last observations and actions, oldest first.
        copies: How many equal rows there are.
        before: The step that it follows; None at the first one, and where none was found.
        choices: How many steps it may follow as well as that one, itself counted.
    """

    line: int
    task: str
    taken: int | None
    observation: str
    history: Sequence[Pair]
    score: float | None
    train_step: int
    row: Mapping[str, Any]
    copies: int = 1
    before: _Step | None = None
    choices: int = 0
    after: _Step | None = None

    @property
    def did(self) -> str:
        """The action as a later prompt repeats it: lower case, and the end of one without a tag."""
        action = str(self.row["action"]).lower()
        return (action if self.row["tagged"] else action[-30:]).strip()


@reader(
    "verl-agent-bare",
    description="verl-agent dump without the hook: trajectories are inferred",
    run=folder_of,
)
class VerlAgentBare:
    """Trajectories are chained by what the prompts repeat of the steps before; groups are tasks.

    A step follows one that was taken just before it, in the same task, whose observation and action
    end its history and whose own history goes with it. Of several such steps one with the nearest
    score is taken, the first in the file that nothing follows yet, and the step counts as
    ambiguous. Steps whose beginning is not in the file are left out and stated. Where no prompt
    shows a history, each row is a trajectory of its own. The score of a row is that of its episode,
    less a penalty for an invalid action: the highest one of a trajectory is its outcome.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Rows of verl whose output is one action, and that have no ids."""
        keys = first_keys(path, head)
        if not keys >= _KEYS or "traj_uid" in keys:
            return False
        return is_of_verl_agent(first_record(path, head))

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The chained steps; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "verl-agent dumps")
        diagnostics = Diagnostics()
        steps = _distinct(_steps(path, diagnostics))
        _chain(steps)
        rows = [row for first in steps if _begins(first) for row in _rows(first, path)]
        _report(steps, diagnostics, path)
        names = dict.fromkeys(name for row in rows for name in row)
        frame = pl.DataFrame([series(name, [row[name] for row in rows]) for name in names])
        return Part(frame=with_success(frame), diagnostics=diagnostics)


def _steps(path: Path, diagnostics: Diagnostics) -> Iterator[_Step]:
    records = records_of(path, diagnostics, CELLS)
    for line, record in records:
        place = records.place(line)
        values = checked_values(record, _CONVERTERS, diagnostics, place, optional=("score",))
        if values is None:
            continue
        prompt = values["input"]
        taken, now = _TAKEN.search(prompt), _group_of(_NOW.search(prompt))
        if now and "WebShop" in prompt:
            now = now.removesuffix(".")  # its template ends the sentence, that of ALFWorld does not
        yield _Step(
            line=line,
            task=_group_of(_TASK.search(prompt)) or "",
            # A prompt without a history is that of the first step, if it has the template's words.
            taken=int(taken.group(1)) if taken else 0 if "admissible actions" in prompt else None,
            observation=now or prompt,
            history=[(seen.strip(), done.strip()) for _, seen, done in _PAST.findall(prompt)],
            score=values["score"],
            train_step=values["step"],
            row=said(prompt, values["output"]),
        )


def _group_of(match: re.Match[str] | None) -> str | None:
    """Text that the matched alternative captured."""
    if match is None:
        return None
    return next((group.strip() for group in match.groups() if group is not None), None)


def _distinct(steps: Iterator[_Step]) -> list[_Step]:
    """Equal rows once, with their count: the trainer copies rows at random."""
    found: dict[tuple[Any, ...], _Step] = {}
    for step in steps:
        key = (step.train_step, step.row["messages"], str(step.score))
        if key in found:
            found[key].copies += 1
        else:
            found[key] = step
    return list(found.values())


def _chain(steps: Sequence[_Step]) -> None:
    """Give each later step the one that it follows."""
    if not any(step.history for step in steps):
        for step in steps:
            step.taken = None
    by_end: dict[tuple[Any, ...], list[_Step]] = defaultdict(list)
    for step in steps:
        if step.taken is not None:
            by_end[step.train_step, step.taken, step.observation, step.did].append(step)
    for step in sorted(steps, key=lambda step: step.taken or 0):
        if not step.taken or not step.history:
            continue
        candidates = by_end[step.train_step, step.taken - 1, *step.history[-1]]
        fitting = [
            (abs((step.score or 0.0) - (before.score or 0.0)), at, before)
            for at, before in enumerate(candidates)
            if _may_follow(step, before)
        ]
        free = [choice for choice in fitting if choice[2].after is None]
        if free:
            apart, _, step.before = min(free, key=lambda choice: choice[:2])
            step.choices = sum(choice[0] <= apart for choice in fitting)
            step.before.after = step


def _may_follow(step: _Step, before: _Step) -> bool:
    """True if a step's memory agrees with its predecessor's on what came before that.

    The task is compared where both prompts state it: ALFWorld's first prompt has it in the
    observation only.
    """
    remembered, own = list(step.history[:-1]), list(before.history)
    agree = not remembered or not own or own[-len(remembered) :] == remembered[-len(own) :]
    return agree and (step.task in before.observation or before.task in ("", step.task))


def _begins(step: _Step) -> bool:
    return not step.taken


def _line_of(first: _Step) -> list[_Step]:
    chained = [first]
    while (following := chained[-1].after) is not None:
        chained.append(following)
    return chained


def _rows(first: _Step, path: Path) -> Iterator[dict[str, Any]]:
    """The rows of the trajectory that begins with a step."""
    steps = _line_of(first)
    scores = [step.score for step in steps if step.score is not None]
    outcome = max(scores) if scores else None
    task = next((step.task for step in reversed(steps) if step.task), "")
    # Tasks in words repeat over rooms and shops, which the first observation tells apart.
    group = of_step(first.train_step, digest(task, first.observation if first.taken == 0 else ""))
    answers = [*(step.observation for step in steps[1:]), None]
    for index, (step, answer) in enumerate(zip(steps, answers, strict=True)):
        is_last = index == len(steps) - 1
        yield {
            "group_id": group,
            "trajectory_id": f"{group}/{path.stem}:{first.line}",
            "step_index": index,
            "observation": step.observation,
            "next_observation": answer,
            **step.row,
            "segment": index,  # each prompt is written afresh and continues none
            "reward": None if outcome is None else outcome if is_last else 0.0,
            "reward_source": None if outcome is None else "terminal",
            "episode_reward": outcome,
            "train_step": step.train_step,
            "task": task or None,
            "copies": step.copies,
            "score": step.score,
            "reconstructed": RECONSTRUCTED,
            "ambiguous": step.choices > 1,
            "source_line": step.line,
        }


def _report(steps: Sequence[_Step], diagnostics: Diagnostics, path: Path) -> None:
    if not steps:
        return
    later = [step for step in steps if step.taken]
    kinds = Counter(min(step.choices, 2) for step in later)
    hint = "the hook of docs/verl_agent_hook.md writes them into the next dump"
    text = "groups and trajectories are not in the file and were reconstructed from the prompts: "
    if later:
        shares = [f"{kinds[kind] / len(later):.1%}" for kind in (1, 2, 0)]
        text += (
            f"of {len(later)} later steps {shares[0]} follow exactly one earlier step, {shares[1]} "
            f"one of several, {shares[2]} none"
        )
    else:
        text += "no prompt says which steps came before, so each row is a trajectory of its own"
    diagnostics.notice(f"{text}; {hint}", str(path))
    for step in steps:
        if step.taken and not _reaches_start(step):
            rule = "the steps before it are not in the file"
            diagnostics.drop("trajectory", rule, f"{path}:{step.line}")


def _reaches_start(step: _Step) -> bool:
    at: _Step | None = step
    while at is not None and at.taken:
        at = at.before
    return at is not None
