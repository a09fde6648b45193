"""The latent states of a helpdesk ticket and what each call of a tool does to them.

A state is whether the customer is verified and, for each device, what the agent knows of it and
what has become of it. The causes themselves are facts of the ticket, the same in all its
episodes: they decide what calls reveal and repair, and no state holds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workbench.simulate.model import END, IntArray, Model, progress_reward

Mask = npt.NDArray[np.bool_]

DEVICES = ("printer", "router", "laptop", "phone", "scanner", "headset")
COMPONENTS = ("firmware", "network", "battery")
CAUSES = ("a stale cache", "an expired licence", "a corrupt profile", "a broken part")
FIXES = ("restart", "renewal", "reset", "replacement")  # by the cause that they cure


class Known(IntEnum):
    """The agent's knowledge of a device."""

    NOTHING = 0
    COMPONENT = 1
    CAUSE = 2


class Status(IntEnum):
    """State of a device; no observation tells fixed from spoiled."""

    BROKEN = 0
    FIXED = 1
    SPOILED = 2


@dataclass(frozen=True, kw_only=True)
class Issue:
    """One broken device of a ticket.

    Args:
        device: Its name.
        component: Where the fault is, an index into `COMPONENTS`.
        cause: What it is and which fix cures it, an index into `CAUSES` and `FIXES`.
        told: Whether the customer's message names the component.
    """

    device: str
    component: int
    cause: int
    told: bool


class Call(NamedTuple):
    """A tool with the device (as a place among the issues) and the option that it is called with.

    The option is a component for `inspect`, a fix for `apply_fix`; -1 where there is none.
    """

    tool: str
    issue: int = -1
    option: int = -1


@dataclass(frozen=True, kw_only=True)
class TicketStates:
    """All states of a ticket of I issues, Z = 2 · 9^I of them.

    Args:
        issues: The issues.
        verified: Whether the customer's identity is confirmed. (Z,) bool.
        known: `Known` of each device. (Z, I) int64.
        status: `Status` of each device. (Z, I) int64.
    """

    issues: Sequence[Issue]
    verified: Mask
    known: IntArray
    status: IntArray

    def find(self, verified: Mask, known: IntArray, status: IntArray) -> IntArray:
        """Numbers of the states with these contents."""
        digits = (verified.astype(np.int64), *known.T, *status.T)
        found: IntArray = np.ravel_multi_index(digits, _shape(len(self.issues)))
        return found

    def start(self) -> int:
        """The state in which an episode begins."""
        told = [[Known.COMPONENT if issue.told else Known.NOTHING for issue in self.issues]]
        broken = np.zeros((1, len(self.issues)), dtype=np.int64)
        return int(self.find(np.array([False]), np.array(told, dtype=np.int64), broken)[0])


def _shape(issues: int) -> tuple[int, ...]:
    return (2, *[len(Known)] * issues, *[len(Status)] * issues)


def ticket_states(issues: Sequence[Issue]) -> TicketStates:
    """Enumerate the states of a ticket."""
    shape = _shape(len(issues))
    digits = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1)
    return TicketStates(
        issues=issues,
        verified=digits[:, 0] == 1,
        known=digits[:, 1 : 1 + len(issues)],
        status=digits[:, 1 + len(issues) :],
    )


def ticket_calls(issues: int) -> list[Call]:
    """Every call of a tool; each can be made in every state, as tools can."""
    devices = range(issues)
    return [
        Call("verify_customer"),
        *(Call("run_diagnostic", issue) for issue in devices),
        *(Call("inspect", issue, part) for issue in devices for part in range(len(COMPONENTS))),
        *(Call("apply_fix", issue, fix) for issue in devices for fix in range(len(FIXES))),
        Call("send_update"),
        Call("close_ticket"),
    ]


def ticket_model(
    states: TicketStates, calls: Sequence[Call], *, slips: float, milestones: float
) -> Model:
    """Transitions of a ticket: outcome 0 is the call's effect, outcome 1 a timeout without any.

    Closing ends the episode, and solves it if every device is fixed. φ is the share of fixed
    devices.

    Args:
        states: All states of the ticket.
        calls: What can be done, as `ticket_calls` lists it.
        slips: Probability that a call has no effect, in [0, 1).
        milestones: Share of the reward that is paid for progress, in [0, 1].
    """
    count = len(states.verified)
    effect = np.stack([_effect(states, call) for call in calls], axis=1).ravel()
    source = np.repeat(np.arange(count), len(calls))
    next_state = np.stack([effect, source], axis=1)
    progress = (states.status == Status.FIXED).mean(axis=1)
    solved = (next_state == END) & (progress[source] == 1.0)[:, None]
    before = progress[source][:, None]
    after = np.where(next_state == END, before, progress[next_state])
    return Model(
        offsets=np.arange(count + 1) * len(calls),
        action=np.tile(np.arange(len(calls)), count),
        next_state=next_state,
        probability=np.broadcast_to([1.0 - slips, slips], next_state.shape),
        reward=progress_reward(solved, before, after, milestones),
    )


def informed_choices(states: TicketStates, calls: Sequence[Call]) -> Mask:
    """Mask of an expert's calls, who knows no more than the agent does.

    For the first device without a fix: find the component, then the cause, then apply what cures
    it; verify the customer at any time before. With a fix on every device, right or wrong: close.

    Returns:
        One row per state, one column per call. (Z, C) bool.
    """
    untouched = states.status == Status.BROKEN
    done = ~untouched.any(axis=1)
    first = untouched.argmax(axis=1)
    chosen = np.zeros((len(states.verified), len(calls)), dtype=np.bool_)
    for number, (tool, place, option) in enumerate(calls):
        if tool == "verify_customer":
            chosen[:, number] = ~states.verified & ~done
        elif tool == "close_ticket":
            chosen[:, number] = done
        elif place >= 0:
            issue, known = states.issues[place], states.known[:, place]
            wanted = {
                "run_diagnostic": known == Known.NOTHING,
                "inspect": (known == Known.COMPONENT) & (option == issue.component),
                "apply_fix": (known == Known.CAUSE) & states.verified & (option == issue.cause),
            }
            chosen[:, number] = ~done & (first == place) & wanted[tool]
    return chosen


def _effect(states: TicketStates, call: Call) -> IntArray:
    """The state after a call that does not time out, for every state. (Z,) int64."""
    tool, place, option = call
    verified, known, status = states.verified, states.known.copy(), states.status.copy()
    if tool == "close_ticket":
        return np.full(len(verified), END, dtype=np.int64)
    if tool == "verify_customer":
        verified = np.ones_like(verified)
    elif tool == "run_diagnostic":
        known[:, place] = np.maximum(known[:, place], Known.COMPONENT)
    elif tool == "inspect" and option == states.issues[place].component:
        known[:, place] = Known.CAUSE
    elif tool == "apply_fix":
        cures = option == states.issues[place].cause
        # Nothing mends what a wrong fix spoiled, and a wrong fix spoils what was fixed.
        kept = (status[:, place] != Status.SPOILED) & cures
        fixed = np.where(kept, Status.FIXED, Status.SPOILED)
        status[:, place] = np.where(verified, fixed, status[:, place])
    return states.find(verified, known, status)
