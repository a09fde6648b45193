"""Bounds on an audit: how they are written, and what breaks them."""

from __future__ import annotations

import pytest
from logs import Described, steps
from scored_credits import credit

from workbench.analysis.audit import audit
from workbench.analysis.audit.bounds import Bound, broken, parse_bound
from workbench.errors import ParameterError, UnknownNameError
from workbench.methods import create
from workbench.states.space import Space


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("any", "any"),
        ("dead-groups", "dead-groups"),
        ("dead_groups>0.5", Bound(measure="dead_groups", sign=">", limit=0.5)),
        (" dead_groups <= -1e-3 ", Bound(measure="dead_groups", sign="<=", limit=-0.001)),
    ],
)
def test_a_bound_is_a_finding_or_a_measure_and_its_limit(text: str, bound: str | Bound):
    assert parse_bound(text) == bound


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("dead_groups", UnknownNameError, "unknown finding"),
        ("dead-groups>1", UnknownNameError, "unknown measure"),
        ("dead_groups>much", ParameterError, "'much' is no number"),
    ],
)
def test_what_is_no_bound_is_refused(text: str, error: type[Exception], says: str):
    with pytest.raises(error, match=says):
        parse_bound(text)


@pytest.mark.parametrize(
    ("text", "is_broken"),
    [
        ("dead_groups>0.5", False),
        ("dead_groups>=0.5", True),
        ("dead_groups<0.5", False),
        ("dead_groups<=0.5", True),
        ("cut_texts>0", True),  # TF-IDF cuts none, so nobody measured it
        ("dead-groups", False),
        ("any", False),
    ],
)
def test_a_bound_is_broken_beyond_its_limit_or_by_what_is_not_known(text: str, is_broken: bool):
    # One of two groups is dead, which is not yet found.
    described: Described = {
        "g": {"a": [("x", "y", 1.0)], "b": [("x", "z", 0.0)]},
        "h": {"c": [("x", "y", 1.0)], "d": [("x", "z", 1.0)]},
    }
    space = Space(steps(described), embedder="tfidf")
    found = audit(space, {"grpo": credit(create("grpo"), space)}, controls=())
    assert bool(broken(found, [parse_bound(text)])) is is_broken
