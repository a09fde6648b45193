"""The state of an agent that works on code: the files it has touched, and what the tests say."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from workbench.log.steps import Index, Steps
from workbench.parameters import parameter
from workbench.states.keys.base import Key, KeySpace, labels, state_key
from workbench.states.keys.memory import before_and_after, events_of, remembered
from workbench.states.keys.text import readable_pattern

_FILES = (
    r"(?:[\w.\-]+/)*[\w\-]+\.(?:py|pyi|ipynb|js|jsx|ts|tsx|java|kt|scala|go|rs|c|h|cc|cpp|hpp|cs|rb"
    r"|php|swift|sh|sql|html|css|json|ya?ml|toml|cfg|ini|txt|md|rst)\b"
)
_TESTS = (
    r"\b\d+ (?:passed|failed|errors?|failures?)\b"
    r"|\b(?:failures|errors)=\d+"
    r"|(?m:^OK\b)"
    r"|\btest result: \w+"
)


@state_key("code")
@dataclass(frozen=True, kw_only=True)
class CodeState(Key):
    """The same files touched so far, and the same result of the last tests.

    Files are those that the actions of the trajectory have named; the result is the counts that a
    test run prints, which stand until the next run.
    """

    files: str = parameter(_FILES, "pattern of a file in an action", parse=readable_pattern)
    tests: str = parameter(
        _TESTS, "pattern of a test result in an observation", parse=readable_pattern
    )

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by files and test result."""
        seen = before_and_after(steps)
        named = seen.select("step", pl.col("action").str.extract_all(self.files).alias("file"))
        files = named.explode("file").drop_nulls()
        path = pl.col("file").str.strip_prefix("./")
        found = pl.col("observation").str.extract_all(self.tests).list.sort().list.join(", ")
        results = seen.with_columns(found.alias("result")).filter(pl.col("result") != "")
        events = [
            events_of(files, "file " + path, pl.lit("touched")),
            events_of(results, pl.lit("tests"), pl.col("result")),
        ]
        return labels(steps, remembered(pl.concat(events), steps.trajectory))

    def looks_back(self) -> bool:
        """Always: what earlier steps did is remembered."""
        return True
