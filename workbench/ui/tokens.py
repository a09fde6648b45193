"""Texts of token ids, where the policy's tokenizer lies on this machine; nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from workbench.ui import frame, state

FILE = "tokenizer.json"


@dataclass(frozen=True)
class Told:
    """Facts of some tokens.

    Args:
        texts: The text of each; None where only the ids are known.
        say: Why there are no texts and how to have them, or whose tokenizer gave them.
    """

    texts: list[str] | None
    say: str


def told(ids: Sequence[int], logged: str | None) -> Told:
    """The texts of token ids.

    Args:
        ids: The tokens.
        logged: The tokenizer that the log names for them. One that is named on the page counts
            for logs that name none, or one that is not here.
    """
    tried = []
    for name in (chosen(), logged or ""):
        path = _file(name)
        if path is not None:
            return _read(ids, name, path)
        tried += [name] if name else []
    missing = f"The tokenizer {tried[-1]!r} is not on this machine" if tried else "They are ids"
    return Told(None, f"{missing}; {_way()}")


def _way() -> str:
    """Advice on how to have the texts."""
    if frame.allow_paths():
        return "for their texts name a folder with tokenizer.json, in the menu of the log."
    return (
        "their texts are shown where the log names a tokenizer that this machine has, or where the "
        "app is started so that folders may be typed in: then the menu of the log asks for one."
    )


def chosen() -> str:
    """The folder of the tokenizer that is named on the page; empty for none."""
    folder: str = st.session_state.get(state.TOKENIZER, "")
    return folder


def _file(name: str) -> Path | None:
    """The `tokenizer.json` of a folder, or of an id in the hub's cache on this machine."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if not name:
        return None
    # A log that somebody uploads must not say which folders of this machine are read.
    folder = Path(name).expanduser()
    if frame.allow_paths() and (folder / FILE).is_file():
        return folder / FILE
    try:
        cached = try_to_load_from_cache(name, FILE)
    except HFValidationError:  # a path, which is no id
        return None
    return Path(cached) if isinstance(cached, str) else None


def _read(ids: Sequence[int], name: str, path: Path) -> Told:
    found = _tokenizer(str(path), path.stat().st_mtime_ns)
    if isinstance(found, str):
        return Told(None, f"The tokenizer {name!r} cannot be read: {found}.")
    texts = [found.decode([number], skip_special_tokens=False) for number in ids]
    unknown = sum(found.id_to_token(number) is None for number in ids)
    if unknown:
        return Told(None, f"The tokenizer {name!r} does not know {unknown:,} of these ids.")
    return Told(texts, f"Texts by {name}.")


@st.cache_resource(max_entries=4, show_spinner=False)
def _tokenizer(path: str, changed: int) -> Any:
    """The tokenizer of a file, or why there is none."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(path)
    except Exception as error:  # noqa: BLE001 - tokenizers raises nothing more special
        return str(error).splitlines()[0].rstrip(".")
