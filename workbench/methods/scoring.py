"""Scoring of an opened log: a method by name, its credit with provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from workbench.files import package_version
from workbench.log.credit import Credit, Provenance
from workbench.log.remarks import of_credit, of_log
from workbench.log.steps import Real, Steps
from workbench.methods.base import Method, create, registered, split_name
from workbench.methods.capabilities import PenalisesInvalid, own_embedder
from workbench.states.embedders.registry import resolve
from workbench.states.space import Space
from workbench.states.text import StateText
from workbench.wording import of_all


def score(space: Space, name: str, params: Mapping[str, Any] | None = None) -> Credit:
    """The credit of every step of a log under a method.

    Args:
        space: The opened log; a second method on it costs no second embedding.
        name: "method", "method:dialect" or "FILE.py:Class".
        params: Fields of the method that differ from its values.

    Raises:
        UnknownNameError: No such method or dialect.
        PluginError: The file cannot be imported, or has no such method.
        ParameterError: No such field, or a value that it cannot have.
        MissingInputError: The method needs what the log lacks.
    """
    own = registered(name)
    return scored(space, own, create(own, params))


def scored(space: Space, name: str, method: Method) -> Credit:
    """The credit of a method that is made already; arguments as for `score`."""
    method.require(space.steps, space)
    credit = method.credit(space.steps, space)
    said = said_of(space, name, method, credit.columns, credit.table())
    of_vectors = space.notes if uses_vectors(method) else ()
    made = provenance(space, name, method, (*said, *of_vectors))
    return replace(credit, notes=said, provenance=made)


def uses_vectors(method: Method) -> bool:
    """True if a method compares vectors of the space's own embedder."""
    return "similarity" in method.needs() and own_embedder(method) is None


def said_of(
    space: Space, name: str, method: Method, columns: Mapping[str, Real], table: pl.DataFrame
) -> tuple[str, ...]:
    """All that a reader of a credit should know, besides what the space has to say of vectors.

    Args:
        space: Where the method ran; of the log it asks for no text of a step.
        name: As it was asked for.
        method: The method with its fields.
        columns: The credit's numbers, as `Credit.columns`.
        table: The credit, as `Credit.table`.
    """
    steps = space.steps
    return (
        *method.said(steps, space, columns),
        *_unpenalised(name, method, steps),
        *map(str, of_log(steps.log)),
        *map(str, of_credit(steps.log, table, method.values)),
    )


def _unpenalised(name: str, method: Method, steps: Steps) -> list[str]:
    """Notes on a penalty for invalid actions that a dialect leaves out and its trainer has."""
    # A table may call a method what it likes, such as "grpo norm=mean".
    dialect = method.info.dialects.get(split_name(name)[1])
    invalid = int(steps.invalid_action.sum())
    if dialect is None or not dialect.invalid_penalty or not invalid:
        return []
    hint = "take it off the log's rewards; this method has no penalty"
    if isinstance(method, PenalisesInvalid):
        if method.invalid_penalty:
            return []
        hint = f"-p invalid_penalty={dialect.invalid_penalty:g}"
    return [
        f"the runs of {dialect.name} take {dialect.invalid_penalty:g} off an invalid action, which "
        f"{of_all(invalid, len(steps), 'step', 'have')}; this credit takes off nothing. Hint: "
        f"{hint}"
    ]


def provenance(space: Space, name: str, method: Method, notes: Sequence[str] = ()) -> Provenance:
    """Provenance of a credit, known before it is computed.

    Args:
        space: Where the method runs.
        name: As it was asked for.
        method: The method with its fields.
        notes: What a reader of the credit should know, once it is there.
    """
    own, embeds = own_embedder(method), "similarity" in method.needs()
    embedder = None
    if embeds:
        embedder = space.embedder if own is None else resolve(own)
    return Provenance(
        version=package_version(),
        method=method.identity(name),
        log={
            "sha256": space.log_sha256,
            "rows": space.steps.log.height,
            "scored": len(space.steps),
        },
        embedder={"name": embedder.name, "key": embedder.key} if embedder else None,
        state_text=vars(space.state_text if own is None else StateText()) if embeds else None,
        notes=list(notes),
    )
