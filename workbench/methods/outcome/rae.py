"""RAE: a rollout's reward against the moving average of its agent's earlier rewards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.signal import lfilter

from workbench.log.credit import Term, no_peers
from workbench.log.steps import Index, Steps
from workbench.methods.base import Dialect, Golden, Method, method
from workbench.methods.parts.batches import runs
from workbench.parameters import parameter
from workbench.states.keys import labels
from workbench.states.space import Space


@method(
    "rae",
    summary="R − moving average of the rewards that the agent had before",
    source="arXiv 2506.24119",
    traits=(
        "raw-group-of-one",
        "couples-groups",
        "credits-dead-groups",
        "credits-equal-rewards",
        "depends-on-ids",
    ),
    dialects=(
        Dialect(
            name="prime-rl",
            source="PrimeIntellect-ai/prime-rl src/prime_rl/orchestrator/algo/rae.py",
            fields={"order": "rows", "carry": True},
            traits=(
                "raw-group-of-one",
                "couples-groups",
                "couples-batches",
                "credits-dead-groups",
                "credits-equal-rewards",
                "row-order",
            ),
            golden={"prime_rae": Golden(table="prime_rl")},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class RAE(Method):
    """Role-conditioned advantage: every agent is measured by its own usual reward.

        A_n     = R_n − b_k                       k the agent, n its rollouts in order
        b_k    ← d · b_k + (1 − d) · R_n          after A_n; 0 at the start

    R is the undiscounted sum of the trajectory's rewards, the same for every step of it. For games
    of several agents, where the mean of a group is about 0 whatever the policy does. Rollouts come
    one after the other, so an order is needed: that of the ids, or that of the rows in the source.

    Degenerate cases: equal rewards are not 0 until the average has come up to them, over about
    1/(1 − d) rollouts of an agent; a log without agent_id has one agent; an agent's first rollout
    gets its raw reward.

    **Conventions**: over trajectories that count, each once an agent; no deviation; the average
    starts over in each batch, and `carry` takes it over from the batches of the run before.

    **Differs from** prime-rl, whose average lives as long as its process and goes by the order in
    which groups are finished (dialect: the order of the rows). There each agent of an episode has
    a trace and a reward of its own: here that is a trajectory.

    Source: Liu et al., SPIRAL, arXiv 2506.24119; PrimeIntellect-ai/prime-rl.
    """

    decay: float = parameter(
        0.95, "d, what the average keeps of itself at each rollout", minimum=0.0, maximum=1.0
    )
    carry: bool = parameter(False, "whether the average goes on from the batches of the run before")
    order: Literal["ids", "rows"] = parameter(
        "ids", "in which order rollouts come: of their ids, or of their rows in the source"
    )

    def couples_batches(self) -> bool:
        """True where the average is carried."""
        return self.carry

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The reward against the average."""
        score = steps.episode_reward[steps.trajectory]
        agent = steps.column("agent_id")
        unit = labels(steps, steps.trajectory, agent)
        first = np.unique(unit, return_index=True)[1]
        code = agent.fill_null("").rank("dense").to_numpy().astype(np.int64)
        before = np.zeros(len(first))
        rollouts = np.zeros(len(first))
        for line in self._lines(steps, first):
            for own in np.unique(code[first[line]]):
                turn = line[code[first[line]] == own]
                counted = steps.counted[first[turn]]
                reward = score[first[turn]][counted]
                after = lfilter([1.0 - self.decay], [1.0, -self.decay], reward)
                rollouts[turn] = counted.cumsum() - counted
                before[turn] = np.append(0.0, after)[rollouts[turn].astype(np.int64)]

        return {
            "episode": Term(
                score=score,
                baseline=before[unit],
                factor=np.ones(len(steps)),
                peers=no_peers,
                facts=lambda step: {
                    "batch": steps.batch_name(int(steps.batch[step])),
                    "agent": agent[step],
                    "rollouts_before": float(rollouts[unit[step]]),
                },
                compared_with="moving average of the agent's earlier rewards, 0 at its start",
            )
        }

    def _lines(self, steps: Steps, first: Index) -> Iterator[Index]:
        """Rollouts that follow each other, in order, as places in `first`."""
        batch = steps.batch[first]
        rank = np.arange(len(first))
        if self.order == "rows":
            rank = np.argsort(np.argsort(steps.column("source_row").to_numpy()[first]))
        for run in runs(steps):
            place = {number: turn for turn, number in enumerate(run)}
            of_run = np.flatnonzero(np.isin(batch, run))
            turn = np.array([place[int(number)] for number in batch[of_run]])
            ordered = of_run[np.lexsort((rank[of_run], turn))]
            if self.carry:
                yield ordered
            else:
                yield from np.split(ordered, np.flatnonzero(np.diff(batch[ordered])) + 1)
