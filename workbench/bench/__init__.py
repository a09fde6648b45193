"""Benchmarks of methods on the worlds of `simulate`, where the truth is known."""

from workbench.bench.bounds import BoundError
from workbench.bench.conditions import WORLDS_VERSION, Condition, conditions
from workbench.bench.fidelity import Fidelity, fidelity
from workbench.bench.gradients import gradients, prediction, scores
from workbench.bench.training import Training, training
from workbench.bench.tuning import Tuning, tuning

__all__ = [
    "WORLDS_VERSION",
    "BoundError",
    "Condition",
    "Fidelity",
    "Training",
    "Tuning",
    "conditions",
    "fidelity",
    "gradients",
    "prediction",
    "scores",
    "training",
    "tuning",
]
