"""The state of an ALFWorld game, pieced together from the observations so far."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from workbench.log.steps import Index, Steps
from workbench.parameters import parameter
from workbench.states.keys.base import Key, KeySpace, labels, state_key
from workbench.states.keys.memory import EVENTS, before_and_after, events_of, remembered

_THING = r"[a-z]+ \d+"
_SAID = (
    rf"(?:pick up|take) the (?P<taken>{_THING}) from"
    rf"|(?:put|place|move) the (?P<put>{_THING}) (?:in/on|in|on|to) the (?P<where>{_THING})"
    rf"|(?P<how>heat|cool|clean) the (?P<treated>{_THING}) (?:using|with) the"
    rf"|arrive at (?:the )?(?P<place>{_THING})"
    rf"|turn (?P<switch>on|off) the (?P<lamp>{_THING})"
)
_EVENT = rf"\byou (?:{_SAID})"
_WENT = rf"^\s*go to (?:the )?({_THING})\s*$"
_UNTELLING_ACTION = r"^\s*(?:inventory|look|examine\b.*|help)\s*$"
_UNTELLING = r"^\s*(?:observation:\s*)?(?:nothing happens|you are (?:not )?carrying)\b"


@state_key("alfworld")
@dataclass(frozen=True, kw_only=True)
class ALFWorld(Key):
    """The same place, the same thing in hand, the same things done, and the same last sight.

    Read from the trajectory so far: where the agent is, what it holds, where it put things, what
    is hot, cold, clean or on; and the last observation with a report. What follows
    `inventory`, `look` or `examine`, and "Nothing happens.", tells nothing and changes nothing.
    """

    observation: bool = parameter(True, "whether the last telling observation is part of it")

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by what is known at each step."""
        seen = before_and_after(steps).with_columns(
            pl.col("action", "observation").str.to_lowercase()
        )
        untelling = pl.col("observation").str.contains(_UNTELLING) | pl.col("action").str.contains(
            _UNTELLING_ACTION
        ).fill_null(value=False)
        telling = seen.filter(~untelling)
        events = [_said(telling), _went(telling)]
        if self.observation:
            sight = pl.col("observation").str.replace_all(r"\s+", " ").str.strip_chars()
            events.append(events_of(telling, pl.lit("sight"), sight))
        return labels(steps, remembered(pl.concat(events), steps.trajectory))

    def looks_back(self) -> bool:
        """Always: reports of earlier steps are remembered."""
        return True


def _went(telling: pl.DataFrame) -> pl.DataFrame:
    """Destination of the agent, for games that do not say `You arrive at`."""
    place = pl.col("action").str.extract(_WENT)
    return events_of(telling.filter(place.is_not_null()), pl.lit("place"), place)


def _said(telling: pl.DataFrame) -> pl.DataFrame:
    """Events that the observations report, in their order."""
    said = telling.select("step", pl.col("observation").str.extract_all(_EVENT).alias("said"))
    found = said.explode("said").drop_nulls().with_row_index("order")
    parts = found.select("step", "order", pl.col("said").str.extract_groups(_EVENT)).unnest("said")
    place, put, taken = pl.col("place"), pl.col("put"), pl.col("taken")
    changes = (
        (pl.when(place.is_not_null()).then(pl.lit("place")), place),
        (pl.when(taken.is_not_null() | put.is_not_null()).then(pl.lit("hand")), taken),
        ("where " + pl.coalesce(put, taken), pl.col("where")),
        (_treatment(pl.col("how")) + pl.col("treated"), pl.col("how")),
        ("lamp " + pl.col("lamp"), pl.col("switch")),
    )
    events = [
        parts.select("order", "step", slot.alias("slot"), value.alias("value"))
        for slot, value in changes
    ]
    told = pl.concat(events).filter(pl.col("slot").is_not_null())
    return told.sort("order", maintain_order=True).select(list(EVENTS))


def _treatment(how: pl.Expr) -> pl.Expr:
    """Heat undoes cool; clean stays."""
    return (
        pl.when(how == "clean")
        .then(pl.lit("clean "))
        .when(how.is_not_null())
        .then(pl.lit("temperature "))
    )
