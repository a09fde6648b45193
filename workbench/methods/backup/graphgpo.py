"""GraphGPO: how much nearer to a success each step brought the rollout, on the group's graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from workbench.log.credit import Term
from workbench.log.steps import Index, Real, Steps, Truth
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.anchor import anchor_term
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod, Scaled, StateKeyed
from workbench.methods.parts.success import trajectory_success
from workbench.methods.parts.transitions import END, last_steps, next_states
from workbench.parameters import parameter
from workbench.states.space import Space

GOAL = "success"
"""Text that the released code writes as the state after a success."""


_SHIPPED = {
    "path_reward": "distance",
    "path_scale": 10.0,
    "ends": "next_observation",
    "population": "steps",
    "group_of_one": "raw",
    "count_copies": True,
    "reward_scale": 1.0,
}
_SHIPPED_TRAITS = ("steps-population", "counts-copies", "raw-group-of-one")
_CODE = "zzj1111/alfworldauto recipe/GraphGPO/core_graph.py"


@method(
    "graphgpo",
    summary="w_E · GRPO's term + w_G · z in the state of γ^(hops to a success after − before + 1)",
    source="arXiv 2605.26684",
    needs=("keys",),
    dialects=(
        Dialect(
            name="verl-agent",
            invalid_penalty=0.1,
            source=f"{_CODE}, its runs of ALFWorld",
            fields=_SHIPPED,
            traits=_SHIPPED_TRAITS,
            golden={
                "graphgpo_path_return": Golden(output="path_reward"),
                "graphgpo_std": Golden(),
            },
        ),
        Dialect(
            name="verl-agent-webshop",
            invalid_penalty=0.1,
            source=f"{_CODE}, its runs of WebShop",
            fields={**_SHIPPED, "gamma": 0.2},
            traits=_SHIPPED_TRAITS,
        ),
        Dialect(
            name="verl-agent-sokoban",
            invalid_penalty=0.1,
            source=f"{_CODE}, its run of Sokoban",
            fields={**_SHIPPED, "gamma": 0.8},
            traits=_SHIPPED_TRAITS,
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class GraphGPO(Scaled, StateKeyed, GroupMethod):
    """Shortest ways to a success on the graph of all transitions of a group.

        d(s)  = fewest observed transitions from s to a success; one more than the largest finite
                d of the group where none leads there
        x_i   = c · γ^(d(s′) − d(s) + 1)        or        c · γ^d(s′)
        A_i   = w_E · (R_i − μ_g)/(σ_g + eps) + w_G · (x_i − mean_s x)/(std_s x + eps)

    Degenerate cases: in a group without a success all states are one hop away, and the step term
    is exactly 0; so it is where the steps of a state lead equally far, and for a step that is
    alone in its state.

    **Conventions**: ddof 1 and eps 1e-6 in both terms, the step itself included; a failure's end is
    a state from which no success is reached; where success is not defined (see `proxmo`) a group
    counts as without one; a step gains at most one hop, its own, even where its rollout is outside
    the statistics and adds no transition; the invalid penalty is taken off x.

    **Differs from** the released code, whose runs count hops left after the step, times 10
    (`normalize_distance=False`), with γ .1 in ALFWorld, .2 in WebShop and .8 in Sokoban, take .1
    off an invalid action, and which takes the log's `next_observation` as the state after
    a step, so that the end of a failure may be a state of another rollout, and the text "success"
    as the goal (dialect); an environment that shows that text becomes the goal there.

    Source: arXiv 2605.26684.
    """

    gamma: float = parameter(
        0.1, "γ, what each hop away from a success costs", minimum=0.0, maximum=1.0
    )
    path_reward: Literal["progress", "distance"] = parameter(
        "progress", "whether x counts hops gained by the step, or hops left after it"
    )
    path_scale: float = parameter(1.0, "c, what x is multiplied with", minimum=0.0)
    episode_weight: float = parameter(1.0, "w_E, weight of GRPO's term", minimum=0.0)
    step_weight: float = parameter(1.0, "w_G, weight of the step term", minimum=0.0)
    success_threshold: float | None = parameter(None, "reward from which on a trajectory succeeds")
    ends: Literal["outcome", "next_observation"] = parameter(
        "outcome",
        "what the last step of a trajectory leads to: its outcome, or the state that the log's "
        "next_observation names",
    )
    eps: float = parameter(1e-6, "added to a deviation before dividing", minimum=0.0)

    def needs(self) -> Sequence[str]:
        """Keys and what they need; the column next_observation where it names the ends."""
        named = ("next_observation",) if self.ends == "next_observation" else ()
        return (*super().needs(), *named)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """GRPO's term and the comparison of ways."""
        scores = episode_scores(self, steps, self.worth(steps))
        state, hops, after, path = self._ways(steps, space)
        counted = steps.counted.astype(np.float64)
        weight = counted * steps.copies if self.count_copies else counted
        ways = anchor_term(state, path, weight, norm="std", eps=self.eps, factor=self.step_weight)
        return {
            "episode": episode_term(
                self, steps, scores, norm="std", eps=self.eps, factor=self.episode_weight
            ),
            "step": replace(ways, outputs={"path_reward": path}).with_facts(
                lambda step: {
                    "hops_before": float(hops[state[step]]),
                    "hops_after": float(after[step]),
                }
            ),
        }

    def _ways(self, steps: Steps, space: Space) -> tuple[Index, Real, Real, Real]:
        """State of each step, hops from each state, hops after each step, x less its penalty."""
        if self.ends == "next_observation":
            state, following, goal = _named_ends(steps)
        else:
            state = space.state_key(self.state_key)
            following = next_states(steps, state)
            reward = steps.episode_reward / self.worth(steps)
            success, defined = trajectory_success(steps, reward, self.success_threshold)
            won = success & defined[steps.trajectory_group]
            goal = last_steps(steps) & won[steps.trajectory]
        hops, after = _hops(state, following, goal, steps.counted, steps.group)
        # Only a step that is no evidence itself could seem to gain more than one hop.
        gained = np.minimum(hops[state] - after, 1.0)
        exponent = after if self.path_reward == "distance" else 1.0 - gained
        path = self.path_scale * self.gamma**exponent
        return state, hops, after, path - self.invalid_penalty * steps.invalid_action


