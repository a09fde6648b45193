"""Temperature sweep: the credit of a log at every τ, and the changes between them.

For a fixed embedding a new τ costs no new similarity. A sweep costs no more than eight
exponentials a similarity: the stops stand at eighths of an octave, and halving τ squares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from workbench.analysis.compare import sign_table
from workbench.log.credit import Credit
from workbench.log.remarks import TOLERANCE
from workbench.log.steps import Index, Real, Steps
from workbench.methods.proximity.proxmo import ProxMO
from workbench.states.peer_rows import PeerRule
from workbench.states.proximity import peer_statistics
from workbench.states.similarity import Similarity
from workbench.states.space import Space
from workbench.states.temperatures import STOPS, octaves

SWEEP_LIMIT = 32_000_000  # numbers of a sweep that is kept: 256 MB
BINS = 61  # odd, so that 0 is in the middle of a bin


def swept(temperature: float, steps: int) -> tuple[float, ...]:
    """Temperatures to sweep for a view of one: all stops at once, where it is one of them.

    Elsewhere, and in a log so long that its baselines at all stops would fill the memory, it alone.
    """
    together = temperature in STOPS and steps * len(STOPS) <= SWEEP_LIMIT
    return STOPS if together else (temperature,)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The baseline of ProxMO's step term at K temperatures, and whom it listens to.

    Args:
        temperatures: The temperatures. (K,)
        baseline: Baseline of each step. (K, S) float64
        own_step: Median weight of a step in its own baseline. (K,) float64
        own_trajectory: Median weight of a step's trajectory in its baseline. (K,) float64
        effective: Median number of equally weighted peers that average as much. (K,) float64
    """

    temperatures: tuple[float, ...]
    baseline: Real
    own_step: Real
    own_trajectory: Real
    effective: Real


def sweep(method: ProxMO, credit: Credit, space: Space, temperatures: Sequence[float]) -> Sweep:
    """Credit of `method` at other temperatures.

    Under peers `same_state` no temperature matters; the medians are NaN then.

    Args:
        method: The method.
        credit: Its credit; only what no temperature changes is taken from it.
        space: The space that it was scored in.
        temperatures: τ > 0. (K,)
    """
    term, steps, peers = credit.terms["step"], credit.steps, method.peers
    count = len(temperatures)
    if peers == "same_state":
        unknown = np.full(count, np.nan)
        return Sweep(
            temperatures=tuple(temperatures),
            baseline=np.broadcast_to(term.baseline, (count, len(steps))),
            own_step=unknown,
            own_trajectory=unknown,
            effective=unknown,
        )
    baseline = method.baselines(steps, space, temperatures)
    weight, similarity = method.peer_weight(steps), space.similarity(method.embedder)
    medians = _medians(similarity, steps, weight, temperatures, peers)
    return Sweep(
        temperatures=tuple(temperatures),
        baseline=baseline,
        own_step=medians[0],
        own_trajectory=medians[1],
        effective=medians[2],
    )


def _medians(
    similarity: Similarity,
    steps: Steps,
    weight: Real,
    temperatures: Sequence[float],
    peers: PeerRule,
) -> Real:
    """Medians over the steps of own step, own trajectory and effective peers. (3, K)."""
    medians = np.zeros((3, len(temperatures)))
    for chain in octaves(temperatures):
        found = peer_statistics(
            similarity,
            steps,
            weight,
            temperatures=[temperatures[k] for k in chain],
            peers=peers,
        )
        for row, values in enumerate((found.own_step, found.own_trajectory, found.effective)):
            medians[row, chain] = np.median(values, axis=1)
    return medians


@dataclass(frozen=True)
class Trial:
    """A method's credit with the temperature left open.

    Args:
        credit: The credit at some temperature.
        sweep: Its baseline at others.
    """

    credit: Credit
    sweep: Sweep

    def place(self, temperature: float) -> int:
        """Place of a temperature in the sweep."""
        return self.sweep.temperatures.index(temperature)

    def advantage(self, temperature: float) -> Real:
        """The advantage of every step at a temperature of the sweep. (S,) float64."""
        step = self.credit.terms["step"]
        own = step.factor * (step.score - self.sweep.baseline[self.place(temperature)])
        return np.asarray(self.credit.terms["episode"].value + own)

    @cached_property
    def largest(self) -> float:
        """The largest size of an advantage at any temperature of the sweep."""
        seen = self.sweep.temperatures[::8] + self.sweep.temperatures[-1:]
        return max(float(np.abs(self.advantage(temperature)).max()) for temperature in seen)


def edges(largest: float) -> Real:
    """Edges of bins around 0 that hold advantages up to a size. (BINS + 1,)."""
    return np.linspace(-1.0, 1.0, BINS + 1) * (largest if largest > TOLERANCE else 1.0)


def histogram(edges: Real, advantage: Real) -> Index:
    """Steps in each bin; what is outside is in the outermost. (BINS,) int64.

    Steps whose advantage is 0 are not counted: a log may have many, and they say nothing of how
    credit spreads.
    """
    advantage = advantage[np.abs(advantage) > TOLERANCE]
    place = np.floor((advantage - edges[0]) / (edges[1] - edges[0])).astype(np.int64)
    return np.bincount(np.clip(place, 0, BINS - 1), minlength=BINS)


def sign_flips(advantage: Real, pinned: Real) -> int:
    """Number of steps above 0 in one credit and below 0 in the other."""
    table = sign_table(advantage, pinned)
    return int(table[0, 2] + table[2, 0])


def success_rates(credit: Credit) -> tuple[Real, Index]:
    """The success rates of groups that occur, and how many groups have each; without unknown ones.

    Args:
        credit: A credit of ProxMO.
    """
    rate = credit.outputs["success_rate"][credit.steps.group_start[:-1]]
    found, count = np.unique(rate[np.isfinite(rate)], return_counts=True)
    return found, count.astype(np.int64)


def similarity_spread(similarity: Similarity) -> float | None:
    """Median over groups of the deviation of similarities between different states of a group.

    The unit in which temperatures of two embedders can be compared. None where no group has three
    states.
    """
    deviations = []
    for group in range(len(similarity.states.start) - 1):
        block = similarity.block(group)
        if len(block) >= 3:
            deviations.append(float(block[np.triu_indices(len(block), 1)].std()))
    return float(np.median(deviations)) if deviations else None
