"""The rollout viewer and the panel next to it: Streamlit components whose keys the browser answers.

Python gives a group and, now and then, an order; the browser says where the reader is. An order has
a number and is obeyed once, so that a rerun with the same data moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from workbench.ui.viewer.bundle import MAP, PREVIEW, STEPS, VIEWER, WHY, bundle, styles


def _component(name: str, css: str, modules: tuple[str, ...]) -> Callable[..., Any]:
    # Not isolated: a search by the browser and a screen reader go through it as through the page.
    return st.components.v2.component(
        f"workbench_{name}",
        html=f'<div class="wb {name}"></div>',
        css=styles(css),
        js=bundle(modules),
        isolate_styles=False,
    )


_viewer = _component("viewer", "viewer.css", VIEWER)
_why = _component("why", "why.css", WHY)
_steps = _component("steps", "steps.css", STEPS)
_map = _component("map", "map.css", MAP)
_preview = _component("preview", "preview.css", PREVIEW)


def show_group(
    group: Mapping[str, Any],
    listed: Mapping[str, Any],
    order: Mapping[str, Any],
    key: str,
    **on: Callable[[], None],
) -> None:
    """Show a group.

    Args:
        group: From `payload.group_payload`.
        listed: The part near it of the list that one came from.
        order: `seq`, and where to go with what; answers to what the browser has asked for.
        key: Key of the component.
        **on: What happens when it says something, as `on_NAME_change`.
    """
    _viewer(key=key, data={"group": group, "listed": listed, "order": order}, **on)


def show_why(explained: Mapping[str, Any], key: str, **on: Callable[[], None]) -> None:
    """Show why a step has its credit; arguments as for `show_group`."""
    _why(key=key, data=explained, **on)


def show_steps(table: Mapping[str, Any], key: str, **on: Callable[[], None]) -> None:
    """Show a table of steps; arguments as for `show_group`."""
    _steps(key=key, data=table, **on)


def show_map(plane: Mapping[str, Any], key: str, **on: Callable[[], None]) -> None:
    """Show a map of states; arguments as for `show_group`."""
    _map(key=key, data=plane, **on)


def show_preview(rows: Mapping[str, Any], key: str) -> None:
    """Show rows of a batch; arguments as for `show_group`."""
    _preview(key=key, data=rows)
