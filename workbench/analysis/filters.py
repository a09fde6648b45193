"""Filter: the steps that somebody looks at, as text that an address can carry.

Terms stand side by side and all have to hold; a minus in front turns one round.

    outcome:failed kind:live          how the rollout ended; what its group can teach
    proxmo>0.5  |gigpo|>1  grpo=0     advantage of a method, as it is or its size
    flip:grpo,proxmo                  two of the methods give opposite signs
    unstable:proxmo                   the sign changes often when other rollouts are drawn
    depth>=10  length<5  reward>0     step as pages count it; steps of its rollout; reward
    agent:planner  tool:search        any column of the log; several values with commas
    mark:+  mark:none  note:loop      what people marked and noted
    map:tfidf/pca,10,20,900,800       drawn on a map: a box's corners, or a polygon's
    "no results"  text:loop           contained in what was seen, thought or done, in any case

Values with spaces stand in double quotes, a quote inside them is doubled.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
import polars as pl

from workbench.analysis.filter_terms import TermError, Terms
from workbench.errors import FilterError
from workbench.log.facts.trajectories import group_table, trajectory_table
from workbench.log.steps import Index
from workbench.states.projection import Places

_TERM = re.compile(r'(?:"(?:[^"]|"")*"?|[^\s"])+')


@dataclass(frozen=True)
class Filter:
    """A filter that was read.

    Args:
        expression: Holds for the steps that are kept, over the log's columns and those given.
        methods: Methods whose advantages it asks for, as columns `A NAME`.
        unstable: Methods whose unstable steps it asks for, as Boolean columns `unstable NAME`.
        marked: Whether it asks for the columns `mark` and `note`.
        maps: Maps, as EMBEDDER/KIND, whose places it asks for as columns `map NAME x` and `… y`.
    """

    expression: pl.Expr
    methods: tuple[str, ...] = ()
    unstable: tuple[str, ...] = ()
    marked: bool = False
    maps: tuple[str, ...] = ()

    def rows(self, log: pl.DataFrame, given: Mapping[str, pl.Series]) -> pl.Series:
        """True for each step of a log that is kept. (L,) Boolean.

        Args:
            log: A validated step log.
            given: `step_facts` of the log, and the columns that the filter asks for.
        """
        columns = [series.alias(name) for name, series in given.items()]
        kept = log.with_columns(columns).select(self.expression.fill_null(value=False).alias("k"))
        # A filter without terms is one value for all.
        return kept["k"] if kept.height == log.height else kept["k"].new_from_index(0, log.height)


def step_facts(log: pl.DataFrame) -> dict[str, pl.Series]:
    """The facts of rollout and group that a filter asks of each step. Each (L,).

    Returns:
        outcome, kind, length (steps of the rollout) and return (its undiscounted reward).
    """
    table, _ = trajectory_table(log)
    groups = group_table(log).select("group_id", "kind")
    per = table.select(
        "group_id",
        pl.col("length").cast(pl.Int64),
        pl.when(pl.col("excluded").is_null()).then("episode_reward").alias("return"),
        pl.when(pl.col("success"))
        .then(pl.lit("won"))
        .when(~pl.col("success"))
        .then(pl.lit("failed"))
        .otherwise(pl.lit("unknown"))
        .alias("outcome"),
    ).join(groups, on="group_id", how="left", maintain_order="left")
    whole = per.select(pl.all().repeat_by("length").explode())
    return {name: whole[name] for name in ("outcome", "kind", "length", "return")}


def quoted(value: str) -> str:
    """A value as a filter reads it back."""
    plain = re.fullmatch(r'[^\s",|<>=!:-][^\s",|<>=!]*', value)
    return value if plain else '"' + value.replace('"', '""') + '"'


def joined(*terms: str) -> str:
    """Terms as one filter; empty ones are left out."""
    return " ".join(term for term in terms if term)


def parse(text: str, log: pl.DataFrame) -> Filter:
    """Read a filter.

    Args:
        text: As the module says; an empty one keeps all.
        log: The log that it is for: its columns and their values can be asked for.

    Raises:
        FilterError: With every term that has no meaning, and what may have been meant.
    """
    reader = Terms(log)
    terms, problems = [], []
    for match in _TERM.finditer(text):
        try:
            terms.append(reader.term(match.group()))
        except TermError as error:
            problems.append(str(error))
    if problems:
        raise FilterError(problems)
    return Filter(
        expression=reduce(operator.and_, terms, pl.lit(value=True)),
        methods=tuple(dict.fromkeys(reader.methods)),
        unstable=tuple(dict.fromkeys(reader.unstable)),
        marked=reader.marked,
        maps=tuple(dict.fromkeys(reader.maps)),
    )


def without_map(text: str) -> str:
    """A filter without what was drawn on a map."""
    terms = (match.group() for match in _TERM.finditer(text))
    return joined(*(term for term in terms if not term.removeprefix("-").startswith("map:")))


def map_columns(name: str, log: pl.DataFrame, row: Index, places: Places) -> dict[str, pl.Series]:
    """The columns that a region on a map is asked of, null where a step is not on it.

    Args:
        name: The map, as EMBEDDER/KIND.
        log: A validated step log.
        row: Row of each place in it. (S,)
        places: From `states.projection.places`. (S, 2)
    """
    columns = {}
    for axis, values in zip("xy", places.T, strict=True):
        whole = np.full(log.height, np.nan)
        whole[row] = values
        columns[f"map {name} {axis}"] = pl.Series(whole, nan_to_null=True)
    return columns
