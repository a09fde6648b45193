"""Base of simulated worlds: the registry, the dials, and the way from a world to a log.

A world draws tasks; a task is a tabular model of its latent states, the policy that writes the
log, and a narrator that words what the policy reads. The rewards of an episode sum to 1 if it is
a success and to less if not. Because the policy is a function of the latent state, its value and
advantage are known exactly at every step of the log it writes, however little of the state the
text shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import polars as pl

from workbench.errors import ParameterError
from workbench.registry import Registry
from workbench.simulate.model import END, FloatArray, Model, action_values, policy_values

SCHEMA: dict[str, pl.DataType] = {
    "group_id": pl.String(),
    "trajectory_id": pl.String(),
    "step_index": pl.Int32(),
    "observation": pl.String(),
    "action": pl.String(),
    "reward": pl.Float64(),
    "reward_source": pl.String(),
    "success": pl.Boolean(),
    "task": pl.String(),
    "run_id": pl.String(),
    "policy_version": pl.Int64(),
    "done": pl.Boolean(),
    "truncated": pl.Boolean(),
    "valid_action": pl.Boolean(),
    "next_observation": pl.String(),
    "latent_state": pl.Int64(),
    "true_value": pl.Float64(),
    "true_advantage": pl.Float64(),
    "admissible_actions": pl.List(pl.String()),
}
"""Columns of a simulated log: those of the step log first, then `columns.SIMULATED`."""

SUCCESS = 1.0 - 1e-9
"""Sum of rewards from which on an episode is a success; shares of 1 do not add up to the digit."""

W = TypeVar("W", bound="type[World]")


class Narrator(Protocol):
    """Words what the policy reads in one task."""

    def opening(self, rng: np.random.Generator) -> str:
        """The first observation of an episode."""

    def feedback(self, pair: int, outcome: int, rng: np.random.Generator) -> str:
        """The observation after a pair of the model had one of its outcomes."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task of a world: Z latent states, P pairs of state and action.

    Args:
        text: What is asked for.
        start: The latent state in which every episode begins.
        model: The transitions.
        policy: π(a | z) of each pair, or one row a time step. (P,) or (H, P) float64.
        actions: Texts of the actions, by the model's action numbers.
        narrator: Words the observations.
    """

    text: str
    start: int
    model: Model
    policy: FloatArray
    actions: Sequence[str]
    narrator: Narrator
    _options: dict[int, tuple[str, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def options(self, state: int) -> tuple[str, ...]:
        """Texts of the actions that a state admits, in the order of its pairs."""
        found = self._options.get(state)
        if found is None:
            numbers = self.model.action[self.model.pairs_of(state)].tolist()
            found = self._options[state] = tuple([self.actions[number] for number in numbers])
        return found


@dataclass(frozen=True, kw_only=True)
class Study:
    """The settings of a world on which methods are measured: small, and part solved, part not.

    Args:
        base: Dials that differ from the world's defaults.
        sweeps: Dial -> the values that are tried one at a time, all else as in `base`.
        trainable: Dials beyond `base` under which a small policy can learn the world, where it
            cannot at `base`; empty where it can. Chosen by what grpo and return-to-go make of it.
    """

    base: Mapping[str, float]
    sweeps: Mapping[str, Sequence[float]]
    trainable: Mapping[str, float] = field(default_factory=dict)


class World(Protocol):
    """A family of tasks; a frozen dataclass whose fields are its dials."""

    name: ClassVar[str]
    study: ClassVar[Study]

    @property
    def horizon(self) -> int:
        """Steps after which an episode is cut off."""

    @property
    def gamma(self) -> float:
        """Discount of the true values."""

    def task(self, index: int, rng: np.random.Generator) -> Task:
        """Draw one task."""


WORLDS: Registry[type[World]] = Registry(
    "world", folder="workbench.simulate", group="workbench.worlds"
)


def world(name: str, study: Study) -> Callable[[W], W]:
    """Register a class under a name, by which the command line and the benchmarks find it."""

    def register(cls: W) -> W:
        cls.name, cls.study = name, study
        WORLDS.add(name, cls)
        return cls

    return register


def dial(default: float, *, low: float, high: float, below_high: bool = False) -> Any:
    """A dataclass field with a range, which `check_dials` enforces and a form can show.

    Args:
        default: The field's default.
        low: Smallest value.
        high: Largest value.
        below_high: Whether `high` itself is out of range.
    """
    return field(default=default, metadata={"low": low, "high": high, "below_high": below_high})


def check_dials(instance: Any) -> None:
    """Check every field made with `dial` against its range; an int field takes only integers.

    Raises:
        ParameterError: Names the dial, its range and the value.
    """
    for entry in fields(instance):
        if "low" not in entry.metadata:
            continue
        low, high = entry.metadata["low"], entry.metadata["high"]
        value = getattr(instance, entry.name)
        whole = isinstance(entry.default, int)
        kind = "an integer in" if whole else "in"
        end = ")" if entry.metadata["below_high"] else "]"
        numeric = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
        if not numeric or not low <= value <= high or (end == ")" and value == high):
            raise ParameterError(f"{entry.name} must be {kind} [{low}, {high}{end}, got {value}")


def simulate(world: World, *, tasks: int, rollouts: int, seed: int) -> pl.DataFrame:
    """Write a step log of a world, with the exact value and advantage of every step.

        true_value     = V_t(z): expected discounted return of the writing policy from the
                         latent state z at step t on, the horizon included
        true_advantage = Q_t(z, a) - V_t(z)

    The same arguments give the same bytes. Task k and its rollout j have random streams of their
    own, derived from (seed, k, j): they do not depend on how many tasks or rollouts are asked
    for. Wording draws from a separate stream, so a dial of the texts leaves the moves as they are.

    Args:
        world: Where the tasks come from.
        tasks: Number of groups, at least 1.
        rollouts: Trajectories of each group, at least 1.
        seed: Of all randomness, at least 0; part of every id.

    Returns:
        One row per step in the columns of `SCHEMA`, sorted by group, trajectory and step. `done`
        marks the last step of a trajectory, `truncated` one that the horizon cut off.

    Raises:
        ParameterError: A number is out of range.
    """
    for name, count, low in (("tasks", tasks, 1), ("rollouts", rollouts, 1), ("seed", seed, 0)):
        if count < low:
            raise ParameterError(f"{name} must be at least {low}, got {count}")
    run_id = f"{world.name}-s{seed}"
    rows: list[dict[str, object]] = []
    for number, task in enumerate(drawn_tasks(world, tasks, seed)):
        value = policy_values(task.model, task.policy, horizon=world.horizon, gamma=world.gamma)
        group = {
            "run_id": run_id,
            "group_id": f"{run_id}/task-{number:02d}",
            "task": task.text,
            "reward_source": "terminal" if _pays_at_the_end(task.model) else "dense",
        }
        for rollout in range(rollouts):
            trajectory = f"{group['group_id']}/rollout-{rollout}"
            steps = _rollout(task, value, world.gamma, (seed, number, 1 + rollout))
            rows += [{**group, "trajectory_id": trajectory, **step} for step in steps]
    constants = {"policy_version": 0, "valid_action": True}
    frame = pl.DataFrame(rows, schema={k: v for k, v in SCHEMA.items() if k not in constants})
    return (
        frame.with_columns(pl.lit(v, dtype=SCHEMA[k]).alias(k) for k, v in constants.items())
        .select(list(SCHEMA))
        .sort("group_id", "trajectory_id", "step_index")
    )


def drawn_tasks(world: World, tasks: int, seed: int) -> Iterator[Task]:
    """The tasks of the log that `simulate` writes of the same arguments, in the order of groups."""
    for number in range(tasks):
        yield world.task(number, _stream(seed, number, 0))


def _pays_at_the_end(model: Model) -> bool:
    return not np.any(model.reward[(model.next_state != END) & (model.probability > 0)])


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _rollout(
    task: Task, value: FloatArray, gamma: float, key: tuple[int, ...]
) -> list[dict[str, object]]:
    """One episode of the writing policy, a dictionary per step."""
    moves, words = _stream(*key, 0), _stream(*key, 1)
    model, horizon = task.model, len(value) - 1
    policy = np.broadcast_to(task.policy, (horizon, len(model.action)))
    state, observation = task.start, task.narrator.opening(words)
    steps: list[dict[str, object]] = []
    rewards: list[float] = []
    for time in range(horizon):
        pairs = model.pairs_of(state)
        choice = _drawn(policy[time, pairs], moves)
        pair = pairs.start + choice
        outcome = _drawn(model.probability[pair], moves)
        following = task.narrator.feedback(pair, outcome, words)
        quality = action_values(model, value[time + 1], gamma=gamma, pairs=pairs)[choice]
        next_state = int(model.next_state[pair, outcome])
        names = list(task.options(state))
        rewards.append(float(model.reward[pair, outcome]))
        steps.append(
            {
                "step_index": time,
                "observation": observation,
                "action": names[choice],
                "reward": rewards[-1],
                "done": next_state == END or time == horizon - 1,
                "truncated": next_state != END and time == horizon - 1,
                "next_observation": following,
                "latent_state": state,
                "true_value": value[time, state],
                "true_advantage": quality - value[time, state],
                "admissible_actions": names,
            }
        )
        if next_state == END:
            break
        state, observation = next_state, following
    success = sum(rewards) >= SUCCESS
    return [{**step, "success": success} for step in steps]


def _drawn(probability: FloatArray, rng: np.random.Generator) -> int:
    """Index of one draw; the last index takes what rounding leaves of the unit interval."""
    passed = int(np.searchsorted(np.cumsum(probability), rng.random(), side="right"))
    return min(passed, len(probability) - 1)
