"""The frozen list of conditions under which methods are measured.

A condition is a world with its dials, a group size, and the name of what was moved from the
family's base. Families are the registered worlds: one more world is one more family.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from workbench.errors import ParameterError, UnknownNameError
from workbench.simulate import WORLDS, World

WORLDS_VERSION = "1"
"""Changes with any change of a world, its texts, its study or the numbers below."""

GROUP_SIZE = 8
GROUP_SIZES = (4, 16, 32)
TASKS = 5
"""Tasks of one seed; the goals of the household take turns in five."""

BATCHES = 4
"""Independent batches of rollouts of the same tasks: they tell a gradient's bias from its noise."""

SEEDS = 20
BASE, GROUP = "base", "group"


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One cell of the benchmark.

    Args:
        family: Name of the world.
        dial: What differs from the family's base: a dial, "group" for the group size, or "base".
        value: Its value; None for the base.
        world: The world with its dials.
        group: Rollouts of each group.
    """

    family: str
    dial: str
    value: float | None
    world: World
    group: int

    @property
    def name(self) -> str:
        """Such as "base" or "paraphrase=1.0"."""
        return self.dial if self.value is None else f"{self.dial}={self.value:g}"

    def setting(self, dial: str) -> float:
        """Value of a dial, or of the group size, in this condition."""
        return float(self.group if dial == GROUP else getattr(self.world, dial))


def dials_of(cells: Iterable[Condition]) -> dict[str, dict[str, Any]]:
    """The dials and the group size of each condition, by family and name."""
    return {f"{cell.family} {cell.name}": {**vars(cell.world), GROUP: cell.group} for cell in cells}


def conditions(
    families: Sequence[str] | None = None, names: Sequence[str] | None = None
) -> list[Condition]:
    """The conditions of some families, the base of each first.

    Args:
        families: Names of worlds, each with dials that differ from the base of its study or
            without, such as "helpdesk issues=1"; all worlds by default.
        names: Which conditions of each family, by name; all by default.

    Raises:
        UnknownNameError: No such world or dial, or no family has a condition of that name.
        ParameterError: A list is empty, or a dial has a value that it cannot have.
    """
    for what, given in (("families", families), ("conditions", names)):
        if given is not None and not given:
            raise ParameterError(f"no {what} are given")
    found = [cell for family in families or sorted(WORLDS) for cell in _of_family(family)]
    known = [cell.name for cell in found]
    for name in names or ():
        if name not in known:
            raise UnknownNameError("condition", name, set(known))
    return [cell for cell in found if names is None or cell.name in names]


def family_parts(family: str) -> tuple[str, dict[str, float]]:
    """The world of a family, and the dials that differ from the base of its study.

    Example:
        >>> family_parts("codebase modules=2 bugs=1")
        ('codebase', {'modules': 2, 'bugs': 1})

    Raises:
        UnknownNameError: No such world or dial.
        ParameterError: A dial has no number.
    """
    name, *pairs = family.split() or [family]
    dials = {}
    for pair in pairs:
        dial, _, value = pair.partition("=")
        known = [field.name for field in fields(WORLDS[name])]  # type: ignore[arg-type]
        if dial not in known:
            raise UnknownNameError(f"dial of {name}", dial, known)
        try:
            dials[dial] = int(value) if value.lstrip("-").isdecimal() else float(value)
        except ValueError:
            raise ParameterError(f"{pair!r} sets no dial: expected DIAL=NUMBER") from None
    return name, dials


def trainable(family: str) -> str:
    """A family under the dials that a small policy can learn, if it names none itself.

    Example:
        >>> trainable("helpdesk"), trainable("household"), trainable("helpdesk slips=0")
        ('helpdesk issues=1', 'household', 'helpdesk slips=0')
    """
    name, dials = family_parts(family)
    own = {} if dials else WORLDS[name].study.trainable
    return " ".join([family, *(f"{dial}={value:g}" for dial, value in own.items())])


def _of_family(family: str) -> list[Condition]:
    name, own = family_parts(family)
    # Dials are fields of the class, which the protocol of an instance does not know.
    make: Any = WORLDS[name]
    study = make.study

    def cell(dial: str, value: float | None, group: int, **dials: float) -> Condition:
        world = make(**{**study.base, **own, **dials})
        return Condition(family=family, dial=dial, value=value, world=world, group=group)

    return [
        cell(BASE, None, GROUP_SIZE),
        *(cell(GROUP, size, size) for size in GROUP_SIZES),
        *(
            cell(dial, value, GROUP_SIZE, **{dial: value})
            for dial, values in study.sweeps.items()
            for value in values
        ),
    ]
