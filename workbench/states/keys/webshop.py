"""The state of a WebShop session: the page, the item, and the options chosen."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from workbench.log.steps import Index, Steps
from workbench.parameters import parameter
from workbench.states.keys.base import Key, KeySpace, labels, state_key
from workbench.states.keys.memory import before_and_after, events_of, remembered

_CLICKED = r"click\s*\[\s*(.*?)\s*\]\s*$"
_ITEM = r"^b[0-9a-z]{9}$"
_RESULTS = r"page \d+ \(total results: \d+\)"
_SEARCH = r"\[search\]|(?:^|\[sep\])\W*search\W*$"
_INSIDE = r"< prev"
_LINKS = ("back to search", "< prev", "next >", "buy now", "description", "features", "reviews",
          "attributes")  # fmt: skip


@state_key("webshop")
@dataclass(frozen=True, kw_only=True)
class WebShop(Key):
    """The same page, of the same item, with the same options chosen on it.

    A page shows neither, so two steps with the same text may differ in what `buy now` buys. An
    answer that is no page, such as "You have clicked red.", leaves the page as it was. Options are
    forgotten where another item or a list is opened.
    """

    options: bool = parameter(True, "whether the options chosen are part of it")

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by page, item and options."""
        page, clicked = pl.col("page"), pl.col("clicked")
        lists = page.str.contains(_RESULTS) | page.str.contains(_SEARCH)
        seen = (
            before_and_after(steps)
            .with_columns(
                clicked=pl.col("action").str.to_lowercase().str.extract(_CLICKED),
                page=_on_one_line(pl.col("observation").str.to_lowercase()),
                start=pl.Series(steps.step_index == 0),
            )
            .with_columns(lists=lists, item=clicked.str.contains(_ITEM).fill_null(value=False))
            .with_columns(begins=pl.col("start") | pl.col("lists") | pl.col("item"))
        )
        pages = seen.filter(pl.col("begins") | page.str.contains(_INSIDE))
        events = [
            events_of(pages, pl.lit("page"), page),
            events_of(seen.filter("item"), pl.lit("item"), clicked),
        ]
        if self.options:
            chosen = seen.filter(~clicked.is_in(_LINKS) & ~pl.col("item") & ~pl.col("lists"))
            events.append(events_of(chosen, "option " + clicked, pl.lit("chosen")))
        visit = seen["begins"].cum_sum().cast(pl.Int64).to_numpy()
        return labels(steps, remembered(pl.concat(events), visit))

    def looks_back(self) -> bool:
        """Always: what earlier steps opened and chose is remembered."""
        return True


def _on_one_line(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all(r"\s+", " ").str.strip_chars()
