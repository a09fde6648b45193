"""A helpdesk: find out what is wrong before doing what cannot be undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workbench.simulate.base import Study, Task, check_dials, dial, world
from workbench.simulate.helpdesk.states import (
    CAUSES,
    COMPONENTS,
    DEVICES,
    Call,
    Issue,
    informed_choices,
    ticket_calls,
    ticket_model,
    ticket_states,
)
from workbench.simulate.helpdesk.text import TicketNarrator, call_text
from workbench.simulate.model import FloatArray

STUDY = Study(
    base={},
    sweeps={
        "paraphrase": (0.0, 0.6, 1.0),
        "skill": (0.55, 0.85),
        "slips": (0.0, 0.2),
        "aliasing": (0.0, 0.5),
        "milestones": (0.5, 0.9),
    },
    trainable={"issues": 1},
)


@world("helpdesk", STUDY)
@dataclass(frozen=True, kw_only=True)
class Helpdesk:
    """Tickets that are solved by calls of tools, with hidden causes and choices for good.

    A ticket is about broken devices. Each has its fault in one component and for one cause, which
    are hidden at first: `run_diagnostic` reveals the component, `inspect` of that component the
    cause, and exactly one of the fixes cures it. `apply_fix` is refused until `verify_customer`;
    after that a wrong fix spoils the device for good, and reads like a right one. `close_ticket`
    ends the episode and pays 1 if every device is fixed. Every call can be made at any time.

    The causes are facts of the task, the same in all rollouts of a group, as the database behind
    an agent's tools is. The policy does not see them before they are revealed:

        π(a | z) = k · [a ∈ B(z)] / |B(z)| + (1 - k) / (|tools| · |calls of the tool of a|)

    B(z) are the calls of an expert who knows what the agent has found out so far: look where
    nothing is known, fix where the cause is known, close when every device had a fix. So looking
    pays only through the better choices that come after it. The blind part draws a tool, then its
    arguments. A task's k is `skill` plus a uniform draw from ±`skill_spread`, cut to [0, 1].

    Degenerate cases: with skill 0 every tool is equally likely; with skill 1 and no spread only
    slips and the horizon make it fail; a horizon below 1 + 3 · issues + 1 may fail always. With
    aliasing 1 the first observation alone shows the notes.

    Args:
        issues: Broken devices of a ticket.
        horizon: Steps after which an episode is cut off.
        gamma: Discount of the true values; at 1 they are probabilities of success.
        skill: k above: 0 is blind, 1 does what an informed expert does.
        skill_spread: How far a task's k may lie from `skill`.
        slips: Probability that a call times out without effect, as the agent reads.
        aliasing: Share of latent states whose observation only says that the call was processed:
            neither its result nor the notes. Which ones is drawn once per task; a larger share
            contains a smaller one.
        paraphrase: Probability that an observation is reworded. Wording has its own random
            stream: the latent trajectories do not depend on this dial, nor on `aliasing`.
        milestones: Share of the reward that is paid for each device when it is fixed. At 0 only
            closing a solved ticket pays.

    Raises:
        ParameterError: A dial is out of its range.
    """

    name: ClassVar[str]
    study: ClassVar[Study]

    issues: int = dial(2, low=1, high=3)
    horizon: int = dial(20, low=1, high=200)
    gamma: float = dial(1.0, low=0.0, high=1.0)
    skill: float = dial(0.7, low=0.0, high=1.0)
    skill_spread: float = dial(0.15, low=0.0, high=0.5)
    slips: float = dial(0.05, low=0.0, high=1.0, below_high=True)
    aliasing: float = dial(0.1, low=0.0, high=1.0)
    paraphrase: float = dial(0.3, low=0.0, high=1.0)
    milestones: float = dial(0.0, low=0.0, high=1.0, below_high=True)

    def __post_init__(self) -> None:
        """Check the dials."""
        check_dials(self)

    def task(self, index: int, rng: np.random.Generator) -> Task:
        """Draw one ticket: its causes, its skill and which of its states are aliased."""
        issues = _drawn_issues(self.issues, rng)
        states, calls = ticket_states(issues), ticket_calls(len(issues))
        model = ticket_model(states, calls, slips=self.slips, milestones=self.milestones)
        skill = np.clip(self.skill + self.skill_spread * rng.uniform(-1.0, 1.0), 0.0, 1.0)
        best = informed_choices(states, calls)
        policy: FloatArray = skill * best / best.sum(axis=1, keepdims=True)
        policy += (1.0 - skill) * _blind_choice(calls)
        devices = " and the ".join(issue.device for issue in issues)
        return Task(
            text=f"mend the {devices} of a customer and close the ticket",
            start=states.start(),
            model=model,
            policy=policy.ravel(),
            actions=[call_text(call, states) for call in calls],
            narrator=TicketNarrator(
                states=states,
                model=model,
                calls=calls,
                paraphrase=self.paraphrase,
                aliased=rng.random(model.states) < self.aliasing,
            ),
        )


def _blind_choice(calls: Sequence[Call]) -> FloatArray:
    """Chance of each call where a tool is drawn, then its arguments. (C,) float64."""
    tools = [call.tool for call in calls]
    return np.array([1.0 / (len(set(tools)) * tools.count(tool)) for tool in tools])


def _drawn_issues(count: int, rng: np.random.Generator) -> list[Issue]:
    devices = rng.choice(len(DEVICES), count, replace=False).tolist()
    return [
        Issue(
            device=DEVICES[device],
            component=int(rng.integers(len(COMPONENTS))),
            cause=int(rng.integers(len(CAUSES))),
            told=bool(rng.random() < 0.25),
        )
        for device in devices
    ]
