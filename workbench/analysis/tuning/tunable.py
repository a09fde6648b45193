"""Fields of methods that held-out rollouts can choose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol, runtime_checkable

from workbench.analysis.tuning.thresholds import KeyThreshold
from workbench.errors import ParameterError
from workbench.log.steps import Real, Steps
from workbench.methods import METHODS, Method, create
from workbench.methods.capabilities import HasStateKey
from workbench.states.keys import parse_state_key
from workbench.states.keys.similar import Similar
from workbench.states.space import Space


@runtime_checkable
class Tunable(Protocol):
    """A method with a field that held-out rollouts can choose; a method has it by declaring this.

    Attributes:
        tunable: The field.
        tunable_symbol: What it is called in a formula.
    """

    tunable: ClassVar[str]
    tunable_symbol: ClassVar[str]

    def candidates(self, space: Space) -> Sequence[float]:
        """Values to try, ascending."""

    def target(self, steps: Steps) -> Real:
        """The return of each step that the baseline predicts. (S,) float64."""


@runtime_checkable
class PredictsAtOnce(Protocol):
    """A tunable method that needs no rescoring for each value and each rollout held out."""

    def held_out_baselines(
        self, steps: Steps, space: Space, score: Real, weight: Real, values: Sequence[float]
    ) -> Iterator[tuple[int, Real]]:
        """Baseline of each step's score from the group's other trajectories, for each value.

        Yields:
            Place of a value, and the baseline under it (S,) float64, to be used before the next.
        """


def tuned_by(method: Method) -> Tunable:
    """Interface to the field of a method that held-out rollouts can choose.

    The threshold of a state key by similarity where it runs with one, else the field that it
    declares, else the threshold of `similar` in place of the exact keys that it runs with.

    Raises:
        ParameterError: There is nothing, or the state key has no threshold.
    """
    found = _tuned_by(method)
    if found is None:
        raise ParameterError(
            f"{method.info.name} has no field that held-out rollouts can choose; these have: "
            f"{tunable_methods()}"
        )
    return found


def _tuned_by(method: Method) -> Tunable | None:
    key = parse_state_key(method.state_key) if isinstance(method, HasStateKey) else None
    if isinstance(method, Tunable) and not isinstance(key, Similar):
        return method
    return KeyThreshold.of(method) if key is not None else None


def tunable_methods() -> list[str]:
    """Names of the methods that can be tuned."""
    return [name for name in METHODS if _tuned_by(create(name)) is not None]


def present(tuned: Tunable) -> float | None:
    """The value that the method has, `EXACT` for exact keys; None where there is none."""
    if isinstance(tuned, KeyThreshold):
        return tuned.present
    value = getattr(tuned, tuned.tunable)
    return float(value) if isinstance(value, int | float) else None
