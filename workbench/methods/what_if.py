"""Credit of another method on an edited log: what if?"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workbench.errors import ParameterError
from workbench.files import digest
from workbench.log.credit import Term
from workbench.log.steps import Steps
from workbench.methods.base import METHODS, Dialect, Method, create, method
from workbench.methods.parts.edited import EditedSpace, edited
from workbench.methods.parts.fields import Wrapper
from workbench.parameters import parameter
from workbench.states.space import Space

NAME = "what-if"


def entries(names: Sequence[str]) -> str:
    """Names as a field of `WhatIf` holds them: spaces between them, quotes where one has spaces."""
    return shlex.join(names)


def _names(given: str) -> list[str]:
    try:
        return shlex.split(given)
    except ValueError as error:
        raise ParameterError(f"must be names with spaces between them: {error}") from error


def _pairs(given: str) -> dict[str, str]:
    """`NAME=VALUE` entries by name."""
    found = {}
    for entry in _names(given):
        name, equals, value = entry.rpartition("=")
        if not equals or not name:
            raise ParameterError(f"must be NAME=VALUE with spaces between them, got {entry!r}")
        found[name] = value
    return found


def _rewards(given: str) -> dict[str, float]:
    """Trajectory id -> episode reward."""
    found = {}
    for name, value in _pairs(given).items():
        try:
            found[name] = float(value)
        except ValueError:
            raise ParameterError(f"must be TRAJECTORY=REWARD, got {value!r}") from None
        if not math.isfinite(found[name]):
            raise ParameterError(f"must be finite rewards, got {value!r}")
    return found


def _steps(given: str) -> list[tuple[str, int]]:
    """`TRAJECTORY:INDEX` entries as pairs."""
    found = []
    for entry in _names(given):
        name, colon, index = entry.rpartition(":")
        if not colon or not index.isdecimal():
            raise ParameterError(f"must be TRAJECTORY:INDEX, got {entry!r}")
        found.append((name, int(index)))
    return found


def _fields(given: str) -> dict[str, Any]:
    """Field -> value; a value that is JSON is that, any other is text."""
    found: dict[str, Any] = {}
    for name, value in _pairs(given).items():
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


@method(
    NAME,
    summary="A of another method under other rewards, rollouts or fields",
    source="workbench",
)
@dataclass(frozen=True, kw_only=True)
class WhatIf(Wrapper):
    """The credit of another method on the log as it might have been.

        A_i = A'_i of `of` with `fields`, on the log with `rewards`, without what is left out

    A rollout or a step that is left out counts in no statistic of its group and is scored all the
    same, against what the others make of it. A reward is the episode's: its last step gets the
    difference. Success follows it where the log's rewards tell successes from failures.

    Degenerate cases: with nothing changed it is the credit of `of`, bit for bit.

    **Conventions**: those of `of`. Texts stay as they are, and a representation that was fitted on
    the log stays so. Where a rollout's first step is left out, statistics over trajectories leave
    the whole rollout out: that step stands for it there.

    **Differs from** nothing; it is this package's own.

    Source: none.
    """

    of: str = parameter(
        "grpo", "the method, or method:dialect, whose credit is taken", parse=create
    )
    fields: str = parameter("", "its fields, as FIELD=VALUE with spaces between", parse=_fields)
    rewards: str = parameter(
        "", "episode rewards that are others, as TRAJECTORY=REWARD", parse=_rewards
    )
    without: str = parameter("", "trajectories that count in no statistic", parse=_names)
    without_steps: str = parameter(
        "", "steps that count in no statistic, as TRAJECTORY:INDEX", parse=_steps
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.inner  # fields that it cannot have are refused now

    @cached_property
    def inner(self) -> Method:
        """The other method with its fields."""
        return create(self.of, _fields(self.fields))

    def needs(self) -> Sequence[str]:
        """Inputs of the other method."""
        return self.inner.needs()

    def couples(self, space: Space) -> bool:
        """True if the other method couples groups."""
        return self.inner.couples(space)

    def couples_batches(self) -> bool:
        """True where the other method does."""
        return self.inner.couples_batches()

    def chains(self) -> bool:
        """True if the other method depends on the order of steps."""
        return self.inner.chains()

    def notes(self, steps: Steps) -> Sequence[str]:
        """Notes of the other credit, and the changes made here."""
        return (*self.inner.notes(steps), *([f"what if: {self.changes}"] if self.changes else []))

    @property
    def changes(self) -> str:
        """Changes in words; empty where nothing is changed."""
        parts = [f"{name} = {value}" for name, value in _pairs(self.fields).items()]
        parts += [f"reward of {n} is {value:g}" for n, value in _rewards(self.rewards).items()]
        parts += [f"without {name}" for name in _names(self.without)]
        parts += [f"without {name} step {index}" for name, index in _steps(self.without_steps)]
        return ", ".join(parts)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The terms of the other credit on the log as it might have been."""
        changed = edited(
            steps, _rewards(self.rewards), _names(self.without), _steps(self.without_steps)
        )
        return self.inner.terms(changed, EditedSpace(space, changed))


def keep(name: str, values: Mapping[str, Any]) -> str:
    """Name a what-if, so that it is found wherever methods are; "what-if:NAME-DIGEST".

    The digest is of what it changes, so that a name never comes to mean something else.

    Args:
        name: What people call it; letters, digits, dots and dashes stay.
        values: Fields of `WhatIf`.

    Raises:
        ParameterError: A field that it does not have, or a value that it cannot have.
    """
    given = WhatIf(**values)
    kept = {k: v for k, v in given.values.items() if v}
    plain = "".join(sign if sign.isalnum() or sign in ".-" else "-" for sign in name.strip())
    own = f"{plain.strip('-.')[:40] or 'variant'}-{digest(kept)[:6]}"
    known = METHODS[NAME].dialects
    assert isinstance(known, dict)
    known[own] = Dialect(name=own, fields=kept, source="kept in the app")
    return f"{NAME}:{own}"
