"""Controls: credits that a method must beat before anything is claimed for it.

`random` and `step-index` know nothing of rewards; `shuffled` and `trajectory` take the placement
out of another credit; `return-to-go` has the discount and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from workbench.log.credit import Term, no_peers
from workbench.log.segments import discounted_returns, segment_constant, segment_mean
from workbench.log.steps import Index, Real, Steps
from workbench.methods.base import Method, create, method
from workbench.methods.parts.anchor import anchor_term
from workbench.methods.parts.fields import Wrapper
from workbench.parameters import parameter
from workbench.states.space import Space


def noise(steps: Steps, seed: int) -> Real:
    """A uniform number in (0, 1) for each step, a function of its ids and the seed alone. (S,).

    The ids are hashed once per trajectory, and each step's place is mixed in with the finaliser of
    SplitMix64, so neither the order of the rows nor the rest of the log plays a part.
    """
    ids = steps.log["trajectory_id"].gather(steps.row[steps.trajectory_start[:-1]])
    digests = [hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8] for name in ids]
    bits = np.frombuffer(b"".join(digests), dtype="<u8")[steps.trajectory]
    golden_ratio = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        bits = bits + golden_ratio * (steps.step_index.astype(np.uint64) + np.uint64(1))
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits = (bits ^ (bits >> np.uint64(31))) >> np.uint64(11)
    uniform: Real = (bits.astype(np.float64) + 0.5) * 2.0**-53
    return uniform


def _bare(value: Real) -> Term:
    """A term that is compared with nothing."""
    zero = np.zeros_like(value)
    one = np.ones_like(value)
    return Term(score=value, baseline=zero, factor=one, peers=no_peers, facts=lambda step: {})


@method(
    "random",
    summary="a standard normal number drawn for the step",
    source="control",
    traits=("ignores-rewards", "depends-on-ids"),
)
@dataclass(frozen=True, kw_only=True)
class RandomCredit(Method):
    """Noise: what a measure says of a credit that knows nothing.

        A_i = Φ⁻¹(u_i)        u_i uniform in (0, 1) by a hash of seed, trajectory and step

    Degenerate cases: none; every step has its number whatever the rewards.

    **Conventions**: the number depends on the seed and the step's ids alone.

    **Differs from** nothing; it is ours.

    Source: a control, as in Credit Without Ground Truth, arXiv 2608.19760.
    """

    seed: int = parameter(0, "of the draw", minimum=0)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The noise."""
        return {"noise": _bare(ndtri(noise(steps, self.seed)))}


@method(
    "step-index",
    summary="t − mean of t over the group's steps: position as if it were merit",
    source="control",
    chains=True,
    traits=("ignores-rewards",),
)
@dataclass(frozen=True, kw_only=True)
class StepIndex(Method):
    """Position: later steps get more credit, whatever they did.

        A_i = t_i − mean_g(t)

    Degenerate cases: groups whose trajectories have one step give exactly 0.

    **Conventions**: mean over the group's steps that count in its statistics, self included.

    **Differs from** nothing; it is ours.

    Source: a control, as in Credit Without Ground Truth, arXiv 2608.19760.
    """

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The position against the group's."""
        score = steps.step_index.astype(np.float64)
        counted = steps.counted.astype(np.float64)
        return {
            "position": anchor_term(steps.group, score, counted, norm="mean", eps=0.0, factor=1.0)
        }


@method(
    "return-to-go",
    summary="G − mean of G over all steps of the group: the discount and nothing else",
    source="control",
)
@dataclass(frozen=True, kw_only=True)
class ReturnToGo(Method):
    """Discounted return less a constant: what the discount alone is worth.

        G_t = r_t + γ G_{t+1}
        A_i = G_i − mean_g(G)                over std_g(G) + eps if `norm="std"`

    It is ProxMO's step term at τ → ∞, where no text matters.

    Degenerate cases: equal returns of a group give exactly 0.

    **Conventions**: mean over the group's steps that count in its statistics, self included; group
    of one: against the trajectory's own mean; undivided, ddof 1 where it is divided.

    **Differs from** REINFORCE with a baseline by the baseline, which is the group's.

    Source: a control; Williams, Machine Learning 8, 1992.
    """

    gamma: float = parameter(0.95, "γ, discount per step", minimum=0.0, maximum=1.0)
    norm: Literal["std", "mean"] = parameter(
        "mean", "whether to divide by the deviation of the group's returns"
    )
    eps: float = parameter(1e-6, "added to the deviation", minimum=0.0)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The return against the group's mean."""
        score = discounted_returns(steps.reward, steps.step_index, self.gamma)
        counted = steps.counted.astype(np.float64)
        term = anchor_term(steps.group, score, counted, norm=self.norm, eps=self.eps, factor=1.0)
        return {"step": term}


@method(
    "shuffled",
    summary="another method's credit, its steps shuffled inside each trajectory",
    source="control",
    traits=("depends-on-ids",),
)
@dataclass(frozen=True, kw_only=True)
class Shuffled(Wrapper):
    """The same numbers in each trajectory, at the wrong steps.

        A_i = A'_π(i)        π a permutation of the trajectory's steps, A' the credit of `of`

    What it keeps is the trajectory's share of the credit; what another credit has beyond it is
    what its placement is worth.

    Degenerate cases: those of `of`; a trajectory of one step keeps its credit.

    **Conventions**: the permutation depends on the seed and the steps' ids alone.

    **Differs from** nothing; it is ours.

    Source: a control, as in Credit Without Ground Truth, arXiv 2608.19760.
    """

    seed: int = parameter(0, "of the permutation", minimum=0)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The terms of the other method, moved together."""
        source = np.lexsort((noise(steps, self.seed), steps.trajectory))
        credit = create(self.of)(steps, space)
        return {name: _moved(term, source) for name, term in credit.terms.items()}


def _moved(term: Term, source: Index) -> Term:
    return Term(
        score=term.score[source],
        baseline=term.baseline[source],
        factor=np.broadcast_to(term.factor, source.shape)[source],
        peers=lambda step: term.peers(int(source[step])),
        facts=lambda step: term.facts(int(source[step])),
    )


@method(
    "trajectory",
    summary="the mean of another method's credit over the trajectory, the same for every step",
    source="control",
)
@dataclass(frozen=True, kw_only=True)
class TrajectoryMean(Wrapper):
    """A credit without its placement: every step has its trajectory's mean.

        A_i = mean of A' over the steps of i's trajectory        A' the credit of `of`

    Degenerate cases: those of `of`; equal credits of a trajectory stay as they are.

    **Conventions**: every step of the trajectory counts once.

    **Differs from** nothing; it is ours.

    Source: a control, as in Credit Without Ground Truth, arXiv 2608.19760.
    """

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The mean."""
        advantage = create(self.of)(steps, space).advantage
        trajectory, count = steps.trajectory, steps.trajectories
        constant = segment_constant(advantage, trajectory, count)[trajectory]
        mean = segment_mean(advantage, trajectory, count)[trajectory]
        return {"mean": _bare(np.where(constant, advantage, mean))}
