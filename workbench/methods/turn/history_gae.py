"""History GAE: what a rollout did beyond the value of its own history, learned from the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from threadpoolctl import threadpool_limits

from workbench.log.credit import Term, no_peers
from workbench.log.segments import (
    backward_sums,
    discounted_returns,
    segment_constant,
    segment_std,
    td_errors,
)
from workbench.log.steps import Index, Real, Steps, Truth
from workbench.methods.base import Method, method
from workbench.methods.parts.batches import runs
from workbench.methods.parts.history import FIXED, features, kinds_of, means_of_others
from workbench.parameters import parameter
from workbench.states.space import Space
from workbench.wording import of_all

_ROWS = 65_536  # steps whose features are in memory at once; a trajectory is never divided


@method(
    "history-gae",
    summary="GAE over V, a ridge regression of other trajectories' returns on what was done so far",
    source="ours; arXiv 1506.02438 on cross-fitted values",
    traits=("couples-groups", "couples-batches", "credits-dead-groups", "mixed-scale"),
)
@dataclass(frozen=True, kw_only=True)
class HistoryGAE(Method):
    """GAE over the value of a history, which no part of the same trajectory was fitted to.

        y_t  = r_t + γ y_{t+1}                           0 after the end
        m_t  = mean of y over the steps of the other trajectories of the group
        φ_t  = [t/H, (t/H)², 1, m_t, last:k, ever:k …]   H longest trajectory of the batch
        A    = .8 A + Σ φ φᵀ,   c = .8 c + Σ φ y          over the batches so far; .8 is `pool`
        β_−i = (A − Σ_i φ φᵀ + αI)⁻¹ (c − Σ_i φ y)        Σ_i over the steps of trajectory i
        V_t  = φ_t · β_−i,   δ_t = r_t + γ V_{t+1} − V_t
        A_t  = δ_t + γλ A_{t+1}          over the batch's deviation of A + eps if `norm="batch"`

    last:k is 1 for the kind k of the action before, ever:k for every kind so far; a kind is what an
    action does and how many words of the task it has, such as "take+2" (see
    `parts.history.kind_of`). So the value of "the right thing was taken" is learned across tasks,
    which no comparison inside a group of eight can. λ keeps 90 % of a rollout's own outcome at each
    step. (V of all steps of i comes from one factorisation: y_i − V_i = (I − H_i)⁻¹ (y_i − ŷ_i),
    H_i = Φ_i (A + αI)⁻¹ Φ_iᵀ.)

    Degenerate cases: a batch whose counted trajectories have equal episode rewards gives exactly 0;
    m of a group of one is the mean of the batch's other groups; a step without a task shares no
    words with it; a trajectory outside the statistics gets V and is fitted to nothing.

    **Conventions**: all trajectories that count, each step once; batches are those of a run in the
    order of train_step, and one that names no update stands alone; the kinds that are told apart
    are the most frequent of each batch, those of earlier batches first, and rarer ones share a kind
    for each number of words; α shrinks all of β, the constant too; groups of equal rewards get
    credit, since V knows other groups; no penalty of invalid actions; undivided, the deviation over
    the steps that count (ddof 1, 0 for one) where it is divided.

    **Differs from** GAE with a critic (`turn-gae`) by V, which is a closed form of this log. γ, λ
    and α were chosen on simulated households; a smaller λ measures better in one batch's gradient
    and trains worse.

    Source: ours; Schulman et al., arXiv 1506.02438 (GAE); Hoerl and Kennard, Ridge Regression,
    Technometrics 12, 1970.
    """

    gamma: float = parameter(0.95, "γ, discount per step", minimum=0.0, maximum=1.0)
    lam: float = parameter(0.9, "λ, weight of longer sums", minimum=0.0, maximum=1.0)
    ridge: float = parameter(
        30.0,
        "α, how strongly V is drawn to 0",
        minimum=0.0,
        minimum_exclusive=True,
    )
    pool: float = parameter(
        0.8,
        "what the batch before counts for in the fit; 0 keeps batches apart",
        minimum=0.0,
        maximum=1.0,
    )
    kinds: int = parameter(64, "how many kinds of actions are told apart", minimum=0)
    dead_groups: Literal["credit", "zero"] = parameter(
        "credit", "whether groups of equal rewards get credit"
    )

    norm: Literal["batch", "none"] = parameter(
        "none", "whether credit is divided by its deviation over the batch"
    )
    eps: float = parameter(1e-6, "added to the deviation", minimum=0.0)

    def couples_batches(self) -> bool:
        """True where earlier batches are pooled."""
        return self.pool > 0.0

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The sum of what the rewards were beyond the values of histories."""
        returns = discounted_returns(steps.reward, steps.step_index, self.gamma)
        with threadpool_limits(limits=1, user_api="blas"):  # the same sums on every machine
            fitted = _Fitted(self, steps, returns)
        delta = td_errors(steps.reward, fitted.value, steps.step_index, self.gamma)
        gain = backward_sums(delta, self.gamma * self.lam, steps.step_index)
        live = ~_level(steps, steps.batch, steps.batches)
        if self.dead_groups == "zero":
            live &= ~_level(steps, steps.group, steps.groups)

        def facts(step: int) -> dict[str, Any]:
            return {
                "batch": steps.batch_name(int(steps.batch[step])),
                "td_error": float(delta[step]),
                **fitted.shares(step),
            }

        return {
            "step": Term(
                score=fitted.value + gain,
                baseline=fitted.value,
                factor=live * self._scale(steps, gain),
                peers=no_peers,
                facts=facts,
                compared_with="value of the history, fitted to the other trajectories",
                outputs={"history_value": fitted.value},
            )
        }

    def _scale(self, steps: Steps, gain: Real) -> Real:
        """Factor on the credit of each step. (S,)."""
        if self.norm == "none":
            return np.ones(len(steps))
        counted = steps.counted.astype(np.float64)
        deviation = segment_std(gain, steps.batch, steps.batches, counted, ddof=1)
        return np.asarray(1.0 / (deviation + self.eps)[steps.batch])

    def notes(self, steps: Steps) -> Sequence[str]:
        """Note on missing tasks, from which this credit learns most."""
        missing = int(steps.column("task").is_null().sum())
        if not missing:
            return ()
        return [
            f"{of_all(missing, len(steps), 'step', 'have')} no task, so nothing tells which of "
            "their actions were about it; in simulation that was worth most of what this credit "
            "gains"
        ]


