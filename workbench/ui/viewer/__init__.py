"""The rollout viewer and the panel beside it: Streamlit components whose keys the browser answers.

Python gives a group and, now and then, an order; the browser says where the reader is. An order has
a number and is obeyed once, so that a rerun with the same data moves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

ASSETS = Path(__file__).parent / "assets"
VIEWER = (
    *("model.js", "dom.js", "blocks.js", "lists.js", "compare.js"),
    *("moves.js", "asking.js", "finding.js", "keys.js", "viewer.js"),
)
WHY = ("model.js", "dom.js", "why.js")
STEPS = ("model.js", "dom.js", "steps.js")
"""The modules of each component, every one behind those that it imports."""

_IMPORT = re.compile(r"^import\b[^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


def bundle(modules: tuple[str, ...]) -> str:
    """Modules as the one that Streamlit loads inline.

    Assets in files are found in a wheel and not in an editable install, so they are read here; each
    module is plain JavaScript that Node runs as it is.
    """
    texts = [(ASSETS / name).read_text(encoding="utf-8") for name in modules]
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", text)) for text in texts)


def _component(name: str, css: str, modules: tuple[str, ...]) -> Callable[..., Any]:
    # Not isolated: a search by the browser and a screen reader go through it as through the page.
    return st.components.v2.component(
        f"workbench_{name}",
        html=f'<div class="wb {name}"></div>',
        css=(ASSETS / "theme.css").read_text(encoding="utf-8")
        + (ASSETS / css).read_text(encoding="utf-8"),
        js=bundle(modules),
        isolate_styles=False,
    )


_viewer = _component("viewer", "viewer.css", VIEWER)
_why = _component("why", "why.css", WHY)
_steps = _component("steps", "steps.css", STEPS)


def show_group(
    group: Mapping[str, Any],
    listed: Mapping[str, Any],
    order: Mapping[str, Any],
    key: str,
    **on: Callable[[], None],
) -> None:
    """Shows a group.

    Args:
        group: From `payload.group_payload`.
        listed: The part near it of the list that one came from.
        order: `seq`, and where to go with what; answers to what the browser has asked for.
        key: Key of the component.
        **on: What happens when it says something, as `on_NAME_change`.
    """
    _viewer(key=key, data={"group": group, "listed": listed, "order": order}, **on)


def show_why(explained: Mapping[str, Any], key: str, **on: Callable[[], None]) -> None:
    """Shows why a step has its credit; arguments as for `show_group`."""
    _why(key=key, data=explained, **on)


def show_steps(table: Mapping[str, Any], key: str, **on: Callable[[], None]) -> None:
    """Shows a table of steps; arguments as for `show_group`."""
    _steps(key=key, data=table, **on)
