"""Small worlds with exact values: sample logs whose true credit is known.

`simulate` writes a step log of a world; `worlds` lists what there is. A new world is a module of
this package with a frozen dataclass under the `world` decorator that draws tasks; see `base` for
what a task is made of. Importing the package registers every one.
"""

from importlib import import_module
from pkgutil import iter_modules

from workbench.simulate.base import (
    Narrator,
    Study,
    Task,
    World,
    drawn_tasks,
    find_world,
    simulate,
    world,
    worlds,
)
from workbench.simulate.codebase import Codebase
from workbench.simulate.helpdesk import Helpdesk
from workbench.simulate.household import Household
from workbench.simulate.model import (
    END,
    Model,
    action_values,
    policy_gradient,
    policy_values,
    sampled_returns,
)

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "END",
    "Codebase",
    "Helpdesk",
    "Household",
    "Model",
    "Narrator",
    "Study",
    "Task",
    "World",
    "action_values",
    "drawn_tasks",
    "find_world",
    "policy_gradient",
    "policy_values",
    "sampled_returns",
    "simulate",
    "world",
    "worlds",
]
