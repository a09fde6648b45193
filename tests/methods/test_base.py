"""Names, needs and traits of a method, by value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from workbench.files import file_digest
from workbench.methods import METHODS, create
from workbench.methods.base import _code


@pytest.mark.parametrize(
    ("name", "chains"),
    [
        ("salt", True),  # it says so itself
        ("gigpo", True),  # it discounts by γ
        ("crbc", True),  # and here that is called continuation
        ("grpo", False),
        ("gdpo", False),
    ],
)
def test_a_method_chains_where_it_says_so_or_discounts(name: str, chains: bool):
    assert create(name).chains() is chains


def test_the_code_of_a_method_is_recorded_where_it_is_not_of_this_package(
    monkeypatch: pytest.MonkeyPatch,
):
    class Own:
        """Stands in this file."""

    assert _code(METHODS["grpo"].cls) is None
    assert _code(Own) == file_digest(Path(__file__))
    method = create("grpo:verl-agent")
    known = {"name": "grpo", "dialect": "verl-agent", "fields": method.values}
    assert method.identity("grpo:verl-agent") == known
    monkeypatch.setattr(type(method), "info", replace(method.info, code="ab"))
    assert method.identity("grpo:verl-agent") == {**known, "code": "ab"}
