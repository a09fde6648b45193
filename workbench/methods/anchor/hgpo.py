"""HGPO: a step's return against those of steps with the same history, long and short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from workbench.log.credit import Peers, Term
from workbench.log.segments import (
    difference,
    segment_constant,
    segment_mean,
    segment_std,
    segment_sum,
)
from workbench.log.steps import Index, Real, Steps, Truth
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod, StateKeyed, StepMethod
from workbench.parameters import parameter
from workbench.states.keys import labels
from workbench.states.keys.history import earlier
from workbench.states.space import Space

_BASE = {"base_group": True}
_MEAN = {"norm": "mean"}
_SHIPPED = {
    "levels": "nonzero",
    "population": "steps",
    "group_of_one": "raw",
    "count_copies": True,
}
_CODE = "langfengQ/verl-agent recipe/hgpo/core_hgpo.py"


@method(
    "hgpo",
    summary="Σ_k w_k · z of G among the group's steps with the same last k states, k = 1 … K + 1",
    source="arXiv 2602.22817",
    needs=("keys",),
    dialects=(
        Dialect(
            name="verl-agent",
            invalid_penalty=0.1,
            source=f"{_CODE}, its runs of ALFWorld",
            fields=_SHIPPED,
            traits=("counts-copies",),
            golden={
                "hgpo_k0_std": Golden(params={"history": 0}),
                "hgpo_k2_std": Golden(),
                "hgpo_k4_std": Golden(params={"history": 4}),
                "hgpo_k2_mean": Golden(params=_MEAN),
                "hgpo_k2_std_alpha0": Golden(params={"length_alpha": 0.0}),
                "hgpo_k2_std_base": Golden(params=_BASE),
                "hgpo_k2_mean_base": Golden(params=_BASE | _MEAN),
            },
        ),
        Dialect(
            name="verl-agent-webshop",
            invalid_penalty=0.1,
            source=f"{_CODE}, its runs of WebShop",
            fields=_SHIPPED | _MEAN,
            traits=("counts-copies",),
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class HGPO(StepMethod, StateKeyed, GroupMethod):
    """Hierarchy of history groups: the longer the shared history, the more a comparison weighs.

        G_t   = r_t + γ G_{t+1}
        a_i^k = (G_i − mean_k G)/(std_k G + eps)        over the steps with the same last k states
        A_i   = ω Σ_k w_k a_i^k,        w_k = (k + 1)^α / Σ_k (k + 1)^α        k = 1 … K + 1

    The present state is the last of the k. A step at index t has the levels k ≤ t + 1 only; sums
    run over those levels that tell something: at least two steps whose returns differ. With
    `base_group` the episode advantage joins in as level 0, with the weight 1.

    Degenerate cases: a step without a telling level gives 0, so equal returns and singletons give
    exactly 0; with K = 0 it is GiGPO's step term with ddof 0.

    **Conventions**: deviation with ddof 0, eps 1e-6; self included; no episode term unless
    `base_group`; there the conventions are GiGPO's; the histories are those of `step_index`.

    **Differs from** the released code, in which a level counts where the step's own a_i^k is not
    exactly 0, so that a step that is just average loses a level and rounding noise keeps dead ones
    alive (dialect, the noise left out; its runs of WebShop divide by no deviation, and all take .1
    off an invalid action). That code takes the order of the rows for the order of the steps; a row
    that the trainer duplicated is a further step of the history there, never here.

    Source: arXiv 2602.22817.
    """

    history: int = parameter(
        2, "K, how many states before the present one", minimum=0, maximum=1000
    )
    length_alpha: float = parameter(
        1.0, "α, how much more longer histories weigh", minimum=0.0, maximum=100.0
    )
    norm: Literal["std", "mean"] = parameter("std", "whether levels are divided by deviations")
    ddof: int = parameter(0, "n − ddof is the denominator of the variance", minimum=0, maximum=1)
    levels: Literal["telling", "nonzero"] = parameter(
        "telling", "which levels weigh: those whose returns differ, or where the step's is not 0"
    )
    base_group: bool = parameter(False, "whether the episode advantage is level 0")

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The levels as one step term, and the episode term if asked."""
        score, weight = self.step_score(steps), self.peer_weight(steps)
        levels = [
            _level(key, score, weight, steps.step_index >= past, self)
            for past, key in enumerate(
                _histories(steps, space.state_key(self.state_key), self.history)
            )
        ]
        share = [(past + 2.0) ** self.length_alpha * level.on for past, level in enumerate(levels)]
        total = np.sum(share, axis=0)
        terms = {}
        if self.base_group:
            scores = episode_scores(self, steps)
            plain = episode_term(self, steps, scores, norm=self.norm, eps=self.eps)
            on = difference(plain.score, plain.baseline) * plain.factor != 0.0
            if self.levels == "telling":
                on |= ~scores.constant[steps.group]
            total = total + on
            share_of_base = on / np.where(total > 0, total, 1.0)
            terms["episode"] = replace(
                plain, factor=self.step_weight * share_of_base * plain.factor
            )
        scaled = [
            part * level.scale / np.where(total > 0, total, 1.0)
            for part, level in zip(share, levels, strict=True)
        ]
        return terms | {"step": _joined(levels, scaled, score, weight, self.step_weight)}


