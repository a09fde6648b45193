"""Soft CRBC: values backed up through near states as well as equal ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from workbench.log.credit import Peers, Term, no_peers
from workbench.log.segments import difference, discounted_returns, segment_sum
from workbench.log.steps import Index, Real, Steps
from workbench.methods.backup.crbc import SCALE_FLOOR
from workbench.methods.base import method
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import BackupMethod, GroupMethod
from workbench.methods.parts.kernel import near_weights
from workbench.methods.parts.transitions import END, Transitions, last_steps, transitions
from workbench.parameters import parameter
from workbench.states.keys import parse_action_key
from workbench.states.space import Space


@dataclass(frozen=True, kw_only=True)
class NearValues:
    """Kernel estimates from near states per step. Each (S,) float64.

    Args:
        outcome: G, the λ-return of the step itself.
        value: V of its state, the mean outcome of near steps.
        gap: Mean of G − V over near steps with its action, each V that of the step's own state.
        deviation: Root mean square of such gaps over the actions of near steps.
        evidence: n, near steps with its action, those in the nearest states counting 1.
    """

    outcome: Real
    value: Real
    gap: Real
    deviation: Real
    evidence: Real


@method(
    "soft-crbc",
    summary="mean of G − V over near steps with the action; V a mean of near λ-returns it closes",
    source="ours; Ormoneit & Sen 2002 on the closure of crbc",
    needs=("similarity", "keys"),
)
@dataclass(frozen=True, kw_only=True)
class SoftCRBC(BackupMethod, GroupMethod):
    """Bellman closure on proximity: every step of the group speaks for the states near its own.

        k_ij = e^((sim(o_i, o_j) − max_j sim) / τ_i)                 over the steps of the group
        G_t  = r_t + λ ((1 − ρ) V(o_{t+1}) + ρ G_{t+1})              0 after the end
        V(o_i) = Σ_j k_ij G_j / Σ_j k_ij
        S_i  = Σ_j k_ij (G_j − V(o_j)) / (n_i + c)      j with i's action, n_i = Σ_j k_ij over them
        A_i  = w_G · A_GRPO + w_S · S_i                 S_i over max(σ_i, .1) if `step_norm="std"`

    Each state has a bandwidth τ_i of its own, at which the steps near it average as much as a
    given number of equally weighted ones (see `near_weights`): a number of steps means the same
    whatever unit an embedder's similarities have. Each outcome is compared with the value of its
    own state, so that a near step in a better state does not make its action look better. c is
    evidence for no advantage: it draws to 0 what few steps say. V is one linear system per group
    over its distinct states, solved exactly. The trace ρ says how far a rollout's own outcome is
    believed beyond the next state: at 0 all of it comes from V, which is best where the text shows
    the whole state; at 1 nothing does, and V is a mean of Monte-Carlo returns. σ_i is the root mean
    square of the gaps of the actions of near steps, c left out. With one neighbour, ρ = c = 0, what
    is left is `crbc` on exact keys.

    Degenerate cases: S is 0 for a step outside the statistics whose action no near step took;
    groups whose rewards are all 0 give exactly 0, as do equal rewards of groups whose rollouts have
    one step; in a group of no more steps than neighbours all are equally near, as they are to a
    state without a word.

    **Conventions**: all steps of the group are evidence, its own trajectory's included; rewards in
    units of one success; no episode term by default; GRPO's term as in `grpo`; the invalid penalty
    is taken off the step's reward.

    **Differs from** `crbc` by the kernel in place of keys, by trace and c, and by its defaults:
    λ .95, the step term alone and undivided; from kernel-based reinforcement learning by the
    policy's own action frequencies in place of a maximum over actions. Neighbours, ρ, λ and c were
    chosen on simulated households and helpdesks of seeds 1000 to 1007, with TF-IDF and, on three of
    them, MiniLM vectors (`workbench bench fidelity` has other seeds of these worlds, and a world
    that played no part).

    Source: ours; Ormoneit and Sen, Kernel-Based Reinforcement Learning, Machine Learning 49, 2002;
    Sutton and Barto, Reinforcement Learning, 2nd edition, section 12.1 (the λ-return).
    """

    tunable: ClassVar[str] = "neighbours"
    tunable_symbol: ClassVar[str] = "n"

    neighbours: float = parameter(
        10.0, "how many steps, equally weighted, average as much as those near a state", minimum=1.0
    )
    trace: float = parameter(
        0.75, "ρ, share of a rollout's own outcome beyond the next state", minimum=0.0, maximum=1.0
    )
    prior: float = parameter(
        1.0, "c, how many steps' worth of evidence for no advantage S is drawn to 0 by", minimum=0.0
    )
    continuation: float = parameter(
        0.95, "λ, what the value of the next state is multiplied with", minimum=0.0, maximum=1.0
    )
    action_key: str = parameter(
        "text", "key by which steps take the same action", parse=parse_action_key
    )
    episode_weight: float = parameter(0.0, "w_G, weight of GRPO's term", minimum=0.0)
    step_weight: float = parameter(1.0, "w_S, weight of the step term", minimum=0.0)
    step_norm: Literal["none", "std"] = parameter(
        "none",
        "whether the step term is divided by the deviation of the values in its state, at least .1",
    )

    def candidates(self, space: Space) -> Sequence[float]:
        """Numbers of neighbours to try: halves of an octave from 1 to 128."""
        return [round(2 ** (half / 2), 1) for half in range(15)]

    def target(self, steps: Steps) -> Real:
        """λ-discounted return of each step in units of one success, less its penalty. (S,)."""
        return discounted_returns(self.step_reward(steps), steps.step_index, self.continuation)

    def held_out_baselines(
        self, steps: Steps, space: Space, score: Real, weight: Real, values: Sequence[float]
    ) -> Iterator[tuple[int, Real]]:
        """V of each step's state, closed over the other trajectories of its group alone.

        Yields:
            Place of a number of neighbours, and the baseline of the centred returns (S,) float64.
        """
        centre = self.target(steps) - score
        graph = self._transitions(steps, space)
        # Groups inside of values, though they are built again for each: who waits sees it move on.
        for k, neighbours in enumerate(values):
            baseline = np.zeros(len(steps))
            with threadpool_limits(limits=1, user_api="blas"):
                for here, group in self._groups(steps, space, graph):
                    near = replace(group, neighbours=neighbours)
                    baseline[here] = near.held_out(steps.trajectory[here])
            yield k, baseline - centre

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """GRPO's term and the gap between action and state."""
        similarity = space.similarity()
        graph = self._transitions(steps, space)
        with threadpool_limits(limits=1, user_api="blas"):
            found = [group.near_values() for _, group in self._groups(steps, space, graph)]
        known = NearValues(
            **{
                field.name: np.concatenate([getattr(each, field.name) for each in found])
                for field in fields(NearValues)
            }
        )
        # Evidence of 0 comes with a gap of 0; the smallest float keeps 0 out of the divisor.
        drawn = known.evidence / (known.evidence + self.prior + np.finfo(np.float64).tiny)
        factor = self.step_weight * drawn
        if self.step_norm == "std":
            factor /= np.maximum(known.deviation, SCALE_FLOOR)

        def peers(step: int) -> Peers:
            group = int(graph.group[step])
            first = int(similarity.states.start[group])
            members = np.flatnonzero((graph.group == group) & (graph.weight > 0))
            if not len(members):
                return no_peers(step)
            places = graph.state[members] - first
            row = similarity.rows(group, graph.state[step : step + 1] - first)
            evidence = segment_sum(graph.weight[members], places, similarity.size(group))
            weight = near_weights(row, evidence, self.neighbours)
            share = graph.weight[members] * weight[0, places]
            return Peers(
                step=members,
                weight=share / share.sum(),
                value=known.outcome[members],
                similarity=row[0, places],
            )

        def facts(step: int) -> dict[str, Any]:
            return {
                "own_outcome": float(known.outcome[step]),
                "evidence": float(known.evidence[step]),
                "state_std": float(known.deviation[step]),
            }

        return {
            "episode": episode_term(
                self,
                steps,
                episode_scores(self, steps, self.worth(steps)),
                norm="std",
                eps=self.eps,
                factor=self.episode_weight,
            ),
            "step": Term(
                score=known.value + known.gap,
                baseline=known.value,
                factor=factor,
                peers=peers,
                facts=facts,
            ),
        }

    def _transitions(self, steps: Steps, space: Space) -> Transitions:
        return transitions(
            steps,
            space.similarity().states.state,
            space.action_key(self.action_key),
            reward=self.step_reward(steps),
            truncated_as=self.truncated_as,
        )

    def _groups(
        self, steps: Steps, space: Space, graph: Transitions
    ) -> Iterator[tuple[slice, _Group]]:
        """Bounds of each group, and the group; one block of similarities at a time is needed."""
        similarity, action = space.similarity(), space.action_key(self.action_key)
        carried = self.continuation * self.trace
        paid = discounted_returns(graph.reward, steps.step_index, carried)
        # A trajectory's last step, if it goes on at all, has no outcome of its own beyond.
        share = self.continuation * np.where(last_steps(steps), 1.0, 1.0 - self.trace)
        for number, (first, last) in enumerate(pairwise(steps.group_start)):
            here = slice(int(first), int(last))
            start, states = int(similarity.states.start[number]), similarity.size(number)
            on = np.flatnonzero(graph.next_state[here] != END)
            later = np.zeros((last - first, states))
            later[on, graph.next_state[here][on] - start] = share[here][on]
            yield (
                here,
                _Group(
                    similarity=similarity.block(number),
                    neighbours=self.neighbours,
                    state=graph.state[here] - start,
                    action=np.unique(action[here], return_inverse=True)[1],
                    weight=graph.weight[here],
                    paid=paid[here],
                    later=discounted_returns(later, steps.step_index[here], carried),
                ),
            )


