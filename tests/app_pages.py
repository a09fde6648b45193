"""Pages of the app as a test opens and reads them, and what a browser would send."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl
from places import DATA
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest

from workbench.readers import import_log

OpenApp = Callable[..., AppTest]
"""The fixture `app`."""

NASTY = "<script>alert(1)</script> **bold** $x^2$ :material/home: [a](http://b)"


def bundled() -> pl.DataFrame:
    return import_log([DATA / "household.parquet"]).validated.log


def table(test: AppTest, column: str) -> list[dict[str, Any]]:
    """The rows of the one table that has this column."""
    (found,) = (t.value for t in test.dataframe if column in t.value.columns)
    return found.to_dict("records")


def figures(test: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in test.get("plotly_chart")]


def said(test: AppTest) -> str:
    return " ".join(element.value for element in (*test.markdown, *test.caption, *test.info))


def select(test: AppTest, element_id: str, selection: dict[str, Any]) -> None:
    """Send a selection as the browser does; AppTest cannot do it for charts and tables."""
    chosen = WidgetState(id=element_id, string_value=json.dumps({"selection": selection}))
    given = test._tree.get_widget_states

    def with_selection():
        states = given()
        states.widgets.append(chosen)
        return states

    test._tree.__dict__["get_widget_states"] = with_selection


def component(test: AppTest, name: str) -> dict[str, Any]:
    """The data that a component of the app was given."""
    (found,) = (
        element.proto
        for element in test.get("bidi_component")
        if element.proto.component_name == f"workbench_{name}"
    )
    given: dict[str, Any] = json.loads(found.json)
    return given
