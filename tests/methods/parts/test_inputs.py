"""Columns that a method needs and a log lacks."""

from __future__ import annotations

import pytest
from crediting import credit
from worked_logs import outcomes

from workbench.errors import MissingInputError


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("opo", "response_tokens"),
        ("reinforce\\+\\+", "response_tokens"),
        ("remax", "greedy_reward"),
        ("gdpo", "aux_reward_"),
    ],
)
def test_a_log_without_the_column_is_refused_in_one_sentence(name: str, column: str):
    method = name.replace("\\", "")
    params = {"batch_weight": "tokens"} if "reinforce" in name else {}
    with pytest.raises(MissingInputError, match=f"^{name} needs `{column}.*Hint: "):
        credit(outcomes(1.0, 0.0), method, **params)


@pytest.mark.parametrize(
    ("name", "column"), [("opo", "response_tokens"), ("remax", "greedy_reward")]
)
def test_a_gap_in_the_column_is_refused_with_its_place(name: str, column: str):
    of = outcomes(1.0, 0.0, **{column: [None, 3]})
    with pytest.raises(MissingInputError, match=f"`{column}` is not known in 1 of 2.*'g0'"):
        credit(of, name)
