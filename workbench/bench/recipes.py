"""How the policies of the training benchmark are trained."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.bench.policies import LinearPolicy, Policy


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a policy is trained, the same for every method.

    Args:
        policy: A key of `RECIPES`.
        imitation_steps: Optimiser steps of imitation.
        imitation_batch: Decisions of each, drawn from all demonstrations; None takes all.
        imitation_rate: Adam's rate meanwhile.
        rate: Adam's rate afterwards, one step a batch.
        iterations: Batches.
        evaluate_every: Batches between two evaluations; the last is after all of them.
        pool: Training tasks; of each there is one demonstration by the world's own policy.
        batch: Tasks of a batch, which go round the pool; a group of episodes of each.
        held_out: Tasks on which the policy is evaluated.
        episodes: Episodes of each held-out task at each evaluation.
    """

    policy: str
    imitation_steps: int
    imitation_batch: int | None
    imitation_rate: float
    rate: float
    iterations: int
    evaluate_every: int = 5
    pool: int = 200
    batch: int = 8
    held_out: int = 40
    episodes: int = 4


RECIPES = {
    "linear": Recipe(
        policy="linear",
        imitation_steps=60,
        imitation_batch=None,
        imitation_rate=0.02,
        rate=0.01,
        iterations=50,
    ),
    "transformer": Recipe(
        policy="transformer",
        imitation_steps=200,
        imitation_batch=128,
        imitation_rate=0.003,
        rate=0.001,
        iterations=40,
    ),
}
"""Rates are the same for all methods. That of the linear policy was chosen among .003, .01 and .03
by the learning curves of `grpo` alone, on seeds 1000 and 1001 of the household's base, which are
not among those measured; that of the transformer was looked at for `grpo` on seed 1000 alone."""


def new_policy(name: str, seed: int) -> Policy:
    """The untrained policy of a recipe."""
    if name == "transformer":
        from workbench.bench.transformer import TransformerPolicy

        return TransformerPolicy(seed)
    return LinearPolicy()
