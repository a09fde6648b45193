"""The verbs of `import workbench`: logs, spaces and credits in, results out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.analysis.audit import Audit
from workbench.analysis.audit import audit as audit_credits
from workbench.analysis.compare import Comparison
from workbench.analysis.compare import compare as compare_tables
from workbench.analysis.tuning.held_out import HeldOut, held_out
from workbench.errors import ParameterError
from workbench.exporters import TARGETS, Manifest
from workbench.log.credit import Credit
from workbench.log.facts import Facts
from workbench.log.facts import facts as facts_of
from workbench.methods import METHODS, MethodInfo, scoring
from workbench.readers.base import FORMATS, Format
from workbench.states.space import Space
from workbench.workspace.opened import open_log

Credits = Credit | Mapping[str, Credit] | Sequence[Credit]
"""A credit, several, or several by the name that a result shall give them."""


def score(space: Space, method: str, **fields: Any) -> Credit:
    """The credit of every step of an opened log.

    Args:
        space: From `open_log`; a second method on it costs no second embedding.
        method: "method", "method:dialect" or "FILE.py:Class".
        **fields: Fields of the method that differ from its values.

    Raises:
        UnknownNameError: No such method or dialect.
        ParameterError: No such field, a value that it cannot have, or `space` is no space.
        MissingInputError: The method needs what the log lacks.
    """
    return scoring.score(_require_space(space), method, fields)


def compare(*credits: Credits, top: int = 20) -> Comparison:
    """Credits of one log pair by pair: rank correlation, sign flips, largest disagreements.

    Args:
        *credits: At least two.
        top: How many disagreements of each pair.

    Raises:
        ParameterError: Fewer than two, something that is no credit, or credits of several logs.
    """
    named = _named("compare", credits)
    return compare_tables({name: credit.table() for name, credit in named.items()}, top=top)


def audit(*credits: Credits, **options: Any) -> Audit:
    """Audit credits of one log without ground truth.

    Args:
        *credits: At least one.
        **options: Of `analysis.audit.audit`: label, controls, draws, seed, progress.

    Raises:
        ParameterError: None, something that is no credit, or credits of several logs.
    """
    named = _named("audit", credits)
    if not named:
        raise ParameterError("audit needs at least one credit. Hint: score(space, …) gives one")
    spaces = {name: _space(credit) for name, credit in named.items()}
    space = next(iter(spaces.values()))
    scored = {name: credit.scored() for name, credit in named.items()}
    return audit_credits(space, scored, spaces=spaces, **options)


def tune(credit: Credit, values: Iterable[float] | None = None) -> HeldOut:
    """Held-out error of a method's baseline, by the value of its tunable field.

    Args:
        credit: Of the method as it is set.
        values: Values to try, ascending; the method's candidates by default.

    Raises:
        ParameterError: No credit, or its method has no field to be tuned.
        MissingInputError: Its fields leave the method without a step term.
    """
    (only,) = _named("tune", [credit]).values()
    return held_out(only.method, only, _space(only), None if values is None else tuple(values))


def export(
    credit: Credit, directory: str | Path, *, target: str = "weighted-batch", **options: Any
) -> Manifest:
    """Write a batch for a trainer.

    Args:
        credit: Whose log and advantages go into it.
        directory: The folder to make.
        target: A name of `workbench formats`.
        **options: The target's own, such as `tokenizer` or `overwrite`.

    Raises:
        UnknownNameError: There is no such target.
        WorkbenchError: The batch cannot be written; what `Exporter` says.
    """
    (only,) = _named("export", [credit]).values()
    return TARGETS[target](only.steps.log, only.scored(), Path(directory), **options)


def facts(log: Any) -> Facts:
    """Facts of a log before it is scored: groups, success, dead groups, lengths.

    Args:
        log: A space, or anything that `open_log` takes.

    Raises:
        LogError: The log breaks a rule; every problem is listed.
    """
    space = log if isinstance(log, Space) else open_log(log)
    return facts_of(space.steps.log)


def formats() -> Mapping[str, Format]:
    """Every format that can be read, by name."""
    return FORMATS


def list_methods() -> Mapping[str, MethodInfo]:
    """Every method by name, with its fields, dialects and traits."""
    return METHODS


def _named(verb: str, credits: Iterable[Credits]) -> dict[str, Credit]:
    """Credits by the name given, or by method; numbered where a method comes twice."""
    named: list[tuple[str, Any]] = []
    for given in credits:
        if isinstance(given, Mapping):
            named += given.items()
        else:
            several = given if isinstance(given, list | tuple) else [given]
            named += [("", credit) for credit in several]
    found: dict[str, Credit] = {}
    for name, credit in named:
        if not isinstance(credit, Credit):
            raise ParameterError(
                f"{verb} takes Credit objects, got {type(credit).__name__}. "
                "Hint: score(space, …) gives one"
            )
        own = str(name) or credit.name
        count = sum(key == own or key.startswith(f"{own} (") for key in found)
        found[own if not count else f"{own} ({count + 1})"] = credit
    return found


def _space(credit: Credit) -> Space:
    """The space that a credit was scored in."""
    return _require_space(credit.space)


def _require_space(value: object) -> Space:
    if not isinstance(value, Space):
        raise ParameterError(
            f"a Space is needed, got {type(value).__name__}. Hint: open_log(…) makes one"
        )
    return value
