"""Soft CRBC: values backed up through near states as well as equal ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from workbench.estimators.base import estimator
from workbench.estimators.crbc import SCALE_FLOOR, BackupMethod
from workbench.estimators.credit import Peers, Term
from workbench.estimators.transitions import END, Transitions, transitions
from workbench.keys import parse_action_key
from workbench.octaves import STOPS
from workbench.parameters import parameter
from workbench.returns import difference, discounted_returns, segment_sum
from workbench.space import Space
from workbench.steps import Index, Real, Steps


@dataclass(frozen=True, kw_only=True)
class KernelValues:
    """What near states say of each step. Each (S,) float64.

    Args:
        outcome: G, the λ-return of the step itself.
        quality: Q, the mean outcome of near steps with the step's action.
        value: V, the mean outcome of all near steps.
        deviation: Deviation of Q over the actions of near steps.
        evidence: How many equally weighted steps average as much as those behind Q.
    """

    outcome: Real
    quality: Real
    value: Real
    deviation: Real
    evidence: Real


@estimator(
    "soft-crbc",
    summary="Q − V, softmax(similarity / τ)-weighted means of λ-returns that V itself closes",
    source="ours; Ormoneit & Sen 2002 on the closure of crbc",
    needs=("similarity", "keys"),
)
@dataclass(frozen=True, kw_only=True)
class SoftCRBC(BackupMethod):
    """Bellman closure on proximity: every step of the group speaks for the states near its own.

        k_ij = softmax_j(sim(o_i, o_j)/τ)                            over the steps of the group
        G_t  = r_t + λ ((1 − ρ) V(o_{t+1}) + ρ G_{t+1})              0 after the end
        V(o_i) = Σ_j k_ij G_j        Q_i = the same mean over the steps j with i's action
        S_i  = Q_i − V(o_i),  divided by max(σ_i, .1) under `step_norm="std"`
        A_i  = w_G · A_GRPO + w_S · S_i

    V is one linear system a group over its distinct states, solved exactly; σ_i is the deviation
    of Q under the actions of near steps. The trace ρ says how far a rollout's own outcome is
    believed beyond the next state: at 0 all of it comes from V, which is best where the text shows
    the whole state; at 1 nothing does and Q, V are kernel means of Monte-Carlo returns. As τ → 0
    and ρ = 0 what is left is `crbc` on exact keys.

    Degenerate cases: where near steps all took the same action Q is V and S is 0, as it is for a
    step outside the statistics whose action was taken too far away for its weight to be a float;
    groups whose rewards are all 0 give exactly 0, as do equal rewards of groups whose rollouts have
    one step; states without a word are equally near to all.

    **Conventions**: all steps of the group are evidence, its own trajectory's included; rewards in
    units of one success; no episode term by default; GRPO's term as in `grpo`; the invalid penalty
    is taken off the step's reward.

    **Differs from** `crbc` by the kernel in place of keys, by the trace, and by its defaults, step
    term alone and undivided; from kernel-based reinforcement learning by the policy's own action
    frequencies in place of a maximum over actions. τ .3 and ρ .8 were chosen on simulated
    households and helpdesks with TF-IDF vectors (`workbench bench fidelity` has other seeds of
    them, and a world that played no part).

    Source: ours; Ormoneit and Sen, Kernel-Based Reinforcement Learning, Machine Learning 49, 2002;
    Sutton and Barto, Reinforcement Learning, 2nd edition, section 12.1 (the λ-return).
    """

    tunable: ClassVar[str] = "temperature"
    tunable_symbol: ClassVar[str] = "τ"

    temperature: float = parameter(
        0.3, "τ, how fast weight falls with distance", minimum=0.0, minimum_exclusive=True
    )
    trace: float = parameter(
        0.8, "ρ, share of a rollout's own outcome beyond the next state", minimum=0.0, maximum=1.0
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
        """Temperatures to try: halves of an octave from 0.02 to 5."""
        return STOPS[8::4]

    def target(self, steps: Steps) -> Real:
        """λ-discounted return of each step in units of one success, less its penalty. (S,)."""
        return discounted_returns(self.step_reward(steps), steps.step_index, self.continuation)

    def held_out_baselines(
        self, steps: Steps, space: Space, score: Real, weight: Real, values: Sequence[float]
    ) -> Iterator[tuple[int, Real]]:
        """V of each step's state, closed over the other trajectories of its group alone.

        Yields:
            Place of a temperature, and the baseline of the centred returns under it (S,) float64.
        """
        centre = self.target(steps) - score
        graph = self._transitions(steps, space)
        baseline = np.zeros((len(values), len(steps)))
        with threadpool_limits(limits=1, user_api="blas"):
            for here, group in self._groups(steps, space, graph):
                for k, temperature in enumerate(values):
                    near = replace(group, temperature=temperature)
                    baseline[k, here] = near.held_out(
                        steps.trajectory[here], self.continuation, self.trace
                    )
        yield from enumerate(baseline - centre)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """GRPO's term and the gap between action and state."""
        similarity = space.similarity()
        graph = self._transitions(steps, space)
        found = {name: np.zeros(len(steps)) for name in KernelValues.__dataclass_fields__}
        with threadpool_limits(limits=1, user_api="blas"):
            for here, group in self._groups(steps, space, graph):
                for name, values in group.closure(self.continuation, self.trace).items():
                    found[name][here] = values
        known = KernelValues(**found)
        gap = difference(known.quality, known.value)
        factor = np.full(len(steps), self.step_weight)
        if self.step_norm == "std":
            factor /= np.maximum(known.deviation, SCALE_FLOOR)

        def peers(step: int) -> Peers:
            group = int(graph.group[step])
            first = int(similarity.states.start[group])
            members = np.flatnonzero((graph.group == group) & (graph.weight > 0))
            own = similarity.states.state[step : step + 1] - first
            near = similarity.rows(group, own)[0][similarity.states.state[members] - first]
            if not len(members):
                return Peers(step=members, weight=near, value=near)
            share = graph.weight[members] * np.exp((near - near.max()) / self.temperature)
            return Peers(
                step=members,
                weight=share / share.sum(),
                value=known.outcome[members],
                similarity=near,
            )

        def facts(step: int) -> dict[str, Any]:
            return {
                "own_outcome": float(known.outcome[step]),
                "evidence": float(known.evidence[step]),
                "state_std": float(known.deviation[step]),
            }

        return {
            "episode": self.episode(steps),
            "step": Term(
                score=known.value + gap,
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
        """Where each group lies, and the group; one block of similarities at a time is needed."""
        similarity, action = space.similarity(), space.action_key(self.action_key)
        for number, (first, last) in enumerate(pairwise(steps.group_start)):
            here = slice(int(first), int(last))
            start = int(similarity.states.start[number])
            following = graph.next_state[here]
            yield (
                here,
                _Group(
                    similarity=similarity.block(number),
                    temperature=self.temperature,
                    state=graph.state[here] - start,
                    following=np.where(following == END, END, following - start),
                    action=np.unique(action[here], return_inverse=True)[1],
                    step_index=steps.step_index[here],
                    reward=graph.reward[here],
                    weight=graph.weight[here],
                ),
            )


@dataclass(frozen=True, kw_only=True)
class _Group:
    """One group: n distinct states and m steps, states and actions numbered from 0."""

    similarity: Real
    temperature: float
    state: Index
    following: Index
    action: Index
    step_index: Index
    reward: Real
    weight: Real

    def _kernel(self) -> Real:
        """e^(similarity / τ), 1 at the nearest state with evidence, 0 without any. (n, n)."""
        known = segment_sum(self.weight, self.state, len(self.similarity)) > 0
        if not known.any():
            return np.zeros_like(self.similarity)
        near = np.where(known, self.similarity, -np.inf)
        return np.asarray(np.exp((near - near.max(axis=1, keepdims=True)) / self.temperature))

    def closure(self, continuation: float, trace: float) -> dict[str, Real]:
        """The fields of `KernelValues`. Each (m,) float64."""
        kernel = self._kernel()
        states, steps = len(kernel), np.arange(len(self.state))
        evidence = csr_array((self.weight, (self.state, steps)), shape=(states, len(steps)))
        total = kernel @ segment_sum(self.weight, self.state, states)
        divisor = np.where(total > 0, total, 1.0)
        # G = paid + later · V: a trajectory's last step, if it goes on at all, has no own outcome.
        last = np.append(self.step_index[1:], 0) == 0
        share = continuation * np.where(last, 1.0, 1.0 - trace)
        on = self.following != END
        later = np.zeros((len(steps), states))
        later[steps[on], self.following[on]] = share[on]
        later = discounted_returns(later, self.step_index, continuation * trace)
        paid = discounted_returns(self.reward, self.step_index, continuation * trace)
        moved = kernel @ (evidence @ later) / divisor[:, None]
        constant = kernel @ (evidence @ paid) / divisor
        value = np.linalg.solve(np.identity(states) - moved, constant)
        outcome = paid + later @ value
        return {"outcome": outcome} | self._compared(kernel, outcome, value, divisor)

    def held_out(self, trajectory: Index, continuation: float, trace: float) -> Real:
        """V at each step's state without its own trajectory; 0 without any other. (m,) float64."""
        value = np.zeros(len(self.state))
        for one in np.unique(trajectory):
            own = trajectory == one
            others = replace(self, weight=np.where(own, 0.0, self.weight))
            value[own] = others.closure(continuation, trace)["value"][own]
        return value

    def _compared(self, kernel: Real, outcome: Real, value: Real, divisor: Real) -> dict[str, Real]:
        """Q of every state and action from the outcomes of near steps, read at each step."""
        shape = (len(kernel), int(self.action.max()) + 1)
        at = (self.state, self.action)
        tried = csr_array((self.weight, at), shape=shape)
        got = csr_array((self.weight * outcome, at), shape=shape)
        visits = np.asarray(kernel @ tried)
        known = visits > 0
        quality = (kernel @ got) / np.where(known, visits, 1.0)
        quality = np.where(known, quality, value[:, None])
        square = (visits / divisor[:, None] * (quality - value[:, None]) ** 2).sum(axis=1)
        squares = np.where(known, kernel**2 @ tried, 1.0)
        return {
            "quality": quality[at],
            "value": value[self.state],
            "deviation": np.sqrt(square)[self.state],
            "evidence": (visits**2 / squares)[at],
        }
