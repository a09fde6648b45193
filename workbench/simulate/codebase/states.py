"""The latent states of a repository under repair and what each command does to them.

A state is which modules are right as they stand, which faults have been traced to their module,
which file is open, whether the tests are quarantined, and what the agent knows from the last run
of the suite. What is wrong where, and what rests on it, are facts of the task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workbench.simulate.codebase.repository import Repository
from workbench.simulate.model import END, IntArray, Model, progress_reward

Mask = npt.NDArray[np.bool_]

RIGHT, WRONG, UNPARSED = range(3)
"""Kinds of lines that an edit writes; one that does not parse is refused."""


class Report(IntEnum):
    """The agent's knowledge from the suite."""

    NEVER = 0
    STALE = 1
    """The suite ran, and the code changed since: known is what failed at first."""
    FRESH = 2
    """The suite ran on the code as it stands."""


class Command(NamedTuple):
    """A verb with the module (or its test, entry or commit) it is about, and what an edit writes.

    -1 where there is none.
    """

    verb: str
    module: int = -1
    line: int = -1


@dataclass(frozen=True, kw_only=True)
class CodeStates:
    """All states of a repository of M modules and B bugs: Z = 2^M · 2^B · (M + 1) · 2 · 3 of them.

    Args:
        repository: The task.
        right: Whether each module is right as it stands. (Z, M) bool.
        traced: Whether each faulty module is known to be one. (Z, B) bool.
        opened: The module in the editor, M for none. (Z,) int64.
        quarantined: Whether the tests were taken out of service. (Z,) bool.
        report: `Report` of each state. (Z,) int64.
    """

    repository: Repository
    right: Mask
    traced: Mask
    opened: IntArray
    quarantined: Mask
    report: IntArray

    def find(
        self, right: Mask, traced: Mask, opened: IntArray, quarantined: Mask, report: IntArray
    ) -> IntArray:
        """Numbers of the states with these contents."""
        digits = (
            *right.T.astype(np.int64),
            *traced.T.astype(np.int64),
            opened,
            quarantined.astype(np.int64),
            report,
        )
        found: IntArray = np.ravel_multi_index(digits, _shape(self.repository))
        return found

    def start(self) -> int:
        """The state in which an episode begins: no file open, nothing run, nothing traced."""
        modules = self.repository.modules
        found = self.find(
            np.array([[not module.faulty for module in modules]]),
            np.zeros((1, len(self.repository.faulty)), dtype=np.bool_),
            np.array([len(modules)]),
            np.array([False]),
            np.array([int(Report.NEVER)]),
        )
        return int(found[0])


def _shape(repository: Repository) -> tuple[int, ...]:
    modules, bugs = len(repository.modules), len(repository.faulty)
    return (*[2] * (modules + bugs), modules + 1, 2, len(Report))


def code_states(repository: Repository) -> CodeStates:
    """Enumerate the states of a repository."""
    modules, bugs = len(repository.modules), len(repository.faulty)
    shape = _shape(repository)
    digits = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1)
    return CodeStates(
        repository=repository,
        right=digits[:, :modules] == 1,
        traced=digits[:, modules : modules + bugs] == 1,
        opened=digits[:, modules + bugs],
        quarantined=digits[:, modules + bugs + 1] == 1,
        report=digits[:, modules + bugs + 2],
    )


def code_commands(modules: int) -> list[Command]:
    """Every command that some state admits, in the order in which they are listed."""
    places = range(modules)
    return [
        Command("suite"),
        *(Command(verb, place) for verb in ("test", "search", "open") for place in places),
        *(Command("edit", place, line) for place in places for line in (RIGHT, WRONG, UNPARSED)),
        *(Command("revert", place) for place in places),
        Command("diff"),
        Command("reset"),
        Command("quarantine"),
        Command("submit"),
    ]


def admitted_commands(states: CodeStates, commands: Sequence[Command]) -> Mask:
    """Mask of possible commands: edits of the open file alone, and only other files opened.

    Returns:
        One row per state, one column per command. (Z, C) bool.
    """
    admitted = np.ones((len(states.opened), len(commands)), dtype=np.bool_)
    for number, (verb, place, _) in enumerate(commands):
        if verb in {"edit", "open"}:
            admitted[:, number] = (states.opened == place) == (verb == "edit")
    return admitted


