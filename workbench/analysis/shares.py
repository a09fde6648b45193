"""Shares in baselines: how much of a step's baseline is the step, its rollout, and how many peers.

A step that is most of its own baseline keeps little of its step term, however its rollout ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.log.credit import Term
from workbench.log.steps import Index, Real, Steps

SAMPLE = 5_000
"""Steps whose peers are looked at one by one, at most."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Owners of the steps in the baselines of some steps.

    Args:
        chosen: The steps, all or a sample. (N,) int64
        own_step: Weight of each step in its own baseline. (N,) float64
        own_trajectory: Weight of its trajectory. (N,) float64
        effective: 1 / Σ weight², how many equal peers average as much; 0 for none. (N,) float64
        by_similarity: Whether the weights are those of a kernel over similarities.
    """

    chosen: Index
    own_step: Real
    own_trajectory: Real
    effective: Real
    by_similarity: bool


def shares(steps: Steps, term: Term, rng: np.random.Generator) -> Shares | None:
    """The shares of a term's baseline; None where its members are whole trajectories.

    Args:
        steps: The steps.
        term: The term.
        rng: Draws some of the steps, where they are more than `SAMPLE`.
    """
    chosen = np.arange(len(steps))
    if len(chosen) > SAMPLE:
        chosen = np.sort(rng.choice(chosen, SAMPLE, replace=False))
    own, own_trajectory, effective = np.zeros((3, len(chosen)))
    by_similarity = False
    for place, step in enumerate(chosen):
        peers = term.peers(int(step))
        if peers.step is None:
            return None
        weight = np.asarray(peers.weight)
        of_trajectory = steps.trajectory[peers.step] == steps.trajectory[step]
        own[place] = weight[peers.step == step].sum()
        own_trajectory[place] = weight[of_trajectory].sum()
        effective[place] = 1.0 / (weight**2).sum() if len(weight) else 0.0
        by_similarity |= peers.similarity is not None
    return Shares(
        chosen=chosen,
        own_step=own,
        own_trajectory=own_trajectory,
        effective=effective,
        by_similarity=by_similarity,
    )
