"""The graph of a group's transitions, and its values."""

from __future__ import annotations

import pytest
from crediting import credit
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import described_logs, steps
from transition_graphs import graph_of
from worked_logs import HALL

from workbench.methods.parts.transitions import END


def test_transitions_lead_to_the_state_of_the_next_step_or_to_the_end():
    # hall 0, door 1; pairs hall/open, door/go, hall/wait.
    graph = graph_of(steps(HALL))
    assert graph.state.tolist() == [0, 1, 0, 0]
    assert graph.next_state.tolist() == [1, END, 0, END]
    assert graph.visits.tolist() == [3.0, 1.0]
    assert graph.actions.tolist() == [2, 1]
    assert len(set(graph.pair.tolist())) == 3


def test_values_solve_the_closure():
    # λ ½: V(door) = 1. V(hall) = (½ V(door) + ½ V(hall) + 0) / 3 = (½ + ½ V) / 3, so V = ½ / 2.5.
    assert graph_of(steps(HALL)).values(0.5) == pytest.approx([0.2, 1.0])


@given(described_logs(max_rollouts=5, max_length=5), st.sampled_from([0.0, 0.5, 0.98, 1.0]))
@settings(max_examples=60)
def test_solved_values_are_a_fixed_point_that_repeated_backups_approach(described, discount):
    graph = graph_of(steps(described))
    value = graph.values(discount)
    again = graph.state_mean(graph.outcome(value, discount))
    assert again == pytest.approx(value, abs=1e-9)
    backed = graph.values_to_depth(discount, graph.reward, depth=3000 if discount < 1 else 0)
    if discount < 1:
        assert backed == pytest.approx(value, abs=1e-9)


def test_a_truncated_rollout_fails_or_stays_or_is_no_evidence():
    cut = steps(HALL, truncated=[False, False, False, True])
    # failure: as before. bootstrap: V = (½ + ½V + ½V)/3, so V = ¼. exclude: V = ½ V(door) = ½.
    assert graph_of(cut).values(0.5)[0] == pytest.approx(0.2)
    assert graph_of(cut, truncated_as="bootstrap").values(0.5)[0] == pytest.approx(0.25)
    assert graph_of(cut, truncated_as="exclude").values(0.5)[0] == pytest.approx(0.5)
    for how, expected in (("failure", 0.2), ("bootstrap", 0.25), ("exclude", 0.5)):
        found = credit(cut, "crbc", truncated_as=how, continuation=0.5).terms["step"]
        assert found.baseline[0] == pytest.approx(expected)
