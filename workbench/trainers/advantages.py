"""The methods inside a training loop: arrays in, advantages out, no files.

A batch that was exported is stale after one update of the policy; a trainer that calls these
functions gets the same numbers on what it has just sampled. `docs/training_loops.md` has the
dozen lines for verl and TRL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.errors import MissingInputError, ParameterError
from workbench.log.columns import known
from workbench.log.schema import validate
from workbench.log.segments import segment_sum
from workbench.log.steps import Index, Real, Steps
from workbench.methods import create, registered
from workbench.states.embedders.registry import Embedder
from workbench.states.space import Space

Decode = Callable[[list[int]], str]
"""Text of token ids, such as a tokenizer's `decode`."""

_STATES = {"keys", "similarity"}
_STEP = ["trajectory_id", "step_index"]


def step_advantages(
    method: str,
    *,
    group_id: Sequence[Any],
    trajectory_id: Sequence[Any],
    reward: Sequence[float] | NDArray[Any],
    step_index: Sequence[int] | NDArray[Any] | None = None,
    observation: Sequence[str] | None = None,
    action: Sequence[str] | None = None,
    params: Mapping[str, Any] | None = None,
    embedder: str | Embedder = "tfidf",
    **columns: Any,
) -> Real:
    """The advantage of each step of a batch whose rows are steps.

    Args:
        method: "method" or "method:dialect".
        group_id: Which rows are of the same task, verl's `uid`. (S,)
        trajectory_id: Which rows are of the same rollout. (S,)
        reward: Reward of each step, not the episode's on every row. (S,)
        step_index: Place of each row in its rollout, from 0; the order of the rows by default.
            Rows that a trainer copied have the same place. (S,)
        observation: What the policy saw at each step; methods that compare states need it. (S,)
        action: What it did. (S,)
        params: Fields of the method that differ from its values.
        embedder: Representation for methods that need similarities.
        **columns: Further columns of the step log. Each (S,)

    Returns:
        (S,) float64, in the order of the rows; 0 for rollouts with a reward that is not finite.

    Raises:
        LogError: The rows are no step log; every problem is listed.
        MissingInputError: The method needs what is not given.
        UnknownNameError: No such method, dialect, or column.
        ParameterError: No such field, or a value that it cannot have.

    Example:
        >>> step_advantages("rloo", group_id="gg", trajectory_id="ab", reward=[1.0, 0.0]).tolist()
        [1.0, -1.0]
    """
    made = create(registered(method), params)
    if observation is None and _STATES & set(made.needs()):
        raise MissingInputError(
            f"{method} compares states. Hint: give the observation of each step"
        )
    _require_known(columns)
    frame = pl.DataFrame(
        {
            "group_id": _names(group_id),
            "trajectory_id": _names(trajectory_id),
            "reward": np.asarray(reward, dtype=np.float64),
            "observation": [""] * len(group_id) if observation is None else list(observation),
            "action": [""] * len(group_id) if action is None else list(action),
            **{name: _plain(values) for name, values in columns.items()},
        }
    )
    in_order = pl.int_range(pl.len(), dtype=pl.Int32).over("trajectory_id")
    place = in_order if step_index is None else pl.Series(_plain(step_index), dtype=pl.Int32)
    frame = frame.with_columns(step_index=place)
    steps = Steps.from_log(validate(frame).log)
    table = made(steps, Space(steps, embedder=embedder)).table()
    found = frame.select(_STEP).join(
        table.select(*_STEP, "advantage"), on=_STEP, how="left", maintain_order="left"
    )
    return found["advantage"].fill_null(0.0).to_numpy()


def token_advantages(
    method: str,
    *,
    response_mask: Any,
    group_id: Sequence[Any] | NDArray[Any],
    outcome: Any = None,
    token_reward: Any = None,
    token_ids: Any = None,
    decode: Decode | None = None,
    params: Mapping[str, Any] | None = None,
    embedder: str | Embedder = "tfidf",
    **columns: Any,
) -> NDArray[np.float32]:
    """The advantage of each token of a batch whose rows are whole rollouts.

    Each unbroken run of tokens that the policy wrote is a step; what stands between two runs is the
    observation of the second. A rollout without a run has one step that no token gets.

    Args:
        method: "method" or "method:dialect".
        response_mask: 1 where the policy wrote the token; an array, or one list per row. (B, T)
        group_id: Which rows are of the same task, verl's `uid`. (B,)
        outcome: Reward of each rollout, given to its last step. (B,)
        token_reward: Rewards of tokens, in place of an outcome: those of a run and of what follows
            it are the step's. (B, T)
        token_ids: The tokens; methods that compare states need them. (B, T)
        decode: Text of token ids, for methods that compare texts; without it the ids are the text,
            which serves where states are the same or not.
        params: Fields of the method that differ from its values.
        embedder: Representation for methods that need similarities.
        **columns: Columns of the step log with one value per rollout. Each (B,)

    Returns:
        (B, T) float32, T the longest row; 0 where the policy did not write.

    Raises:
        ParameterError: Neither or both of outcome and token_reward, shapes that differ, and as
            `step_advantages`.
        LogError, MissingInputError, UnknownNameError: As `step_advantages`.

    Example:
        >>> token_advantages(
        ...     "rloo", response_mask=[[1, 0, 1], [1, 1]], group_id="gg", outcome=[1.0, 0.0]
        ... ).tolist()
        [[1.0, 0.0, 1.0], [-1.0, -1.0, 0.0]]
    """
    mask = _padded(response_mask) != 0
    runs = _Runs.of(mask)
    texts: dict[str, list[str]] = {}
    if token_ids is not None:
        ids = _padded(token_ids)
        _require_shape("token_ids", ids, mask)
        text = decode or (lambda some: " ".join(map(str, some)))
        texts = {
            "observation": runs.texts(ids, runs.before, runs.start, text),
            "action": runs.texts(ids, runs.start, runs.end, text),
        }
    steps = step_advantages(
        method,
        group_id=_taken(group_id, runs.row),
        trajectory_id=runs.row.tolist(),
        reward=runs.rewards(mask, outcome, token_reward),
        step_index=runs.place,
        params=params,
        embedder=embedder,
        **texts,
        **{name: _taken(values, runs.row) for name, values in columns.items()},
    )
    spread = np.zeros(mask.shape, dtype=np.float32)
    spread[mask] = steps[runs.of_token(mask)[mask]]
    return spread


