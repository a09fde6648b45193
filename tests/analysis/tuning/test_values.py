"""Every number of a tuning by value.

    UPDATE_VALUES=1 pytest tests/analysis/tuning/test_values.py

writes `values.json` anew, to be looked at and committed. That errors are those of rollouts held out
is shown elsewhere; this says that one of the numbers changed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from by_value import unchanged
from logs import random_log
from vectors import random_vectors

from workbench.analysis.tuning.held_out import held_out
from workbench.analysis.tuning.tunable import tunable_methods
from workbench.analysis.tuning.verdict import verdict
from workbench.errors import WorkbenchError
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.states.space import Space

VALUES = Path(__file__).with_name("values.json")


@pytest.mark.parametrize("name", tunable_methods())
def test_every_number_of_a_tuning_is_what_it_was(name: str):
    steps = Steps.from_log(random_log(np.random.default_rng(3), rollouts=4, texts=8, dense=True))
    space, method = Space(steps, embedder=random_vectors(steps, 4)), create(name)
    try:
        held = held_out(method, method(steps, space), space)
    except WorkbenchError as refused:
        unchanged(VALUES, {"refused": str(refused)}, name)
        return
    numbers = {
        field: value.tolist() if isinstance(value, np.ndarray) else value
        for field, value in dataclasses.asdict(held).items()
    }
    said = {"best": held.best, "tied": held.tied, "recommended": held.recommended}
    said |= {"kept": held.kept, "offer": verdict(held).offer, "reason": held.reason}
    unchanged(VALUES, {**numbers, **said}, name)