def code_model(
    states: CodeStates, commands: Sequence[Command], *, slips: float, milestones: float
) -> Model:
    """Transitions of a repository: outcome 0 is the command's effect, outcome 1 a timeout without.

    Submitting ends the episode, and solves it if every module is right and no test quarantined. φ
    is the share of faulty modules that are right.

    Args:
        states: All states of the repository.
        commands: What can be done, as `code_commands` lists it.
        slips: Probability that a command has no effect, in [0, 1).
        milestones: Share of the reward that is paid for progress, in [0, 1).
    """
    admitted = admitted_commands(states, commands)
    effect = np.stack([_effect(states, command) for command in commands], axis=1)
    source, action = np.nonzero(admitted)
    next_state = np.stack([effect[admitted], source], axis=1)
    progress = states.right[:, states.repository.faulty].mean(axis=1)
    sound = states.right.all(axis=1) & ~states.quarantined
    before = progress[source][:, None]
    return Model(
        offsets=np.concatenate([[0], np.cumsum(admitted.sum(axis=1))]),
        action=action,
        next_state=next_state,
        probability=np.broadcast_to([1.0 - slips, slips], next_state.shape),
        reward=progress_reward(
            (next_state == END) & sound[source][:, None],
            before,
            np.where(next_state == END, before, progress[next_state]),
            milestones,
        ),
    )


def informed_commands(states: CodeStates, commands: Sequence[Command]) -> Mask:
    """Mask of an expert's commands, who knows no more than the agent does.

    With the open file known to be wrong: write the right line. Otherwise any of these that apply:
    run the suite where a failing feature may be unknown; test or search a feature that is known
    to fail and is not traced; open or revert a traced module; open a sound module that the suite
    has shown to be spoiled. Where none applies: run the suite if the code changed since, and
    submit if not. In quarantine the suite says that nothing fails: submit.

    Returns:
        One row per state, one column per command; admitted ones alone. (Z, C) bool.
    """
    modules, faulty = states.repository.modules, states.repository.faulty
    wrong = ~states.right & ~states.quarantined[:, None]
    fresh, never = states.report == Report.FRESH, states.report == Report.NEVER
    failing, located = np.zeros_like(wrong), wrong & fresh[:, None]
    unknown = np.zeros_like(never)
    for bug, place in enumerate(faulty):
        known = ~never | modules[place].told
        unknown |= ~known & ~states.traced[:, bug] & ~states.quarantined
        failing[:, place] = wrong[:, place] & known & ~states.traced[:, bug]
        located[:, place] = wrong[:, place] & states.traced[:, bug]
    in_sight = np.stack(
        [located[:, place] & (states.opened == place) for place in range(len(modules))], axis=1
    )
    writing = in_sight.any(axis=1)
    chosen = np.zeros((len(never), len(commands)), dtype=np.bool_)
    for number, (verb, place, line) in enumerate(commands):
        if verb == "edit" and line == RIGHT:
            chosen[:, number] = in_sight[:, place]
        elif verb == "suite":
            chosen[:, number] = ~writing & unknown
        elif verb in {"test", "search"}:
            chosen[:, number] = ~writing & failing[:, place]
        elif verb == "open" or (verb == "revert" and place in faulty):
            chosen[:, number] = ~writing & located[:, place]
    done = ~chosen.any(axis=1)
    certain = fresh | states.quarantined
    chosen[:, commands.index(Command("suite"))] |= done & ~certain
    chosen[:, commands.index(Command("submit"))] = done & certain
    return chosen


def _effect(states: CodeStates, command: Command) -> IntArray:
    """The state after a command that does not time out, for every state. (Z,) int64."""
    verb, place, line = command
    modules, faulty = states.repository.modules, states.repository.faulty
    right, traced, opened = states.right.copy(), states.traced.copy(), states.opened
    quarantined, report = states.quarantined, states.report
    committed = np.array([not module.faulty for module in modules])
    match verb:
        case "submit":
            return np.full(len(opened), END, dtype=np.int64)
        case "suite":
            report = np.full_like(report, Report.FRESH)
        case "quarantine":
            # Without a failing test there is nothing to take out of service.
            quarantined = quarantined | ~right.all(axis=1)
            report = np.full_like(report, Report.FRESH)
        case "open":
            opened = np.full_like(opened, place)
        case "test" if place in faulty:
            traced[:, faulty.index(place)] |= ~right[:, place] & ~quarantined
        case "search" if place in faulty and modules[place].traceable:
            traced[:, faulty.index(place)] = True
        case "edit" if line != UNPARSED:
            right[:, place] = line == RIGHT
        case "revert" if modules[place].separable:
            # From a file that was changed meanwhile a revert ends in a conflict.
            right[:, place] = np.where(
                right[:, place] == committed[place], ~right[:, place], right[:, place]
            )
        case "reset":
            right[:] = committed
    changed = (right != states.right).any(axis=1) & (report == Report.FRESH)
    report = np.where(changed, Report.STALE, report)
    return states.find(right, traced, opened, quarantined, report)