@dataclass(frozen=True, kw_only=True)
class _Group:
    """One group: n distinct states and m steps, states and actions numbered from 0.

    The outcome of step j is paid_j + Σ_s later_js V(s).
    """

    similarity: Real
    neighbours: float
    state: Index
    action: Index
    weight: Real
    paid: Real
    later: Real

    @cached_property
    def _near(self) -> tuple[Real, Real]:
        """Share of a step in each state in the means of each (n, n), and what shares are of (n,).

        All 0 in a group without evidence.
        """
        visits = segment_sum(self.weight, self.state, len(self.similarity))
        weight = near_weights(self.similarity, visits, self.neighbours)
        total = weight @ visits
        return weight / np.where(total > 0, total, 1.0)[:, None], total

    def values(self) -> Real:
        """V of each state. (n,) float64."""
        share, _ = self._near
        moved = share @ _summed(self.weight[:, None] * self.later, self.state)
        constant = share @ _summed(self.weight * self.paid, self.state)
        return np.asarray(np.linalg.solve(np.identity(len(share)) - moved, constant))

    def held_out(self, trajectory: Index) -> Real:
        """V at each step's state without its own trajectory; 0 without any other. (m,) float64."""
        value = np.zeros(len(self.state))
        for one in np.unique(trajectory):
            own = trajectory == one
            others = replace(self, weight=np.where(own, 0.0, self.weight))
            value[own] = others.values()[self.state[own]]
        return value

    def near_values(self) -> NearValues:
        """Kernel estimates of each step's value from near states."""
        values = self.values()
        outcome, value = self.paid + self.later @ values, values[self.state]
        share, total = self._near
        near = share[:, self.state] * self.weight
        by_action = _summed(near.T, self.action).T
        gap = _summed((near * difference(outcome, value)).T, self.action).T
        gap /= np.where(by_action > 0, by_action, 1.0)
        at = (self.state, self.action)
        return NearValues(
            outcome=outcome,
            value=value,
            gap=gap[at],
            deviation=np.sqrt((by_action * gap**2).sum(axis=1))[self.state],
            evidence=by_action[at] * total[self.state],
        )


def _summed(values: Real, label: Index) -> Real:
    """Sums of the rows that have each label; every label from 0 on occurs."""
    order = np.argsort(label, kind="stable")
    start = np.flatnonzero(np.diff(label[order], prepend=-1))
    return np.asarray(np.add.reduceat(values[order], start, axis=0))
