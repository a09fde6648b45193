"""Hyper-parameters as dataclass fields with a default, a range and one line of meaning.

Methods and keys declare them once; the command line, the documents and the app's forms read them.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, get_args, get_origin

from workbench.errors import ParameterError, WorkbenchError


def parameter(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    minimum_exclusive: bool = False,
    parse: Callable[[Any], object] | None = None,
) -> Any:
    """A hyper-parameter: a dataclass field with its default, its range and one line of meaning.

    Args:
        default: Its value where none is given.
        help: The line.
        minimum: Smallest value.
        maximum: Largest value.
        minimum_exclusive: Whether `minimum` itself is out of range.
        parse: What will read the value later; raises `WorkbenchError` on one that it cannot.
    """
    metadata: dict[str, Any] = {"help": help}
    limits = {"min": minimum, "max": maximum, "min_exclusive": minimum_exclusive or None}
    metadata.update({name: limit for name, limit in limits.items() if limit is not None})
    if parse is not None:
        metadata["parse"] = parse
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Parameterised:
    """Something whose fields are its hyper-parameters.

    Raises:
        ParameterError: A field is of the wrong type or out of range; all such fields are named.
    """

    def __post_init__(self) -> None:
        wrong = []
        for spec in fields(type(self)).values():
            try:
                object.__setattr__(self, spec.name, spec.checked(getattr(self, spec.name)))
            except ParameterError as error:
                wrong.append(str(error))
        if wrong:
            raise ParameterError("; ".join(wrong))

    @property
    def values(self) -> dict[str, Any]:
        """The hyper-parameters by name."""
        return {name: getattr(self, name) for name in fields(type(self))}


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """A hyper-parameter as documents, forms and the command line know it."""

    name: str
    type: type
    optional: bool
    choices: Sequence[str]
    default: Any
    metadata: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: type, default, range or choices, help."""
        result: dict[str, Any] = {"type": self.type.__name__, "default": self.default}
        if self.optional:
            result["optional"] = True
        if self.choices:
            result["choices"] = list(self.choices)
        return result | {key: value for key, value in self.metadata.items() if key != "parse"}

    def checked(self, value: Any) -> Any:
        """The value in the field's type.

        Raises:
            ParameterError: Wrong type or out of range; the message names the range.
        """
        if value is None and self.optional:
            return None
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, self.type) or (self.type is int and isinstance(value, bool)):
            raise ParameterError(f"{self.name} must be {self._expected()}, got {value!r}")
        if self.choices and value not in self.choices:
            raise ParameterError(f"{self.name} must be one of {list(self.choices)}, got {value!r}")
        if isinstance(value, int | float) and not self._in_range(value):
            raise ParameterError(f"{self.name} must be in {self._range()}, got {value!r}")
        if "parse" in self.metadata:
            try:
                self.metadata["parse"](value)
            except WorkbenchError as error:
                raise ParameterError(f"{self.name}: {error}") from error
        return value

    def _expected(self) -> str:
        name = f"one of {list(self.choices)}" if self.choices else f"a {self.type.__name__}"
        return f"{name} or null" if self.optional else name

    def _in_range(self, value: float) -> bool:
        low = self.metadata.get("min", float("-inf"))
        high = self.metadata.get("max", float("inf"))
        above = low < value if self.metadata.get("min_exclusive") else low <= value
        return above and value <= high and abs(value) != float("inf")

    def _range(self) -> str:
        bracket = "(" if self.metadata.get("min_exclusive") or "min" not in self.metadata else "["
        low = self.metadata.get("min", "-inf")
        high = f"{self.metadata['max']}]" if "max" in self.metadata else "inf)"
        return f"{bracket}{low}, {high}"


def fields(cls: type[Parameterised]) -> dict[str, FieldSpec]:
    """The hyper-parameters of a class, by name, in declaration order."""
    hashable: Any = cls  # to mypy, the hash of an instance is that of its class
    return dict(_fields(hashable))


@lru_cache(maxsize=512)  # type hints are slow to resolve, and a method is made often
def _fields(cls: Any) -> Mapping[str, FieldSpec]:
    hints = typing.get_type_hints(cls)
    specs = {}
    for entry in dataclasses.fields(cls):
        hint, optional, choices = hints[entry.name], False, ()
        if get_origin(hint) in (typing.Union, types.UnionType):
            optional = True
            hint = next(arg for arg in get_args(hint) if arg is not type(None))
        if get_origin(hint) is typing.Literal:
            choices, hint = get_args(hint), str
        hint = get_origin(hint) or hint  # list[str] is checked as a list; `parse` looks inside
        specs[entry.name] = FieldSpec(
            name=entry.name,
            type=hint,
            optional=optional,
            choices=choices,
            default=entry.default,
            metadata=entry.metadata,
        )
    return specs
