"""Keys that say which steps of a group are in the same state, or take the same action.

Importing this package registers all of them. Methods name one by its spec, for example `exact` or
`history:length=2`; any key works with any method that takes one.
"""

from importlib import import_module
from pkgutil import iter_modules

from workbench.states.keys.base import (
    Key,
    KeySpace,
    action_key,
    action_keys,
    labels,
    parse_action_key,
    parse_state_key,
    state_key,
    state_keys,
)

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Key",
    "KeySpace",
    "action_key",
    "action_keys",
    "labels",
    "parse_action_key",
    "parse_state_key",
    "state_key",
    "state_keys",
]
