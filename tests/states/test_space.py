"""A space's similarities over several batches."""

from __future__ import annotations

from html import escape

import numpy as np
import polars as pl
from logs import rows

from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.states.embedders.chunking import WindowsReport
from workbench.states.embedders.tfidf import TfidfEmbedder
from workbench.states.space import Space
from workbench.states.text import StateText


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
    others = [space.action_similarity(name) for name in ("tfidf-proxmo", "tfidf")]
    assert len({id(one) for one in (found, *others)}) == 3


def test_similarities_of_states_are_made_once_for_each_representation():
    log = rows({"g": {"a": [("p", "go left", 0.0)], "b": [("q r s", "go right", 1.0)]}})
    steps = Steps.from_log(validate(log).log)
    # With a template of its own, the space's text is no bare observation.
    space = Space(steps, embedder="tfidf", state_text=StateText(template="state: {observation}"))
    names = (None, "tfidf", "tfidf-proxmo")
    found = {name: space.similarity(name) for name in names}
    assert len({id(one) for one in found.values()}) == 3
    assert all(space.similarity(name) is one for name, one in found.items())
    # The template's word is in both states; bare ones have none in common.
    assert found[None].block(0)[0, 1] > 0.0
    assert found["tfidf"].block(0)[0, 1] == 0.0


class Windowed(TfidfEmbedder):
    """TF-IDF with the report of an embedder that cuts long texts."""

    @property
    def windows_report(self) -> WindowsReport:
        return WindowsReport(texts=2, longer=1, windows=3, limit=256)


def test_a_space_shows_the_notes_of_its_embedder_once_that_is_made():
    log = rows({"g": {"a": [("p", "x", 0.0)], "b": [("q", "x", 1.0)]}})
    space = Space(Steps.from_log(validate(log).log), embedder=Windowed())
    assert "<li>" not in space._repr_html_()
    (note,) = space.notes
    assert f"<ul><li>{escape(note)}</li></ul>" in space._repr_html_()


def test_a_state_key_of_a_batch_tells_states_of_a_batch_apart_and_not_its_groups():
    # g0 and g2 are of one update, g1 of another; of g0 a rollout without a reward is left out.
    gone = rows({"g0": {"a": [("p", "x", 0.0)]}}, run_id="r", train_step=0)
    log = pl.concat(
        [
            gone.with_columns(reward=pl.lit(None, dtype=pl.Float64)),
            rows(
                {"g0": {"b": [("p", "x", 0.0)], "c": [("q", "x", 1.0)]}}, run_id="r", train_step=0
            ),
            rows({"g1": {"d": [("p", "x", 0.0)]}}, run_id="r", train_step=1),
            rows({"g2": {"e": [("p", "x", 0.0)]}}, run_id="r", train_step=0),
        ]
    )
    space = Space(Steps.from_log(validate(log).log), embedder="tfidf")
    b, c, d, e = space.state_key_of_batch().tolist()
    assert b == e
    assert len({b, c, d}) == 3
