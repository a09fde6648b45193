"""GPG by hand, and as mean-only GRPO."""

from __future__ import annotations

import pytest
from crediting import advantage, credit
from hypothesis import given
from hypothesis import strategies as st
from logs import QUARTERS, steps
from worked_logs import LIVE_AND_DEAD, outcomes, two_updates


def test_gpg_makes_up_for_dead_groups():
    # 5 trajectories, 3 of them in a live group: α = 5/3 on 2/3, -1/3, -1/3.
    found = credit(steps(LIVE_AND_DEAD), "gpg")
    assert found.advantage == pytest.approx([10 / 9, -5 / 9, -5 / 9, 0.0, 0.0])
    assert found.explain(0).facts["episode"]["alpha"] == pytest.approx(5 / 3)


def test_gpg_makes_up_for_the_dead_groups_of_each_update():
    # Update 1 has α = 5/3; in update 2 two of four are in a live group: α = 2 on 2 and -2.
    found = credit(two_updates(), "gpg")
    first = [10 / 9, -5 / 9, -5 / 9, 0.0, 0.0]
    assert found.advantage == pytest.approx([*first, 4.0, -4.0, 0.0, 0.0])
    facts = found.explain("j0:0").facts["episode"]
    assert (facts["batch"], facts["alpha"]) == ("run r, update 2", 2.0)


def test_gpg_of_verl_counts_rewards_other_than_zero():
    # One of five is not 0: α = 5.
    found = advantage(steps(LIVE_AND_DEAD), "gpg:verl")
    assert found == pytest.approx([10 / 3, -5 / 3, -5 / 3, 0.0, 0.0])


def test_gpg_divides_by_f():
    assert advantage(steps(LIVE_AND_DEAD), "gpg", f_norm=5.0)[0] == pytest.approx(2 / 9)


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_gpg_without_dead_groups_is_mean_only_grpo(rewards: list[float]):
    of = outcomes(*rewards, 9.0)
    assert advantage(of, "gpg").tolist() == advantage(of, "grpo", norm="mean").tolist()
