"""Base class and registries of state and action keys.

A key is a frozen dataclass that derives from `Key`, declares its settings with `parameter`, and is
registered with `state_key` or `action_key`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import polars as pl

from workbench.errors import ParameterError, UnknownNameError
from workbench.log.steps import Index, Steps
from workbench.parameters import Parameterised, fields
from workbench.registry import Registry
from workbench.states.similarity import Similarity


class KeySpace(Protocol):
    """Inputs of a key besides the steps, of the same log."""

    steps: Steps

    def state_key(self, spec: str = "exact") -> Index:
        """Labels under another state key."""

    def action_key(self, spec: str = "text") -> Index:
        """Labels under an action key."""

    def similarity(self, embedder: str | None = None) -> Similarity:
        """Similarities between the distinct states of each group."""

    def action_similarity(self, embedder: str | None = None) -> Similarity:
        """Similarities between the distinct actions of each group."""


@dataclass(frozen=True, kw_only=True)
class Key(Parameterised, ABC):
    """A rule by which steps of a group count as the same; its fields are its settings."""

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Label of each step: equal in a group means the same; groups never share a label.

        Labels are numbered from 0 in the order in which they are first met. (S,) int64.
        """

    def needs(self) -> Sequence[str]:
        """Inputs from the space besides other keys: "similarity", or nothing."""
        return ()

    def looks_back(self) -> bool:
        """True if the label of a step depends on the steps before it in its trajectory."""
        return False

    @property
    def spec(self) -> str:
        """Specification that parses to this key: its name, and settings other than defaults.

        Example:
            >>> parse_state_key("history:length=3").spec
            'history:length=3'
        """
        known = fields(type(self))
        settings = {n: value for n, value in vars(self).items() if value != known[n].default}
        if not settings:
            return self.name
        pairs = [f"{n}={v if isinstance(v, str) else json.dumps(v)}" for n, v in settings.items()]
        plain = ",".join(pairs)
        try:
            readable = _settings(self.name, plain) == settings
        except ParameterError:
            readable = False
        return f"{self.name}:{plain if readable else json.dumps(settings)}"


KeyClass = TypeVar("KeyClass", bound=type[Key])

STATE_KEYS: Registry[type[Key]] = Registry(
    "state key", folder="workbench.states.keys", group="workbench.state_keys"
)
ACTION_KEYS: Registry[type[Key]] = Registry(
    "action key", folder="workbench.states.keys", group="workbench.action_keys"
)


def state_key(name: str) -> Callable[[KeyClass], KeyClass]:
    """Register a state key under a name."""
    return _registrar(STATE_KEYS, name)


def action_key(name: str) -> Callable[[KeyClass], KeyClass]:
    """Register an action key under a name."""
    return _registrar(ACTION_KEYS, name)


def _registrar(registry: Registry[type[Key]], name: str) -> Callable[[KeyClass], KeyClass]:
    def register(cls: KeyClass) -> KeyClass:
        cls.name = name
        registry.add(name, cls)
        return cls

    return register


def parse_state_key(spec: str) -> Key:
    """The state key of a spec; see `_parsed`."""
    return _parsed(spec, STATE_KEYS)


def parse_action_key(spec: str) -> Key:
    """The action key of a spec; see `_parsed`."""
    return _parsed(spec, ACTION_KEYS)


def _parsed(spec: str, registry: Registry[type[Key]]) -> Key:
    """A key from `name`, `name:field=value,field=value`, or `name:{JSON object}`.

    Values are read as JSON where they parse, else as text; one that holds a comma wants the
    JSON object.

    Raises:
        UnknownNameError: No key has that name.
        ParameterError: No such field, or a value that it cannot have.
    """
    name, _, rest = spec.partition(":")
    key = registry[name]
    settings = _settings(spec, rest)
    known = fields(key)
    for field_name in settings:
        if field_name not in known:
            raise UnknownNameError(f"field of {registry.kind} {name}", field_name, known)
    return key(**settings)


def _settings(spec: str, rest: str) -> dict[str, Any]:
    if rest.startswith("{"):
        try:
            return dict(json.loads(rest))
        except ValueError as error:
            raise ParameterError(f"{spec!r} is not `name:{{JSON object}}`: {error}") from error
    settings = {}
    for part in filter(None, rest.split(",")):
        field_name, equals, value = part.partition("=")
        if not equals:
            raise ParameterError(f"{spec!r}: expected field=value after the colon, got {part!r}")
        try:
            settings[field_name.strip()] = json.loads(value)
        except ValueError:
            settings[field_name.strip()] = value
    return settings


def labels(steps: Steps, *columns: pl.Series | Index) -> Index:
    """Label of each step by its group and the values of columns, numbered as first met. (S,)."""
    named = [pl.Series(f"c{number}", column) for number, column in enumerate(columns)]
    keys = pl.DataFrame([pl.Series("group", steps.group), *named])
    distinct = keys.unique(maintain_order=True).with_row_index("key")
    joined = keys.join(distinct, on=keys.columns, maintain_order="left", nulls_equal=True)
    return joined["key"].to_numpy().astype("int64")
