"""REINFORCE++ by hand, and as GRPO on one group."""

from __future__ import annotations

import numpy as np
import pytest
from crediting import advantage, credit
from hypothesis import given
from hypothesis import strategies as st
from logs import QUARTERS, steps
from worked_logs import LIVE_AND_DEAD, outcomes, two_updates


def test_reinforce_is_against_the_whole_batch():
    # Rewards 1, 0, 0 | 0, 0: mean 1/5, deviation sqrt(1/5).
    found = advantage(steps(LIVE_AND_DEAD), "reinforce++", batch_eps=0.0)
    assert found == pytest.approx([4 / np.sqrt(5), *[-1 / np.sqrt(5)] * 4])


def test_reinforce_keeps_two_updates_apart():
    # Update 1 as above. Update 2 has 4, 0 | 2, 2: mean 2, deviation sqrt(8/3), and 2 over that is
    # sqrt(3/2). Over all nine the mean would be 1 and the deviation sqrt(16/8).
    found = credit(two_updates(), "reinforce++", batch_eps=0.0)
    first = [4 / np.sqrt(5), *[-1 / np.sqrt(5)] * 4]
    assert found.advantage == pytest.approx([*first, np.sqrt(1.5), -np.sqrt(1.5), 0.0, 0.0])
    assert found.notes == ()
    of_second = found.explain("i0:0")
    facts = of_second.facts["batch"]
    assert facts["compared_with"] == "the mean of the batch (run r, update 2)"
    assert (facts["baseline"], facts["batch_std"]) == (2.0, pytest.approx(np.sqrt(8 / 3)))
    assert sorted(of_second.peers["trajectory_id"]) == ["i0", "i1", "j0", "j1"]


def test_reinforce_says_where_a_log_names_no_update():
    found = credit(steps(LIVE_AND_DEAD), "reinforce++")
    facts = found.explain(0).facts["batch"]
    assert facts["compared_with"] == "the mean of the batch (the whole log)"
    assert found.notes == (
        "the log has no train_step, so all of it is taken for one batch, over which statistics run",
    )


def test_reinforce_says_which_groups_name_no_update_or_several_runs():
    # Group g is of runs r and s and counts as r's; group h names no update.
    found = credit(
        steps(LIVE_AND_DEAD, run_id=[*"rsrrr"], train_step=[1, 1, 1, None, None]), "reinforce++"
    )
    assert found.notes == (
        "1 of 2 groups has no train_step; those of a run are taken for one batch",
        "1 of 2 groups has several values of run_id; each is taken to be of the first",
    )
    assert (found.advantage[3:] == 0.0).all()


@given(st.lists(QUARTERS, min_size=2, max_size=6))
def test_reinforce_on_one_group_is_grpo(rewards: list[float]):
    of = outcomes(*rewards)
    np.testing.assert_allclose(
        advantage(of, "reinforce++"), advantage(of, "grpo"), rtol=1e-12, atol=1e-12
    )


def test_reinforce_over_tokens_counts_each_of_them():
    # 1 once and 0 three times: mean 1/4, squares 9/16 + 3/16 = 3/4 over 3: deviation 1/2.
    of = outcomes(1.0, 0.0, response_tokens=[1, 3])
    found = advantage(of, "reinforce++", batch_weight="tokens", batch_eps=0.0)
    assert found == pytest.approx([1.5, -0.5])
    # As in verl, with 0.75 under the root: sqrt(1/4 + 3/4) = 1.
    under = {"batch_eps": 0.75, "batch_eps_on": "variance"}
    assert advantage(of, "reinforce++:verl", **under) == pytest.approx([0.75, -0.25])
