"""The advice at the top of the first page."""

from __future__ import annotations

from app_pages import OpenApp, bundled


def test_the_first_page_says_which_credit_to_train_with(app: OpenApp):
    test = app()
    assert not test.exception
    plain = str.maketrans("", "", "\\\u2060")  # what keeps a text from being Markdown
    said = [element.value.translate(plain) for element in test.markdown]
    assert any("**Train with history-gae" in text for text in said)
    (caption,) = [c.value for c in test.caption if c.value.startswith("Because")]
    assert "How sure" in caption
    (evidence,) = [e for e in test.expander if "facts of the log" in e.label]
    assert "Groups: 14 of 20 groups live; dead: 4 all fail, 2 all pass" in evidence.text[0].value


def test_a_log_without_a_scored_step_gets_no_advice(app: OpenApp):
    test = app(bundled().drop("excluded").with_columns(reward=None))
    assert not test.exception
    assert not [m for m in test.markdown if "Train with" in m.value]