def _level(steps: Steps, segment: Index, segments: int) -> Truth:
    """Mask of steps in segments whose counted trajectories have equal episode rewards. (S,)."""
    first = steps.trajectory_start[:-1]
    level = segment_constant(steps.episode_reward, segment[first], segments, steps.counted[first])
    return np.asarray(level[segment])


@dataclass(kw_only=True)
class _Sums:
    """Sums for a least-squares fit of F features; F grows with the known kinds.

    Attributes:
        gram: Σ φ φᵀ. (F, F)
        moment: Σ φ y. (F,)
        place: Kind -> its number, in the order in which kinds became known.
    """

    gram: Real = field(default_factory=lambda: np.zeros((len(FIXED), len(FIXED))))
    moment: Real = field(default_factory=lambda: np.zeros(len(FIXED)))
    place: dict[str, int] = field(default_factory=dict)

    def grown(self, place: dict[str, int], share: float) -> _Sums:
        """A share of these sums, with room for more kinds."""
        size = len(FIXED) + 2 * len(place)
        gram, moment = np.zeros((size, size)), np.zeros(size)
        known = len(self.moment)
        gram[:known, :known] = share * self.gram
        moment[:known] = share * self.moment
        return _Sums(gram=gram, moment=moment, place=place)


class _Fitted:
    """Values of all steps, batch after batch.

    Args:
        method: Its fields.
        steps: The steps.
        returns: y. (S,)

    Attributes:
        value: V of each step. (S,) float64.
    """

    def __init__(self, method: HistoryGAE, steps: Steps, returns: Real) -> None:
        self._ridge, self._most = method.ridge, method.kinds
        self._steps, self._returns = steps, returns
        self._kinds = kinds_of(steps)
        self._sums: dict[int, _Sums] = {}
        self._longest = np.zeros(steps.batches)
        self._mean = means_of_others(steps, returns)
        self.value = np.zeros(len(steps))
        for run in runs(steps):
            sums = _Sums()
            for batch in run:
                sums = self._fit(batch, sums, method.pool)

    def _fit(self, batch: int, before: _Sums, share: float) -> _Sums:
        """Fit a batch after those before it, and take the values of its steps."""
        steps = self._steps
        rows = np.flatnonzero(steps.batch == batch)
        counted = rows[steps.counted[rows]]
        self._longest[batch] = max(int(steps.step_index[counted].max(initial=0)) + 1, 1)
        sums = before.grown(self._known(counted, before.place), share)
        self._sums[batch] = sums
        for part in self._parts(rows):
            counts = steps.counted[part]
            known = self._features(part, batch)[counts]
            sums.gram += known.T @ known
            sums.moment += known.T @ self._returns[part][counts]
        shrunk = sums.gram + self._ridge * np.identity(len(sums.gram))
        lower = np.linalg.cholesky(shrunk)
        weights = cho_solve((lower, True), sums.moment)
        for part in self._parts(rows):
            known = self._features(part, batch)
            fit = known @ weights
            half = solve_triangular(lower, known.T, lower=True).T
            start = np.flatnonzero(steps.step_index[part] == 0)
            for first, last in zip(start, np.append(start[1:], len(part)), strict=True):
                own = slice(int(first), int(last))
                if not steps.counted[part[first]]:
                    self.value[part[own]] = fit[own]
                    continue
                mine = self._returns[part[own]]
                if last - first <= len(lower):
                    rest = np.identity(last - first) - half[own] @ half[own].T
                    self.value[part[own]] = mine - np.linalg.solve(rest, mine - fit[own])
                else:  # a long trajectory has more steps than features
                    self.value[part[own]] = known[own] @ self._weights(sums, known[own], mine)
        return sums

    def _weights(self, sums: _Sums, known: Real, mine: Real) -> Real:
        """β without a trajectory: its features and returns. (F,)."""
        gram = sums.gram - known.T @ known + self._ridge * np.identity(len(sums.gram))
        return np.asarray(cho_solve(cho_factor(gram, lower=True), sums.moment - known.T @ mine))

    def _known(self, counted: Index, before: Mapping[str, int]) -> dict[str, int]:
        """Kinds that have features: those of earlier batches, then the most frequent here."""
        number = np.bincount(self._kinds.code[counted], minlength=len(self._kinds.name))
        found = dict(before)
        names = self._kinds.name
        for kind in np.argsort(-number, kind="stable"):
            if number[kind] and names[kind] not in found:
                name = names[kind] if _told_apart(found) < self._most else _shared(names[kind])
                found.setdefault(name, len(found))
        return found

    def _parts(self, rows: Index) -> Iterator[Index]:
        """Rows of a batch in parts that fit into memory, each of whole trajectories."""
        start = np.flatnonzero(self._steps.step_index[rows] == 0)
        number = start // _ROWS
        edges = start[np.flatnonzero(np.diff(number, prepend=-1))]
        yield from np.split(rows, edges[1:])

    def _features(self, part: Index, batch: int) -> Real:
        steps, place = self._steps, self._sums[batch].place
        numbers = np.array(
            [place.get(name, place.get(_shared(name), -1)) for name in self._kinds.name]
        )
        position = steps.step_index[part] / self._longest[batch]
        code = numbers[self._kinds.code[part]]
        first = steps.step_index[part] == 0
        return features(position, code, first, self._mean[part], len(place))

    def shares(self, step: int) -> dict[str, float]:
        """Contribution of each feature of a step to its value; they sum to it."""
        steps, batch = self._steps, int(self._steps.batch[step])
        sums, trajectory = self._sums[batch], steps.trajectory[step]
        first, last = steps.trajectory_start[trajectory : trajectory + 2].tolist()
        known = self._features(np.arange(first, last), batch)
        counts = bool(steps.counted[step])
        own = known if counts else known[:0]
        mine = self._returns[first:last] if counts else self._returns[:0]
        added = known[step - first] * self._weights(sums, own, mine)
        names = [*FIXED, *(f"{when} {name}" for name in sums.place for when in ("last", "ever"))]
        return {name: float(share) for name, share in zip(names, added, strict=True) if share}


def _told_apart(found: Mapping[str, int]) -> int:
    """Number of kinds with features of their own."""
    return sum(not name.startswith("*") for name in found)


def _shared(kind: str) -> str:
    """The kind that rare ones with as many words of the task share; no action has its name."""
    return f"*+{kind.rpartition('+')[2]}"
