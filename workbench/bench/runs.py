"""One training run: a policy, a method, a seed; sampled, scored, exported and learned from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from workbench.bench.conditions import WORLDS_VERSION, Condition
from workbench.bench.episodes import Episode, conversations, play, step_log
from workbench.bench.identity import depends_on_texts, identity
from workbench.bench.lessons import Lesson, Scorer
from workbench.bench.oracles import ORACLES, Truth, truth_of
from workbench.bench.policies import Policy
from workbench.bench.recipes import Recipe, new_policy
from workbench.errors import MissingInputError
from workbench.files import digest, package_version
from workbench.log.schema import validate
from workbench.log.segments import segment_constant
from workbench.log.steps import Steps
from workbench.methods import Method
from workbench.simulate import Task, drawn_tasks
from workbench.states.keys import labels
from workbench.states.text import StateText

TRAINING_VERSION = "1"
"""Changes with any change of a policy, of how episodes are played or of what is learned."""

LAST = 3
"""Evaluations whose mean is the final success; that of the start is never among them."""


OBSERVATION = StateText()
"""Default state text of methods."""

SCHEMA: dict[str, Any] = {
    "family": pl.String,
    "condition": pl.String,
    "dial": pl.String,
    "value": pl.Float64,
    "group_size": pl.Int64,
    "policy": pl.String,
    "seed": pl.Int64,
    "method": pl.String,
    "embedder": pl.String,
    "missing": pl.String,
    "steps": pl.Int64,
    "singletons": pl.Float64,
    "live_groups": pl.Float64,
    "samples": pl.List(pl.Int64),
    "success": pl.List(pl.Float64),
    "start": pl.Float64,
    "area": pl.Float64,
    "final": pl.Float64,
    "key": pl.String,
}
"""Columns of the results, one row per run. `success` is that of held-out tasks after `samples`
episodes; `singletons` and `live_groups` are shares over all batches of the run."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Training of methods in one condition under one seed.

    Args:
        condition: The condition.
        seed: Of tasks, the start and all episodes.
        methods: Name in the tables -> the method, or None for the oracle of that name.
        embedder: Representation for methods that need similarities.
        recipe: How the policy is trained.
        state_text: What such methods compare.
    """

    condition: Condition
    seed: int
    methods: Mapping[str, Method | None]
    embedder: str
    recipe: Recipe
    state_text: StateText = OBSERVATION

    @property
    def keys(self) -> dict[str, str]:
        """Digest of all that decides a row, by method."""
        here = {
            "versions": [WORLDS_VERSION, TRAINING_VERSION, package_version()],
            "family": self.condition.family,
            "dials": vars(self.condition.world),
            "group": self.condition.group,
            "recipe": asdict(self.recipe),
            "seed": self.seed,
        }
        return {
            name: digest({**here, "method": self._identity(name, method)})
            for name, method in self.methods.items()
        }

    def _identity(self, name: str, method: Method | None) -> dict[str, Any]:
        own = identity(name, method, self.embedder)
        if depends_on_texts(method) and self.state_text != OBSERVATION:
            own["state_text"] = asdict(self.state_text)
        return own

    def rows(self) -> pl.DataFrame:
        """Train with every method: one row each, in the columns of `SCHEMA`."""
        rows, keys = [], self.keys
        for name, method in self.methods.items():
            row = {
                "family": self.condition.family,
                "condition": self.condition.name,
                "dial": self.condition.dial,
                "value": self.condition.value,
                "group_size": self.condition.group,
                "policy": self.recipe.policy,
                "seed": self.seed,
                "method": name,
                "embedder": self.embedder if depends_on_texts(method) else None,
                "key": keys[name],
            }
            try:
                rows.append({**row, **self._trained(name, method)})
            except MissingInputError as error:
                rows.append({**row, "missing": str(error)})
        return pl.DataFrame(rows, schema=SCHEMA)

    def _trained(self, name: str, method: Method | None) -> dict[str, Any]:
        begun = start(self.condition, self.recipe, self.seed)
        policy = deepcopy(begun.policy)
        policy.restart(self.recipe.rate)
        course, last = Course(), self.recipe.iterations
        with tempfile.TemporaryDirectory() as folder:
            scorer = None
            if method is not None:
                scorer = Scorer(method, self.embedder, self.state_text, Path(folder))
            for iteration in range(last + 1):
                if iteration % self.recipe.evaluate_every == 0 or iteration == last:
                    course.success.append(self._success(begun.held_out, policy, iteration))
                    course.samples.append(iteration * self.recipe.batch * self.condition.group)
                if iteration < last:
                    tasks = self.tasks_of(begun.pool, iteration)
                    episodes = self.sampled(tasks, policy, [self.seed, 1, iteration])
                    log = step_log(
                        episodes, run=f"{self.condition.family}-s{self.seed}", version=iteration
                    )
                    if scorer is None:
                        steps = Steps.from_log(validate(log).log)
                        truth = self.truth(tasks, episodes, policy, [self.seed, 4, iteration])
                        lesson = Lesson.of_episodes(episodes, ORACLES[name](truth))
                    else:
                        steps, advantage = scorer(log)
                        lesson = Lesson.of_episodes(episodes, advantage)
                        if iteration == 0:
                            scorer.check(log.with_columns(conversations(episodes)), name, lesson)
                    lesson.teach(policy)
                    course.see(steps)
        return course.row()

    def tasks_of(self, pool: Sequence[Task], batch: int) -> list[Task]:
        """The tasks of a batch, which go round the pool."""
        first = batch * self.recipe.batch
        return [pool[(first + number) % len(pool)] for number in range(self.recipe.batch)]

    def sampled(self, tasks: Sequence[Task], policy: Policy, seed: Sequence[int]) -> list[Episode]:
        """A group of episodes of each task."""
        horizon, group = self.condition.world.horizon, self.condition.group
        return play(tasks, policy, episodes=group, horizon=horizon, seed=seed)

    def truth(
        self,
        tasks: Sequence[Task],
        episodes: Sequence[Episode],
        policy: Policy,
        seed: Sequence[int],
    ) -> Truth:
        """The values of the policy at every step of some episodes."""
        world = self.condition.world
        return truth_of(
            tasks, episodes, policy, horizon=world.horizon, gamma=world.gamma, seed=seed
        )

    def _success(self, held_out: Sequence[Task], policy: Policy, iteration: int) -> float:
        played = play(
            held_out,
            policy,
            episodes=self.recipe.episodes,
            horizon=self.condition.world.horizon,
            seed=[self.seed, 2, iteration],
        )
        return float(np.mean([each.success for each in played]))


@dataclass(kw_only=True)
class Course:
    """Curve and counts of a training run.

    Args:
        samples: Episodes that were learned from until each evaluation.
        success: Share of the evaluation's episodes that were successes.
        steps: Steps that were learned from.
        singletons: Of them, those whose observation occurs once in its group.
        groups: Groups that were learned from.
        live: Of them, those whose episodes did not all earn the same.
    """

    samples: list[int] = field(default_factory=list)
    success: list[float] = field(default_factory=list)
    steps: int = 0
    singletons: int = 0
    groups: int = 0
    live: int = 0

    def see(self, steps: Steps) -> None:
        """Count one batch."""
        state = labels(steps, steps.column("observation").rank("dense").to_numpy() - 1)
        alike = segment_constant(steps.episode_reward, steps.trajectory_group, steps.groups)
        self.steps += len(steps)
        self.singletons += int((np.bincount(state)[state] == 1).sum())
        self.groups += steps.groups
        self.live += int((~alike).sum())

    def row(self) -> dict[str, Any]:
        """The same as columns of `SCHEMA`, with the area under the curve and its end."""
        share = np.array(self.success)
        return {
            "steps": self.steps,
            "singletons": self.singletons / self.steps,
            "live_groups": self.live / self.groups,
            "samples": self.samples,
            "success": self.success,
            "start": self.success[0],
            "area": float(np.trapezoid(share, self.samples) / self.samples[-1]),
            "final": float(share[1:][-LAST:].mean()),
        }


@dataclass(frozen=True, kw_only=True)
class Start:
    """State that all methods of a seed start from.

    Args:
        pool: Tasks to learn from.
        held_out: Tasks to be evaluated on.
        policy: What every run begins with; runs train copies of it.
    """

    pool: Sequence[Task]
    held_out: Sequence[Task]
    policy: Policy


@lru_cache(maxsize=1)
def start(condition: Condition, recipe: Recipe, seed: int) -> Start:
    """The tasks of a seed, and the policy after imitating one episode of each training task."""
    tasks = list(drawn_tasks(condition.world, recipe.pool + recipe.held_out, seed))
    pool = tasks[: recipe.pool]
    shown = play(pool, None, episodes=1, horizon=condition.world.horizon, seed=[seed, 0])
    decisions = [decision for episode in shown for decision in episode.decisions]
    chosen = np.array([option for episode in shown for option in episode.chosen])
    policy = new_policy(recipe.policy, seed)
    policy.restart(recipe.imitation_rate)
    size = min(recipe.imitation_batch or len(chosen), len(chosen))
    rng = np.random.default_rng([seed, 3])
    for _ in range(recipe.imitation_steps):
        # In order, so that sums over all decisions come out alike.
        drawn = np.sort(rng.choice(len(chosen), size, replace=False))
        policy.learn([decisions[step] for step in drawn], chosen[drawn], np.full(size, 1.0 / size))
    return Start(pool=pool, held_out=tasks[recipe.pool :], policy=policy)
