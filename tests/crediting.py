"""Credit of a method on a small log, and its parts as arrays."""

from __future__ import annotations

import polars as pl
import pytest

from workbench.log.credit import Credit
from workbench.log.schema import validate
from workbench.log.steps import Real, Steps
from workbench.methods import create
from workbench.states.space import Space


def credit(of: Steps | pl.DataFrame, name: str, /, **params: object) -> Credit:
    """The credit of steps, or of the scored ones of a frame, with texts compared by TF-IDF."""
    steps = of if isinstance(of, Steps) else Steps.from_log(validate(of).log)
    return create(name, params)(steps, Space(steps, embedder="tfidf"))


def advantage(of: Steps | pl.DataFrame, name: str, /, **params: object) -> Real:
    """The advantages of that credit."""
    return credit(of, name, **params).advantage


def term(of: Steps | pl.DataFrame, name: str, which: str, /, **params: object) -> Real:
    """One term of that credit."""
    return credit(of, name, **params).terms[which].value


def near(*numbers: float) -> object:
    """Equal to these numbers but for rounding."""
    return pytest.approx(list(numbers), abs=1e-12)
