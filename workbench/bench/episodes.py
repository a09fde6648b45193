"""Episodes of a policy that reads text, played in lock-step, and the step log that they make."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from workbench.bench.policies import Policy
from workbench.bench.prompts import Decision, prompt
from workbench.log.steps import Index, Real
from workbench.simulate import END, Task
from workbench.simulate.base import SUCCESS

SCHEMA = {
    "group_id": pl.String,
    "trajectory_id": pl.String,
    "step_index": pl.Int32,
    "observation": pl.String,
    "action": pl.String,
    "reward": pl.Float64,
    "success": pl.Boolean,
    "task": pl.String,
    "run_id": pl.String,
    "policy_version": pl.Int64,
    "train_step": pl.Int64,
    "done": pl.Boolean,
    "truncated": pl.Boolean,
}


@dataclass(kw_only=True)
class Episode:
    """One episode, under way or over.

    Args:
        task: Number of its task.
        state: Latent state; `END` where the task has ended it.
        observation: What the policy reads next.
        decisions: What was put to the policy, a step each.
        chosen: Which option it took.
        rewards: What that was paid.
        states: Latent state at each decision.
    """

    task: int
    state: int
    observation: str
    decisions: list[Decision] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    states: list[int] = field(default_factory=list)

    def until(self, step: int) -> Episode:
        """The same episode before one of its steps was taken, with nothing paid yet."""
        return Episode(
            task=self.task,
            state=self.states[step],
            observation=self.decisions[step].observation,
            decisions=self.decisions[:step],
            chosen=self.chosen[:step],
        )

    @property
    def success(self) -> bool:
        """True if the rewards so far are those of a success."""
        return sum(self.rewards) >= SUCCESS


def play(
    tasks: Sequence[Task],
    policy: Policy | None,
    *,
    episodes: int,
    horizon: int,
    seed: Sequence[int],
) -> list[Episode]:
    """Play some episodes of each task to their end or to the horizon.

    Args:
        tasks: The tasks.
        policy: Who acts; None for the policy that each task came with.
        episodes: Of each task.
        horizon: Steps after which an episode is cut off.
        seed: Of all randomness. Episode j has its own numbers for moves and its own stream for
            wording, so that policies that act alike play alike.

    Returns:
        Those of a task adjacent, tasks in order.
    """
    total = len(tasks) * episodes
    moves = np.random.default_rng([*seed, 0]).random((horizon, 2, total))
    words = np.random.default_rng([*seed, 1]).spawn(total)
    found = []
    for number, rng in enumerate(words):
        task = tasks[number // episodes]
        opening = task.narrator.opening(rng)
        found.append(Episode(task=number // episodes, state=task.start, observation=opening))
    play_on(found, tasks, policy, left=np.full(total, horizon), moves=moves, words=words)
    return found


def play_on(
    found: Sequence[Episode],
    tasks: Sequence[Task],
    policy: Policy | None,
    *,
    left: Index,
    moves: Real,
    words: Sequence[np.random.Generator],
) -> None:
    """Play episodes to their end or for as many steps as each has left.

    Args:
        found: The episodes, which are changed.
        tasks: The tasks.
        policy: Who acts; None for the policy that each task came with.
        left: Steps that each has left. (N,)
        moves: Uniform numbers: one for the choice and one for the outcome of each step. (H, 2, N)
        words: Of each episode, for wording.
    """
    alive = np.flatnonzero(left > 0)
    for time, (choice, outcome) in enumerate(moves, start=1):
        if not len(alive):
            break
        numbers = alive.tolist()
        playing = [found[number] for number in numbers]
        decisions = [_decision(tasks[each.task], each) for each in playing]
        if policy is None:
            probability = np.concatenate([_own(tasks[each.task], each.state) for each in playing])
        else:
            probability = policy.probabilities(decisions)
        chosen = _drawn(probability, decisions, choice[alive])
        for number, each, decision, option, uniform in zip(
            numbers, playing, decisions, chosen.tolist(), outcome[alive].tolist(), strict=True
        ):
            each.decisions.append(decision)
            each.chosen.append(option)
            _move(tasks[each.task], each, uniform, words[number])
        alive = alive[[each.state != END for each in playing] & (left[alive] > time)]


def step_log(episodes: Sequence[Episode], *, run: str, version: int) -> pl.DataFrame:
    """The step log of some finished episodes; a group holds the episodes of a task.

    Args:
        episodes: As `play` returns them.
        run: First part of every id.
        version: Of the policy, part of every id.
    """
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA}
    for number, each in enumerate(episodes):
        group = f"{run}/policy-{version:03d}/task-{each.task:03d}"
        steps = len(each.rewards)
        columns["group_id"] += [group] * steps
        columns["trajectory_id"] += [f"{group}/rollout-{number:03d}"] * steps
        columns["step_index"] += range(steps)
        columns["observation"] += [decision.observation for decision in each.decisions]
        columns["action"] += [
            decision.options[option]
            for decision, option in zip(each.decisions, each.chosen, strict=True)
        ]
        columns["reward"] += each.rewards
        columns["success"] += [each.success] * steps
        columns["task"] += [decision.task for decision in each.decisions]
        columns["run_id"] += [run] * steps
        columns["policy_version"] += [version] * steps
        columns["train_step"] += [version] * steps
        columns["done"] += [False] * (steps - 1) + [True]
        columns["truncated"] += [False] * (steps - 1) + [each.state != END]
    return pl.DataFrame(columns, schema=SCHEMA)


def conversations(episodes: Sequence[Episode]) -> pl.Series:
    """Column `messages` of the step log of some finished episodes.

    The prompt of each episode's last step, which is all that the policy read; null elsewhere.
    """
    texts: list[str | None] = []
    for each in episodes:
        texts += [None] * (len(each.decisions) - 1)
        texts.append(json.dumps(prompt(each.decisions)))
    return pl.Series("messages", texts, dtype=pl.String)


def _decision(task: Task, episode: Episode) -> Decision:
    earlier: tuple[str, ...] = ()
    if episode.decisions:
        before = episode.decisions[-1]
        earlier = (*before.earlier, before.options[episode.chosen[-1]])
    return Decision(task.text, episode.observation, earlier, task.options(episode.state))


def _own(task: Task, state: int) -> Real:
    return task.policy[task.model.pairs_of(state)]


def _move(task: Task, episode: Episode, uniform: float, words: np.random.Generator) -> None:
    """Let the last choice of an episode have its outcome."""
    model = task.model
    episode.states.append(episode.state)
    pair = int(model.offsets[episode.state]) + episode.chosen[-1]
    running = model.running[pair]
    outcome = min(bisect_right(running, uniform), len(running) - 1)
    episode.rewards.append(float(model.reward[pair, outcome]))
    episode.observation = task.narrator.feedback(pair, outcome, words)
    episode.state = int(model.next_state[pair, outcome])


def _drawn(probability: Real, decisions: Sequence[Decision], uniform: Real) -> Index:
    """One option of each decision: where a uniform number falls in the running sum. (D,)."""
    size = np.array([len(each.options) for each in decisions])
    start = np.cumsum(size) - size
    running = np.cumsum(probability)
    before = running[start] - probability[start]
    place = np.searchsorted(
        running, before + uniform * (running[start + size - 1] - before), "right"
    )
    return np.asarray(np.clip(place - start, 0, size - 1), dtype=np.int64)
