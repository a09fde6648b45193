"""Keys: rules by which steps of a group are in the same state, or take the same action.

Methods name one by its spec, for example `exact` or `history:length=2`; any key works with any
method that takes one.
"""

from workbench.states.keys.base import (
    ACTION_KEYS,
    STATE_KEYS,
    Key,
    KeySpace,
    action_key,
    labels,
    parse_action_key,
    parse_state_key,
    state_key,
)

__all__ = [
    "ACTION_KEYS",
    "STATE_KEYS",
    "Key",
    "KeySpace",
    "action_key",
    "labels",
    "parse_action_key",
    "parse_state_key",
    "state_key",
]
