"""Token ids as texts: by the page's tokenizer, by the log's, and why there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st
import tiny_policy

from workbench.ui import frame, state, tokens


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_policy.tokenizer(tmp_path / "policy")


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app lets paths be typed in."""
    monkeypatch.setattr(frame, "allow_paths", lambda: True)


def test_the_tokenizer_that_the_log_names_gives_the_texts(paths: None, folder: Path):
    # "up", "left" and the end of a turn are the words 11, 12 and 3 of the tokenizer.
    told = tokens.told([11, 12, 3], str(folder))
    assert told.texts == ["up", "left", "<|im_end|>"]
    assert told.say == f"Texts by {folder}."


def test_the_one_that_is_named_on_the_page_counts(
    paths: None, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tokens, "chosen", lambda: str(folder))
    assert tokens.told([11], "somebody/else").texts == ["up"]


@pytest.mark.parametrize(
    ("logged", "say"),
    [
        (None, "They are ids; for their texts name a folder with tokenizer.json"),
        ("nobody/has-this", "The tokenizer 'nobody/has-this' is not on this machine"),
        ("/no/such/folder", "The tokenizer '/no/such/folder' is not on this machine"),
    ],
)
def test_without_a_tokenizer_it_is_said_what_is_missing(paths: None, logged: str | None, say: str):
    told = tokens.told([11], logged)
    assert told.texts is None
    assert told.say.startswith(say)


def test_a_tokenizer_that_is_damaged_or_of_another_model_is_said(paths: None, folder: Path):
    assert tokens.told([11, 999], str(folder)).say.endswith("does not know 1 of these ids.")
    (folder / tokens.FILE).write_text("{}")
    told = tokens.told([11], str(folder))
    assert told.texts is None
    assert "cannot be read" in told.say


def test_a_log_cannot_have_a_folder_read_where_paths_may_not_be_typed_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(frame, "allow_paths", lambda: False)
    told = tokens.told([11], str(folder))
    assert told.texts is None
    assert "is not on this machine" in told.say
    assert state.TOKENIZER not in st.session_state
