"""Text of a log, shown as text: never as HTML, Markdown, LaTeX or an icon directive."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import polars as pl
import streamlit as st

from workbench.ui.hints import in_words, of_error

LONG = 1200  # characters from which on a text is folded

# Streamlit makes icons, arrows, dashes and links of these after the Markdown is read, escaped or
# not; an invisible word joiner between two signs keeps them text.
_TYPESET = re.compile(r"([:@<>=~-])(?=\S)|(?<=www)(\.)(?=\S)")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&@^=])")


def show(text: str, *, height: int | None = None) -> None:
    """A log's text in full, in a box of its own that scrolls where it is long."""
    if not text:
        st.caption("(empty)")
        return
    box = height or (240 if len(text) > LONG else None)
    st.code(text, language=None, wrap_lines=True, height=box or "content")


def escaped(text: str) -> str:
    """A log's text for a place that reads Markdown, such as a label or a caption: one line."""
    line = _TYPESET.sub("\\g<0>\u2060", " ".join(text.split()))
    return _MARKDOWN.sub(r"\\\1", line)


def each(
    texts: pl.Series, made: Callable[[str], Any], dtype: type[pl.DataType] = pl.String
) -> pl.Series:
    """A column of what a function makes of each text; nothing of nothing.

    It runs in this thread. Inside an expression it would run in those of polars, which then wait
    for Python while Python may wait for them: with several people the app would stand still.
    """
    values = [None if text is None else made(text) for text in texts.to_list()]
    return pl.Series(texts.name, values, dtype)


def told(message: object) -> str:
    """A message or an error, for a place that reads Markdown, in the words of the app."""
    words = of_error if isinstance(message, Exception) else in_words
    return escaped(words(str(message)))
