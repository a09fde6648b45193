"""Methods and dialects as one list, and in which fields two of them differ."""

from __future__ import annotations

import pytest

from workbench.errors import UnknownNameError
from workbench.methods import METHODS, create
from workbench.methods.variants import differences, variants


def test_every_method_and_every_dialect_can_be_made():
    names = variants()
    # What-if by itself changes nothing, so it is no choice.
    assert len(names) == sum(1 + len(method.dialects) for method in METHODS.values()) - 1
    assert "what-if" not in names
    for name in names:
        create(name)


def test_a_dialect_differs_in_the_fields_it_sets():
    fields = {difference.field for difference in differences("gigpo", "gigpo:verl-agent")}
    assert fields == set(METHODS["gigpo"].dialects["verl-agent"].fields)


def test_a_method_does_not_differ_from_itself_but_from_itself_set_otherwise():
    assert differences("proxmo", "proxmo") == []
    (found,) = differences("proxmo", "proxmo", None, {"temperature": 0.5})
    assert (found.field, found.right) == ("temperature", "0.5")
    assert found.meaning


def test_a_field_that_only_one_has_is_a_dash_on_the_other_and_comes_last():
    found = differences("grpo:verl", "proxmo")
    lonely = ["–" in (difference.left, difference.right) for difference in found]
    assert lonely == sorted(lonely)
    temperature = next(difference for difference in found if difference.field == "temperature")
    assert temperature.left == "–"


def test_an_unknown_method_is_refused():
    with pytest.raises(UnknownNameError):
        differences("grpo", "nonsense")
