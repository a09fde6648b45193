"""RewardFlow: the best outcome seen from a state, and what a step does to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.log.credit import Term
from workbench.log.segments import difference
from workbench.log.steps import Index, Real, Steps, Truth
from workbench.methods.base import method
from workbench.methods.parts.anchor import anchor_term
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod, Scaled, StateKeyed
from workbench.methods.parts.transitions import END, next_states
from workbench.parameters import parameter
from workbench.states.space import Space


@method(
    "rewardflow",
    summary="R − mean + ω · (ΔV − mean of ΔV in the state), V = best discounted outcome in reach",
    source="arXiv 2603.18859",
    needs=("keys",),
)
@dataclass(frozen=True, kw_only=True)
class RewardFlow(Scaled, StateKeyed, GroupMethod):
    """Rewards that flow backwards along the best observed continuations.

        V(s)  = max(ρ(s), γ max V(s′) over the observed next states)        V(end) = its reward
        x_t   = V(s_{t+1}) − V(s_t)
        A_i   = (R_i − mean_g R) + ω · (x_i − mean_s x)

    ρ(s) is the largest reward that was paid on arriving in s, and 0 where none was; with one
    reward of 1 at the end of a success V is γ to the power of the steps that the shortest observed
    way from s takes.

    Degenerate cases: equal differences in a state give exactly 0, so does a step that is alone in
    its state; a group without a success and without dense rewards has no step term.

    **Conventions**: means without deviations; every trajectory of the group counts as evidence,
    the step's own included; the invalid penalty is taken off the difference; rewards in units of
    one success.

    **Differs from** the released code, whose key for ALFWorld adds the inventory and flags to the
    observation and leaves steps that only look out of the graph (a state key can do the first).
    There are no numbers of it to agree with.

    Source: arXiv 2603.18859; tmlr-group/RewardFlow rewardflow/propagation.py.
    """

    gamma: float = parameter(0.9, "γ, what a step away costs", minimum=0.0, maximum=1.0)
    step_weight: float = parameter(1.0, "ω, weight of the step term", minimum=0.0)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term and the comparison of differences."""
        worth = self.worth(steps)
        state = space.state_key(self.state_key)
        following = next_states(steps, state)
        reward = steps.reward / worth[steps.trajectory]
        value = _best_in_reach(state, following, reward, steps.counted, self.gamma)
        reached = np.where(following == END, reward, np.append(value, 0.0)[following])
        change = difference(reached, value[state]) - self.invalid_penalty * steps.invalid_action
        scores = episode_scores(self, steps, worth)
        counted = steps.counted.astype(np.float64)
        of_change = anchor_term(
            state, change, counted, norm="mean", eps=0.0, factor=self.step_weight
        )
        return {
            "episode": episode_term(self, steps, scores, norm="mean", eps=0.0),
            "step": of_change.with_facts(
                lambda step: {
                    "value": float(value[state[step]]),
                    "next_value": float(reached[step]),
                }
            ),
        }


def _best_in_reach(
    state: Index, following: Index, reward: Real, counted: Truth, gamma: float
) -> Real:
    """V of each state, by as many passes as the longest shortest way has steps. (states,)."""
    ends = (following == END) & counted
    inner = (following != END) & counted
    value = np.zeros(int(state.max()) + 1)
    np.maximum.at(value, following[inner], reward[inner])
    np.maximum.at(value, state[ends], gamma * reward[ends])
    while True:
        better = value.copy()
        np.maximum.at(better, state[inner], gamma * value[following[inner]])
        if np.array_equal(better, value):
            return value
        value = better