@dataclass(frozen=True, kw_only=True)
class _Runs:
    """The unbroken runs of tokens of each row, as steps. (S,) int64 each.

    Args:
        row: Row of each run.
        place: Number of the run in its row.
        before: Where the run before ended; 0 for the first.
        start, end: First token, and the one behind the last.
        first: First run of each row. (B,)
    """

    row: Index
    place: Index
    before: Index
    start: Index
    end: Index
    first: Index

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> _Runs:
        """The runs of a mask; a row without any has one of no tokens. (B, T) bool."""
        edge = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        row, start = np.nonzero(edge == 1)
        end = np.nonzero(edge == -1)[1]
        empty = np.flatnonzero(~mask.any(axis=1))
        row = np.concatenate([row, empty])
        order = np.argsort(row, kind="stable")
        none = np.zeros_like(empty)
        row, start, end = row[order], *(np.append(at, none)[order] for at in (start, end))
        first = np.searchsorted(row, np.arange(len(mask)))
        place = np.arange(len(row)) - first[row]
        before = np.where(place > 0, np.concatenate([[0], end[:-1]]), 0)
        return cls(row=row, place=place, before=before, start=start, end=end, first=first)

    def of_token(self, mask: NDArray[np.bool_]) -> Index:
        """The run that each token belongs to or follows; the first one's before it. (B, T)."""
        begins = np.diff(np.pad(mask, ((0, 0), (1, 0))).astype(np.int8), axis=1) == 1
        number: Index = np.maximum(np.cumsum(begins, axis=1) - 1, 0) + self.first[:, None]
        return number

    def rewards(self, mask: NDArray[np.bool_], outcome: Any, token_reward: Any) -> Real:
        """The reward of each run. (S,) float64."""
        if (outcome is None) == (token_reward is None):
            raise ParameterError("give either outcome, one number per row, or token_reward")
        if outcome is not None:
            numbers = np.asarray(outcome, dtype=np.float64)
            if numbers.shape != (len(mask),):
                raise ParameterError(f"outcome must be ({len(mask)},), got {numbers.shape}")
            last = np.append(self.first[1:], len(self.row)) - 1
            reward = np.zeros(len(self.row))
            reward[last] = numbers
            return reward
        tokens = _padded(token_reward).astype(np.float64)
        _require_shape("token_reward", tokens, mask)
        return segment_sum(tokens.ravel(), self.of_token(mask).ravel(), len(self.row))

    def texts(self, ids: NDArray[Any], low: Index, high: Index, text: Decode) -> list[str]:
        """The text of a range of tokens of each run."""
        return [
            text(ids[row, begin:finish].tolist())
            for row, begin, finish in zip(self.row, low, high, strict=True)
        ]


def _padded(rows: Any) -> NDArray[Any]:
    """Rows of any lengths as one array, 0 behind the shorter ones; a tensor's rows as they are."""
    if isinstance(rows, list | tuple):
        longest = max((len(row) for row in rows), default=0)
        return np.array([[*row, *[0] * (longest - len(row))] for row in rows])
    array = np.asarray(rows)
    if array.ndim != 2:
        raise ParameterError(f"expected one row per rollout, got an array of shape {array.shape}")
    return array


def _require_shape(name: str, array: NDArray[Any], mask: NDArray[np.bool_]) -> None:
    if array.shape != mask.shape:
        raise ParameterError(f"{name} is {array.shape}, response_mask {mask.shape}")


def _require_known(columns: Mapping[str, Any]) -> None:
    unknown = [name for name in columns if known(name) is None]
    if unknown:
        raise ParameterError(f"{unknown} are no columns of the step log")


def _taken(values: Sequence[Any] | NDArray[Any], row: Index) -> list[Any]:
    plain = _plain(values)
    return [plain[number] for number in row]


def _plain(values: Any) -> list[Any]:
    """Numbers and texts of Python, from a list, an array or a tensor."""
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _names(values: Any) -> list[str]:
    return [str(value) for value in _plain(values)]
