"""Small worlds with exact values: sample logs whose true credit is known.

`simulate` writes a step log of a world; `worlds` lists what there is. A new world is a frozen
dataclass under the `world` decorator that draws tasks; see `base` for what a task is made of.
"""

from workbench.simulate.base import Narrator, Task, World, find_world, simulate, world, worlds
from workbench.simulate.household import Household
from workbench.simulate.model import END, Model, action_values, policy_values, sampled_returns

__all__ = [
    "END",
    "Household",
    "Model",
    "Narrator",
    "Task",
    "World",
    "action_values",
    "find_world",
    "policy_values",
    "sampled_returns",
    "simulate",
    "world",
    "worlds",
]
