"""A simulated log together with what only the simulator knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from workbench.bench.conditions import BATCHES, TASKS, Condition
from workbench.log.schema import validate
from workbench.log.segments import discounted_returns
from workbench.log.steps import Index, Real, Steps
from workbench.simulate import Task, drawn_tasks, policy_gradient, simulate


@dataclass(frozen=True, kw_only=True)
class Scene:
    """B independent batches of rollouts of the same T tasks: B · T groups.

    The gradients live in the space of all pairs of latent state and action of all tasks, one
    logit each: P numbers.

    Args:
        steps: The log as methods see it.
        batch: Batch of each step. (S,) int64
        pair: Pair of each step, numbered through the tasks. (S,) int64
        policy: π(a | z) of each pair. (P,) float64
        state: State of each pair, numbered through the tasks. (P,) int64
        true_value: V of each step. (S,) float64
        true_advantage: Q - V of each step. (S,) float64
        true_gradient: Gradient of the sum of the tasks' expected returns. (P,) float64
        gamma: Discount of the true values.
    """

    steps: Steps
    batch: Index
    pair: Index
    policy: Real
    state: Index
    true_value: Real
    true_advantage: Real
    true_gradient: Real
    gamma: float

    @cached_property
    def returns(self) -> Real:
        """Return of each step under the discount of the true values. (S,) float64."""
        return discounted_returns(self.steps.reward, self.steps.step_index, self.gamma)

    def gradients(self, advantage: Real) -> Real:
        """The policy gradient that each batch gives under an advantage.

            g(z, a) = Σ_steps γ^t · A_t · ([z_t = z, a_t = a] - [z_t = z] · π(a | z)) / N

        N counts the rollouts of a group, so that the true advantage gives the true gradient in
        expectation.

        Args:
            advantage: Of each step. (S,) float64

        Returns:
            One row per batch. (B, P) float64.
        """
        weight = self.gamma**self.steps.step_index * advantage
        batches, pairs = int(self.batch.max()) + 1, len(self.policy)
        cell = self.batch * pairs + self.pair
        taken = np.bincount(cell, weights=weight, minlength=batches * pairs)
        taken = taken.reshape(batches, pairs)
        states = int(self.state[-1]) + 1
        cell = self.batch * states + self.state[self.pair]
        visited = np.bincount(cell, weights=weight, minlength=batches * states)
        visited = visited.reshape(batches, states)
        rollouts = self.steps.trajectories / self.steps.groups
        return (taken - visited[:, self.state] * self.policy) / rollouts


def draw_scene(condition: Condition, seed: int) -> Scene:
    """The scene of a condition and seed; a seed draws tasks and rollouts alike.

    Dials that leave tasks and moves as they are leave them so here: the conditions of a seed have
    as much in common as the world allows.
    """
    log = simulate(condition.world, tasks=TASKS, rollouts=BATCHES * condition.group, seed=seed)
    tasks = list(drawn_tasks(condition.world, TASKS, seed))
    # Rollout j of a task belongs to batch j // group, which makes a group of it.
    rollout = pl.col("trajectory_id").str.extract(r"(\d+)$").cast(pl.Int64)
    log = log.with_columns(
        bench_task=pl.col("group_id").rle_id().cast(pl.Int64),
        bench_batch=rollout // condition.group,
    ).with_columns(group_id=pl.format("{}/batch-{}", "group_id", "bench_batch"))
    steps = Steps.from_log(validate(log).log)
    task = steps.column("bench_task").to_numpy()
    pairs = np.cumsum([0, *(len(each.policy) for each in tasks)])
    states = np.cumsum([0, *(each.model.states for each in tasks)])
    return Scene(
        steps=steps,
        batch=steps.column("bench_batch").to_numpy(),
        pair=_pairs(steps, tasks) + pairs[task],
        policy=np.concatenate([each.policy for each in tasks]),
        state=np.concatenate(
            [
                np.repeat(np.arange(each.model.states), np.diff(each.model.offsets)) + first
                for each, first in zip(tasks, states[:-1], strict=True)
            ]
        ),
        true_value=steps.column("true_value").to_numpy(),
        true_advantage=steps.column("true_advantage").to_numpy(),
        true_gradient=np.concatenate([_true_gradient(condition, each) for each in tasks]),
        gamma=condition.world.gamma,
    )


def _true_gradient(condition: Condition, task: Task) -> Real:
    horizon, gamma = condition.world.horizon, condition.world.gamma
    return policy_gradient(task.model, task.policy, start=task.start, horizon=horizon, gamma=gamma)


def _pairs(steps: Steps, tasks: Sequence[Task]) -> Index:
    """Pair of each step in its own task's model, found by latent state and action text."""
    task, state = (steps.column(name).to_numpy() for name in ("bench_task", "latent_state"))
    numbers = [{text: number for number, text in enumerate(each.actions)} for each in tasks]
    texts = steps.column("action").to_list()
    action = np.array([numbers[t][text] for t, text in zip(task, texts, strict=True)])
    found = np.empty(len(steps), dtype=np.int64)
    for number, each in enumerate(tasks):
        model, here = each.model, task == number
        width = len(each.actions)
        owner = np.repeat(np.arange(model.states), np.diff(model.offsets))
        order = np.argsort(owner * width + model.action)
        code = (owner * width + model.action)[order]
        found[here] = order[np.searchsorted(code, state[here] * width + action[here])]
    return found