@dataclass(frozen=True, kw_only=True)
class _Level:
    """One length of history.

    Args:
        key: History group of each step. (S,)
        mean, count: Mean and weight of each step's group. (S,), (S,)
        scale: What the difference from the mean is multiplied with. (S,)
        on: Whether the level counts for each step. (S,)
    """

    key: Index
    mean: Real
    count: Real
    scale: Real
    on: Truth


def _histories(steps: Steps, state: Index, history: int) -> list[Index]:
    """Labels by the last 1, 2 … K + 1 states."""
    found = [state]
    for _ in range(history):
        found.append(labels(steps, earlier(steps, found[-1], 1), state))
    return found


def _level(key: Index, score: Real, weight: Real, exists: Truth, method: HGPO) -> _Level:
    keys = int(key.max()) + 1
    count = segment_sum(weight, key, keys)
    mean = segment_mean(score, key, keys, weight)[key]
    level = segment_constant(score, key, keys, weight > 0)
    on = exists & (count >= 2)[key] & ~level[key]
    if method.levels == "nonzero":
        on &= difference(score, mean) != 0.0
    scale = np.ones(len(score))
    if method.norm == "std":
        deviation = segment_std(score, key, keys, weight, method.ddof)
        scale = 1.0 / np.where(level, 1.0, deviation + method.eps)[key]
    return _Level(key=key, mean=mean, count=count[key], scale=scale, on=on)


def _joined(
    levels: list[_Level], scaled: list[Real], score: Real, weight: Real, step_weight: float
) -> Term:
    """Σ_k s_k (x − m_k) as one comparison: with the mean of m_k under the weights s_k."""
    total = np.sum(scaled, axis=0)
    means = np.sum([part * level.mean for part, level in zip(scaled, levels, strict=True)], axis=0)
    baseline = np.where(total > 0, means / np.where(total > 0, total, 1.0), score)

    def facts(step: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for number, (part, level) in enumerate(zip(scaled, levels, strict=True), start=1):
            share = part[step] / total[step] if total[step] else 0.0
            found[f"share_of_{number}"] = float(share)
            found[f"mean_of_{number}"] = float(level.mean[step])
            found[f"size_of_{number}"] = float(level.count[step])
        return found

    def peers(step: int) -> Peers:
        share = np.zeros(len(score))
        for part, level in zip(scaled, levels, strict=True):
            if part[step]:
                here = level.key == level.key[step]
                share[here] += part[step] / total[step] * weight[here] / level.count[step]
        members = np.flatnonzero(share)
        return Peers(step=members, weight=share[members], value=score[members])

    return Term(
        score=score, baseline=baseline, factor=step_weight * total, peers=peers, facts=facts
    )
