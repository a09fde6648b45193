"""The repositories of the codebase world: their modules, what uses them, and where they are wrong.

All of this is fixed for a task, the same in all its episodes. The agent is given a part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Source(NamedTuple):
    """A module of one function, whose last line is written right, wrong, or not even parses.

    `symptom` is what a test sees of the wrong line, `change` the subject of the last commit.
    """

    name: str
    head: tuple[str, ...]
    right: str
    wrong: str
    unparsed: str
    symptom: str
    change: str

    @property
    def path(self) -> str:
        """Path of the module."""
        return f"src/{self.name}.py"

    @property
    def function(self) -> str:
        """Name of its function."""
        return self.head[0].removeprefix("def ").partition("(")[0]


SOURCES = (
    Source(
        "money",
        ("def to_cents(amount):", '    """A price in cents."""'),
        "    return round(amount * 100)",
        "    return int(amount * 100)",
        "    return round(amount * 100",
        "assert 1998 == 1999",
        "convert prices in one place",
    ),
    Source(
        "dates",
        ("def nights(start, end):", '    """Days from check-in to check-out."""'),
        "    return (end - start).days",
        "    return (end - start).seconds // 86400",
        "    return (end - start.days",
        "assert 0 == 3",
        "drop the calendar helper",
    ),
    Source(
        "paging",
        ("def last_page(count, size):", '    """Pages that hold all entries."""'),
        "    return -(-count // size)",
        "    return count // size",
        "    return -(-count // size]",
        "assert 4 == 5",
        "simplify page numbers",
    ),
    Source(
        "slugs",
        ("def slug(words):", '    """Words as a part of an address."""'),
        '    return "-".join(words).lower()',
        '    return "-".join(words)',
        '    return "-".join(words.lower(',
        "assert 'New-Shoes' == 'new-shoes'",
        "shorten slugs",
    ),
    Source(
        "tables",
        ("def column(rows, index):", '    """One column of a table."""'),
        "    return [row[index] for row in rows]",
        "    return [row[index] for row in rows[1:]]",
        "    return [row[index] for in rows]",
        "assert ['b', 'c'] == ['a', 'b', 'c']",
        "read tables lazily",
    ),
    Source(
        "retries",
        ("def delay(attempt, base, limit):", '    """Seconds to wait before a retry."""'),
        "    return min(base * 2**attempt, limit)",
        "    return max(base * 2**attempt, limit)",
        "    return min(base * 2** attempt limit)",
        "assert 60 == 4",
        "cap the back-off",
    ),
)

FEATURES = (
    ("checkout", "checkout_total"),
    ("invoice", "invoice_lines"),
    ("signup", "welcome_mail"),
    ("export", "export_rows"),
    ("search", "search_results"),
    ("report", "monthly_report"),
)
"""Name of a test file -> the function that it tests."""

PROJECTS = ("shop", "hotel", "library", "clinic")


@dataclass(frozen=True, kw_only=True)
class Module:
    """A module of a task with the feature that rests on it.

    Args:
        source: Its code.
        feature: The test file that fails when the module is wrong.
        entry: The function that this file tests. It calls the module through others, so nothing
            about its name tells which module it rests on.
        commit: Hash of the last commit that touched the module.
        faulty: Whether the module is wrong when an episode begins.
        told: Whether the issue names the feature; only where faulty.
        separable: Whether reverting the commit repairs the module and does not end in a conflict.
            A sound module loses what the commit brought.
        traceable: Whether a search for `entry` leads to the module.
    """

    source: Source
    feature: str
    entry: str
    commit: str
    faulty: bool
    told: bool
    separable: bool
    traceable: bool

    @property
    def test(self) -> str:
        """Path of the test file."""
        return f"tests/test_{self.feature}.py"


@dataclass(frozen=True, kw_only=True)
class Repository:
    """The facts of one task.

    Args:
        project: Its name.
        modules: Its M modules.
    """

    project: str
    modules: tuple[Module, ...]

    @property
    def faulty(self) -> list[int]:
        """Places of the modules that are wrong when an episode begins."""
        return [place for place, module in enumerate(self.modules) if module.faulty]


def draw_repository(modules: int, bugs: int, rng: np.random.Generator) -> Repository:
    """Draw the modules, what rests on them, and which of them are wrong."""
    sources = rng.choice(len(SOURCES), modules, replace=False).tolist()
    features = rng.choice(len(FEATURES), modules, replace=False).tolist()
    faulty = rng.choice(modules, bugs, replace=False).tolist()
    drawn = []
    for place, (source, feature) in enumerate(zip(sources, features, strict=True)):
        told, separable, traceable = (rng.random(3) < 0.5).tolist()
        bad = place in faulty
        drawn.append(
            Module(
                source=SOURCES[source],
                feature=FEATURES[feature][0],
                entry=FEATURES[feature][1],
                commit=f"{int(rng.integers(16**7)):07x}",
                faulty=bad,
                told=told and bad,
                separable=separable or not bad,
                traceable=traceable,
            )
        )
    project = PROJECTS[int(rng.integers(len(PROJECTS)))]
    return Repository(project=project, modules=tuple(drawn))
