"""Optional capabilities of methods, as protocols that other rooms ask for."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from workbench.methods.base import Method, create


@runtime_checkable
class BringsEmbedder(Protocol):
    """A method that can bring a representation of its own."""

    embedder: str | None


@runtime_checkable
class Wraps(Protocol):
    """A method that is made from the credit of another one."""

    of: str


@runtime_checkable
class HasStateKey(Protocol):
    """A method that compares steps in the same state."""

    state_key: str


@runtime_checkable
class PenalisesInvalid(Protocol):
    """A method that takes something off for an invalid action."""

    invalid_penalty: float


@runtime_checkable
class BacksUp(Protocol):
    """A method that discounts the value of the next state."""

    continuation: float


@runtime_checkable
class Discounts(Protocol):
    """A method that discounts returns."""

    gamma: float


def own_embedder(method: Method) -> str | None:
    """The representation that a method brings itself; None where it takes the space's."""
    return method.embedder if isinstance(method, BringsEmbedder) else None


def compares_texts(method: Method) -> bool:
    """True if a method, as configured, requires similarities of the space's own embedder."""
    return "similarity" in method.needs() and own_embedder(method) is None


def discount(method: Method) -> float:
    """λ or γ of a method, or of the one that it is made from; 1 where neither discounts."""
    if isinstance(method, BacksUp):
        return method.continuation
    if isinstance(method, Discounts):
        return method.gamma
    return discount(create(method.of)) if isinstance(method, Wraps) else 1.0
