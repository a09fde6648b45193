"""Methods and their dialects as one list of names, and in which fields two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.methods.base import METHODS, create
from workbench.methods.what_if import NAME as WHAT_IF
from workbench.parameters import fields


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A field that two methods do not have alike.

    Args:
        field: Its name.
        left: Its value on the left as text; "–" where that method has no such field.
        right: The same on the right.
        meaning: What the field is.
    """

    field: str
    left: str
    right: str
    meaning: str


def variants() -> list[str]:
    """Every "method" and "method:dialect" that can be scored, each method before its dialects.

    Of what-if the kept ones are: by itself it changes nothing.

    Example:
        >>> [name for name in variants() if name.startswith("opo")]
        ['opo', 'opo:verl']
    """
    return [
        name
        for method in METHODS.values()
        for name in (
            *(() if method.name == WHAT_IF else (method.name,)),
            *(f"{method.name}:{dialect}" for dialect in method.dialects),
        )
    ]


def differences(
    left: str,
    right: str,
    left_params: Mapping[str, Any] | None = None,
    right_params: Mapping[str, Any] | None = None,
) -> list[Difference]:
    """The fields in which two methods, as they are set, differ; those of only one come last.

    Args:
        left: "method" or "method:dialect".
        right: Likewise.
        left_params: Fields set in addition to the method's or dialect's own.
        right_params: Likewise.

    Raises:
        UnknownNameError: No such method or dialect.
        ParameterError: No such field, or a value that it cannot have.

    Example:
        >>> [(d.field, d.left, d.right) for d in differences("grpo", "grpo:verl")]
        [('group_of_one', 'zero', 'raw')]
    """
    one, other = create(left, left_params), create(right, right_params)
    known, known_right = fields(type(one)), fields(type(other))
    known = {**known, **{name: spec for name, spec in known_right.items() if name not in known}}
    found = [
        Difference(
            field=name,
            left=_text(one, name),
            right=_text(other, name),
            meaning=str(spec.metadata.get("help", "")),
        )
        for name, spec in known.items()
        if not hasattr(one, name)
        or not hasattr(other, name)
        or getattr(one, name) != getattr(other, name)
    ]
    return sorted(found, key=lambda difference: "–" in (difference.left, difference.right))


def _text(method: object, name: str) -> str:
    if not hasattr(method, name):
        return "–"
    value = getattr(method, name)
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)
