"""HGPO by hand, as GiGPO's step term, and as the loop over levels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from crediting import advantage, credit, term
from hypothesis import given, settings
from logs import Described, described_logs, steps
from worked_logs import seen

from workbench.methods import create

# γ = 1/2: returns 1/2 1, 0 0, 0 0.
THREE = seen(("xy", 1.0), ("zy", 0.0), ("xy", 0.0))


HALF = {"gamma": 0.5, "norm": "mean"}


def test_hgpo_by_hand():
    # One state: x has the mean 1/4, z is alone, y has 1/3. Two: (x, y) has 1/2, (z, y) is alone.
    # Weights 2 and 3 where both tell: (2 · 2/3 + 3 · 1/2)/5 = 17/30, (-2 · 1/3 - 3 · 1/2)/5.
    found = advantage(THREE, "hgpo", history=1, **HALF)
    assert found == pytest.approx([1 / 4, 17 / 30, 0.0, -1 / 3, -1 / 4, -13 / 30])
    # Equal weights: (2/3 + 1/2)/2.
    assert advantage(THREE, "hgpo", history=1, length_alpha=0.0, **HALF)[1] == pytest.approx(7 / 12)
    # A third state before is never there, so K = 2 changes nothing.
    assert advantage(THREE, "hgpo", **HALF) == pytest.approx(found)
    assert advantage(THREE, "hgpo", history=1, step_weight=2.0, **HALF) == pytest.approx(2 * found)


def test_hgpo_divides_by_the_population_deviation():
    # x: 1/2 and 0, both a deviation of 1/4 from their mean. y: 1, 0, 0: sqrt(2)/3; 2/3 of it.
    found = advantage(THREE, "hgpo", history=0, gamma=0.5, eps=0.0)
    root = math.sqrt(2)
    assert found == pytest.approx([1.0, root, 0.0, -root / 2, -1.0, -root / 2])


def test_hgpo_with_the_episode_advantage_as_level_0():
    # E: 2/3, -1/3, -1/3 with the weight 1. First step: (1 · 2/3 + 2 · 1/4)/3; z has E alone.
    found = credit(THREE, "hgpo", base_group=True, history=0, **HALF)
    assert found.advantage[[0, 2]] == pytest.approx([7 / 18, -1 / 3])
    assert found.terms["episode"].value[0] == pytest.approx(2 / 9)


def test_an_average_step_keeps_its_level_unless_the_dialect_drops_it():
    # y: 1, 1/2, 0, 1/4, 3/4 have the mean 1/2, which is t1's; (z, y): 1/2 and 1/4.
    of = seen(("xy", 1.0), ("zy", 0.5), ("xy", 0.0), ("zy", 0.25), ("xy", 0.75))
    # Both levels: 3/5 of 1/8. The second alone: 1/8.
    assert advantage(of, "hgpo", history=1, **HALF)[3] == pytest.approx(3 / 40)
    dropped = advantage(of, "hgpo", history=1, levels="nonzero", **HALF)
    assert dropped[3] == pytest.approx(1 / 8)
    others = np.arange(len(of)) != 3
    assert advantage(of, "hgpo", history=1, **HALF)[others] == pytest.approx(dropped[others])


@settings(deadline=None, max_examples=40)
@given(described_logs(texts="abc"))
def test_hgpo_without_history_is_gigpos_step_term(described: Described):
    of = steps(described)
    for norm in ("mean", "std"):
        expected = term(of, "gigpo", "step", norm=norm)
        found = advantage(of, "hgpo", history=0, norm=norm, ddof=1)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(described_logs(texts="abc"))
def test_hgpo_is_the_loop_over_levels(described: Described):
    of = steps(described)
    returns = create("hgpo").step_score(of)  # type: ignore[attr-defined]
    texts = of.column("observation").to_list()
    pasts = [
        [tuple(texts[step - back] for back in range(length)) for length in range(1, depth + 2)][:3]
        for step, depth in enumerate(of.step_index.tolist())
    ]
    expected = []
    for step, past in enumerate(pasts):
        levels = []
        for length, history in enumerate(past, start=1):
            same = [
                other
                for other, its in enumerate(pasts)
                if of.group[other] == of.group[step] and history in its
            ]
            values = returns[same]
            if np.ptp(values) > 1e-12:
                gap = (returns[step] - values.mean()) / (values.std() + 1e-6)
                levels.append((length + 1.0, gap))
        total = sum(weight for weight, _ in levels)
        expected.append(sum(weight * gap for weight, gap in levels) / total if levels else 0.0)
    np.testing.assert_allclose(advantage(of, "hgpo"), expected, atol=1e-9)
