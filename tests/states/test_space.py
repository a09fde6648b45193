"""A space's similarities over several batches."""

from __future__ import annotations

import numpy as np
import polars as pl
from logs import rows

from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.states.space import Space


def batch(update: int, *texts: str) -> pl.DataFrame:
    """One group of an update, a rollout for each text."""
    group = {f"g{update}t{k}": [(text, "act", float(k))] for k, text in enumerate(texts)}
    return rows({f"g{update}": group}, run_id="r", train_step=update)


def test_similarities_of_a_batch_are_those_of_the_batch_alone():
    # The later batch has more words, so that its vectors are wider.
    batches = [
        batch(0, "a mug", "a mug here", "a cup"),
        batch(1, "one red door", "one blue door of oak", "red oak and blue elm", "three elms"),
    ]
    for order in (batches, batches[::-1]):
        together = Space(Steps.from_log(validate(pl.concat(order)).log), embedder="tfidf-proxmo")
        for number, one in enumerate(batches):
            alone = Space(Steps.from_log(validate(one).log), embedder="tfidf-proxmo")
            found = together.similarity().block(number)
            np.testing.assert_allclose(found, alone.similarity().block(0), atol=1e-12)
            assert 0.0 < found[0, 1] < 1.0


def test_similarities_of_actions_are_made_once_for_each_representation():
    log = rows({"g": {"a": [("p", "go left", 0.0)], "b": [("q", "go right", 1.0)]}})
    space = Space(Steps.from_log(validate(log).log), embedder="tfidf")
    found = space.action_similarity()
    # Of two words one is the other's too; the states have none in common.
    assert 0.0 < found.block(0)[0, 1] < 1.0
    assert space.similarity().block(0)[0, 1] == 0.0
    assert space.action_similarity() is found
    assert space.action_similarity("tfidf-proxmo") is not found
