"""Small worlds with exact values: sample logs whose true credit is known.

`simulate` writes a step log of a world; `WORLDS` lists them. A new world is a module of this
package with a frozen dataclass under the decorator `world` that draws tasks; `base` says what a
task is made of.
"""

from workbench.simulate.base import (
    WORLDS,
    Narrator,
    Study,
    Task,
    World,
    drawn_tasks,
    simulate,
    world,
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

__all__ = [
    "END",
    "WORLDS",
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
    "policy_gradient",
    "policy_values",
    "sampled_returns",
    "simulate",
    "world",
]