def _named_ends(steps: Steps) -> tuple[Index, Index, Truth]:
    """States and next states by the texts of both columns, and which steps lead to the goal."""
    observation, following = steps.column("observation"), steps.column("next_observation")
    text = pl.concat([observation, following])
    keys = pl.DataFrame({"group": np.tile(steps.group, 2), "text": text})
    distinct = keys.unique(maintain_order=True).with_row_index("key")
    joined = keys.join(distinct, on=["group", "text"], maintain_order="left", nulls_equal=True)
    key = joined["key"].to_numpy().astype(np.int64)
    goal = (following == GOAL).fill_null(value=False).to_numpy()
    return key[: len(steps)], key[len(steps) :], goal


def _hops(
    state: Index, following: Index, goal: Truth, counted: Truth, group: Index
) -> tuple[Real, Real]:
    """Hops to a success from each state, and after each step; see `GraphGPO`."""
    states = int(max(state.max(), following.max())) + 1
    hops = np.full(states + 1, np.inf)  # the last stands for END: no success from there
    following = np.where(following == END, states, following)
    while True:
        after = np.where(goal, 0.0, hops[following])
        nearer = hops.copy()
        np.minimum.at(nearer, state[counted], 1.0 + after[counted])
        if np.array_equal(nearer, hops):
            break
        hops = nearer
    farthest = np.zeros(int(group.max()) + 1)
    finite = np.isfinite(hops[state])
    np.maximum.at(farthest, group[finite], hops[state][finite])
    of_state = np.zeros(states + 1, dtype=np.int64)
    of_state[state] = group
    hops = np.where(np.isfinite(hops), hops, farthest[of_state] + 1.0)
    return hops, np.where(np.isfinite(after), after, farthest[group] + 1.0)
