"""A text household: find things behind doors, clean, heat or cool them, put them in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workbench.simulate.base import Study, Task, check_dials, dial, world
from workbench.simulate.household.layout import draw_layout
from workbench.simulate.household.states import house_actions, house_model, house_states
from workbench.simulate.household.text import HouseNarrator, action_text
from workbench.simulate.model import FloatArray, Model, mixed_policy, steps_to_end

STUDY = Study(
    base={
        "rooms": 1,
        "receptacles": 6,
        "objects": 2,
        "horizon": 20,
        "skill": 0.45,
        "skill_spread": 0.15,
    },
    sweeps={
        "paraphrase": (0.0, 0.6, 1.0),
        "skill": (0.3, 0.6),
        "slips": (0.0, 0.2),
        "aliasing": (0.0, 0.5),
        "milestones": (0.5, 0.9),
    },
)


@world("household", STUDY)
@dataclass(frozen=True, kw_only=True)
class Household:
    """Households in the manner of ALFWorld, small enough to be solved exactly.

    Five goals take turns: put a thing in its place; put it there clean, hot or cool; put two of a
    kind there. The agent walks between rooms and receptacles, opens, closes, takes, puts, uses
    the sink, microwave and fridge, looks, and checks what it carries. Reaching the goal pays 1.
    Doors fall shut when the agent walks away.

    The policy that writes the log mixes, in every latent state z, an expert with blind choice:

        π(a | z) = k · [a ∈ B(z)] / |B(z)| + (1 - k) / |A(z)|

    A(z) are the admissible actions and B(z) those that begin a shortest way to the goal. The
    expert knows where everything is: the wandering that looks like a search comes from the blind
    part. A task's k is `skill` plus a uniform draw from ±`skill_spread`, cut to [0, 1]: tasks
    differ in what the policy makes of them, as they do for a trained agent.

    Degenerate cases: with skill 0 every action is equally likely; with skill 1 and no spread only
    slips and the horizon make it fail; a horizon below the shortest way fails always. Aliasing 1
    leaves only the first observation, the room, slips and the last words of a success.

    Args:
        rooms: Rooms of the house; the first is the kitchen.
        receptacles: Places that hold things, with sink, microwave and fridge.
        objects: Things that can be carried, targets included.
        horizon: Steps after which an episode is cut off.
        gamma: Discount of the true values. At 1 they are probabilities of success, the quantity
            that an outcome-only return estimates without bias.
        skill: k above: 0 is blind, 1 takes a shortest way.
        skill_spread: How far a task's k may lie from `skill`.
        slips: Probability that an action has no effect; the agent reads "Nothing happens."
        aliasing: Share of latent states whose observation only names the room. Which ones is
            drawn once per task, so that a state shows the same at every visit, and a larger share
            contains a smaller one.
        paraphrase: Probability that an observation is reworded. Wording has its own random
            stream: the latent trajectories do not depend on this dial, nor on `aliasing`.
        milestones: Share m of the reward that is paid for progress as it is made: each target
            taken and put in its place, the treatment. At 0 only the solution pays.

    Raises:
        ParameterError: A dial is out of its range.

    Source:
        Shridhar et al., ALFWorld, https://arxiv.org/abs/2010.03768 (tasks and texts).
    """

    name: ClassVar[str]
    study: ClassVar[Study]

    rooms: int = dial(2, low=1, high=3)
    receptacles: int = dial(9, low=6, high=12)
    objects: int = dial(3, low=2, high=3)
    horizon: int = dial(30, low=1, high=200)
    gamma: float = dial(1.0, low=0.0, high=1.0)
    skill: float = dial(0.35, low=0.0, high=1.0)
    skill_spread: float = dial(0.3, low=0.0, high=0.5)
    slips: float = dial(0.05, low=0.0, high=1.0, below_high=True)
    aliasing: float = dial(0.1, low=0.0, high=1.0)
    paraphrase: float = dial(0.3, low=0.0, high=1.0)
    milestones: float = dial(0.0, low=0.0, high=1.0)

    def __post_init__(self) -> None:
        """Check the dials."""
        check_dials(self)

    def task(self, index: int, rng: np.random.Generator) -> Task:
        """Draw one task: its house, its skill and which of its states are aliased."""
        layout = draw_layout(
            index, rooms=self.rooms, receptacles=self.receptacles, objects=self.objects, rng=rng
        )
        states = house_states(layout)
        actions = house_actions(layout)
        model = house_model(states, actions, slips=self.slips, milestones=self.milestones)
        skill = np.clip(self.skill + self.skill_spread * rng.uniform(-1.0, 1.0), 0.0, 1.0)
        return Task(
            text=layout.goal,
            start=states.start(),
            model=model,
            policy=skilled_policy(model, float(skill)),
            actions=[action_text(action, layout) for action in actions],
            narrator=HouseNarrator(
                states=states,
                model=model,
                actions=actions,
                paraphrase=self.paraphrase,
                aliased=rng.random(model.states) < self.aliasing,
            ),
        )


def skilled_policy(model: Model, skill: float) -> FloatArray:
    """A mixture of shortest ways and blind choice, as in the docstring of `Household`.

    Args:
        model: The task's transitions.
        skill: Weight of the shortest ways, in [0, 1].

    Returns:
        Sums to one over the pairs of each state. (P,) float64.
    """
    distance = steps_to_end(model)
    shortest = np.minimum.reduceat(distance, model.offsets[:-1])
    best = distance == np.repeat(shortest, np.diff(model.offsets))
    return mixed_policy(model, best, skill)
