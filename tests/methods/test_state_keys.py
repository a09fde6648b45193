"""Every method that compares steps in the same state takes every state key."""

from __future__ import annotations

import numpy as np
import pytest
from crediting import credit
from logs import random_log

from workbench.errors import ParameterError
from workbench.log.steps import Steps
from workbench.methods import METHODS, create
from workbench.parameters import fields

ANY_STATE_KEY = ("gigpo", "hgpo", "ecpo", "ecpo-gate", "salt", "bipace-q")


def fields_of(name: str) -> set[str]:
    return set(fields(METHODS[name].cls))


@pytest.mark.parametrize("name", [name for name in METHODS if "state_key" in fields_of(name)])
def test_what_a_state_key_needs_is_needed_by_every_method_that_takes_it(name: str):
    params = {"state_key": "similar:threshold=0.5"}
    assert "similarity" in create(name, params).needs()


@pytest.mark.parametrize("key", ["similar:threshold=0.5", "history", "alfworld", "tool", "code"])
@pytest.mark.parametrize("name", ANY_STATE_KEY)
def test_every_anchor_method_takes_every_state_key(name: str, key: str):
    of = Steps.from_log(random_log(np.random.default_rng(6)))
    found = credit(of, name, state_key=key)
    assert np.isfinite(found.advantage).all()
    with pytest.raises(ParameterError, match="state_key: unknown state key 'exakt'"):
        create(name, {"state_key": "exakt"})
