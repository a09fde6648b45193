"""Base class and registry of credit-assignment methods.

A method is a frozen keyword-only dataclass that derives from `Method`, declares each
hyper-parameter with `parameter`, returns its terms from `terms`, and is registered with the
decorator `method`. The command line, the documents, the contract tests and the app read `METHODS`.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import polars as pl

from workbench.errors import (
    MissingInputError,
    ParameterError,
    PluginError,
    UnknownNameError,
)
from workbench.files import digest, file_digest
from workbench.log.columns import known
from workbench.log.credit import Credit, Term
from workbench.log.steps import Real, Steps
from workbench.methods.losses import require_credit
from workbench.parameters import Parameterised, fields
from workbench.registry import Registry
from workbench.states.keys import Key
from workbench.states.space import Space
from workbench.wording import of_all

TRAITS: Mapping[str, str] = {
    "steps-population": "group statistics over step rows, so long trajectories weigh more",
    "tokens-population": "statistics over response tokens, so long responses weigh more",
    "counts-copies": "a row that the trainer duplicated counts as often as it occurs",
    "raw-group-of-one": "the only member of a group gets its reward as advantage instead of 0",
    "couples-groups": "the credit of a group depends on the other groups of its batch",
    "couples-batches": "the credit of a batch depends on earlier batches, never on later ones",
    "row-order": "depends on the order of the rows in the source",
    "ignores-rewards": "its credit is the same whatever the rewards are",
    "credits-dead-groups": "a group of equal rewards gets credit where its batch has others",
    "credits-equal-rewards": "credit is not 0 although all rewards are equal",
    "charges-length": "a longer reply of the same reward gets less",
    "position-baseline": (
        "a step is compared with those at the same turn, at late turns with rollouts that went on"
    ),
    "counts-own-turns": (
        "more is taken off the longer the rollout itself goes on: biased where it decides to stop"
    ),
    "mixed-scale": (
        "with rewards k times as large credit is neither the same nor k times as large"
    ),
    "depends-on-ids": "other ids of the same rollouts give another credit",
}
"""Deviations of a method or dialect from the contract; the contract tests prove each."""


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A column of numbers from an original implementation that a dialect reproduces.

    Args:
        params: Fields to set beyond the dialect's own.
        term: The term that is the column; None for the whole advantage.
        output: The diagnostic that is the column, in place of a term.
        table: The golden table that has it; "steps" for the step tables.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    term: str | None = None
    output: str | None = None
    table: str = "steps"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """Field values under which a method gives the numbers of one code base.

    Args:
        name: The code base.
        fields: The values.
        source: Where its code is.
        traits: Keys of `TRAITS` that hold under these values.
        invalid_penalty: What its runs take off an invalid action. It is no convention of the
            method and not among `fields`; a credit of a log with invalid actions says so.
        golden: Golden column -> how it is reproduced.
    """

    name: str
    fields: Mapping[str, Any]
    source: str
    traits: Sequence[str] = ()
    invalid_penalty: float = 0.0
    golden: Mapping[str, Golden] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """A registry entry.

    Args:
        name: What users type.
        summary: One line: what the advantage of a step is.
        source: Paper or code.
        cls: The class.
        needs: What it asks of the space ("similarity", "keys") and which columns of the log,
            besides what the keys among its fields ask.
        traits: Keys of `TRAITS` that hold at the defaults.
        chains: Whether it asks which steps follow each other by more than its fields tell: see
            `Method.chains`.
        dialects: Its dialects by name.
        code: Digest of its file where that is not of this package; part of what a credit is
            named by.
    """

    name: str
    summary: str
    source: str
    cls: type[Method]
    needs: Sequence[str]
    traits: Sequence[str]
    dialects: Mapping[str, Dialect]
    code: str | None = None
    chains: bool = False

    @property
    def about(self) -> str:
        """Formula, degenerate cases, conventions, and what it differs from: its documentation."""
        return inspect.getdoc(self.cls) or ""

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON-able data: fields with type, default and range, dialects, golden."""
        return {
            "summary": self.summary,
            "about": self.about,
            "source": self.source,
            "needs": list(self.cls().needs()),
            "traits": list(self.traits),
            "chains": self.cls().chains(),
            "fields": {name: spec.to_dict() for name, spec in fields(self.cls).items()},
            "dialects": {
                dialect.name: {
                    "source": dialect.source,
                    "fields": dict(dialect.fields),
                    "traits": list(dialect.traits),
                    "invalid_penalty": dialect.invalid_penalty,
                    "golden": {
                        column: {"params": dict(golden.params)}
                        | ({"output": golden.output} if golden.output else {"term": golden.term})
                        | ({"table": golden.table} if golden.table != "steps" else {})
                        for column, golden in dialect.golden.items()
                    },
                }
                for dialect in self.dialects.values()
            },
        }


@dataclass(frozen=True, kw_only=True)
class Method(Parameterised, ABC):
    """A credit-assignment method; its fields are its hyper-parameters.

    Attributes:
        info: Its entry in the registry.
        pools_batches: True if, of the other groups of a batch, a group's credit takes their moments
            alone, see `log.pooling.batch_moments`.

    Raises:
        ParameterError: A field is of the wrong type or out of range; all such fields are named.
    """

    info: ClassVar[MethodInfo]
    pools_batches: ClassVar[bool] = False

    @abstractmethod
    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The named terms whose values sum to the advantage."""

    def needs(self) -> Sequence[str]:
        """Inputs of these fields: of the space ("similarity", "keys"), of the log (columns)."""
        return (*self.info.needs, *self.needs_of_keys())

    def needs_of_keys(self) -> Sequence[str]:
        """Inputs of the space that the keys among the fields require."""
        return [need for key in self._parsed() if isinstance(key, Key) for need in key.needs()]

    def chains(self) -> bool:
        """True if a step's credit depends on the steps before or after it.

        It does where the method says so, where it discounts (a field `gamma` or `continuation`
        that no `step_weight` of 0 switches off), where a key among its fields looks back, and
        where it is made from a method that does. All others see a trajectory as a set of steps.
        """
        if self.info.chains:
            return True
        values = self.values
        discounts = any(values.get(name) is not None for name in ("gamma", "continuation"))
        if discounts and values.get("step_weight") != 0.0:
            return True
        parsed = self._parsed()
        return any(
            (isinstance(part, Key) and part.looks_back())
            or (isinstance(part, Method) and part.chains())
            for part in parsed
        )

    def turn_baseline(self) -> Literal["position-baseline", "counts-own-turns"] | None:
        """The one of these traits that holds under these fields, if one does."""
        return None

    def _parsed(self) -> list[object]:
        """Objects of the fields that are parsed: keys, other methods."""
        return [
            spec.metadata["parse"](getattr(self, spec.name))
            for spec in fields(type(self)).values()
            if "parse" in spec.metadata
        ]

    def require_chain(self, steps: Steps, space: Space) -> None:
        """Refuse a log whose steps were chained by guess, if that matters and is not allowed.

        Raises:
            MissingInputError: The method chains, and the log does not say what follows what.
        """
        guessed = None if space.allow_unchained else steps.guessed_chains
        if guessed is not None and self.chains():
            raise MissingInputError(
                f"{self.info.name} asks which steps follow each other, and in this log {guessed}. "
                "Hint: take a method that does not ask, such as grpo; or accept wrong chains with "
                "--allow-unchained (allow_unchained=True in Python); for verl-agent the hook of "
                "docs/verl_agent_hook.md writes the trajectories into the next dump"
            )

    def identity(self, name: str) -> dict[str, Any]:
        """Method, dialect and fields as provenance records them.

        Args:
            name: As it was asked for, with the dialect.
        """
        own = {
            "name": self.info.name,
            "dialect": split_name(name)[1] or None,
            "fields": self.values,
        }
        return own if self.info.code is None else {**own, "code": self.info.code}

    def notes(self, steps: Steps) -> Sequence[str]:
        """Notes for readers of this credit on this log, one sentence each."""
        return ()

    def remarks(self, steps: Steps, columns: Mapping[str, Real]) -> Sequence[str]:
        """Remarks on this credit for its reader, one sentence each.

        Args:
            steps: The scored steps.
            columns: The credit's numbers, as `Credit.columns`.
        """
        return ()

    def said(self, steps: Steps, space: Space, columns: Mapping[str, Real]) -> tuple[str, ...]:
        """All that the method has to say of a credit, one sentence each; arguments as above."""
        return (
            *self.notes(steps),
            *self.remarks(steps, columns),
            *(_notes_on_batches(steps) if self.couples(space) else ()),
            *self._chain_notes(steps),
        )

    def couples(self, space: Space) -> bool:
        """True if, under these fields, a group's credit depends on the others of its batch.

        Args:
            space: Where the method runs; its embedder may be fitted over a batch.
        """
        if "couples-groups" in self.info.traits:
            return True
        own: str | None = getattr(self, "embedder", None)
        return "similarity" in self.needs() and space.fits_batches(own)

    def couples_batches(self) -> bool:
        """True where a batch's credit depends, under these fields, on earlier ones of its run."""
        return "couples-batches" in self.info.traits

    def require(self, steps: Steps, space: Space) -> None:
        """Refuse a log that lacks what the method needs, or whose steps were chained by guess.

        Raises:
            MissingInputError: What is missing.
        """
        self._require_columns(steps)
        self.require_chain(steps, space)

    def __call__(self, steps: Steps, space: Space) -> Credit:
        """The credit of every scored step.

        Raises:
            MissingInputError: The log lacks what the method needs.
            ParameterError: An advantage would not be finite.
        """
        self.require(steps, space)
        credit = self.credit(steps, space)
        return replace(credit, notes=self.said(steps, space, credit.columns))

    def credit(self, steps: Steps, space: Space) -> Credit:
        """The credit of steps that are part of a log which has what the method needs.

        Raises:
            ParameterError: An advantage would not be finite.
        """
        # What overflows is refused below, with its step named.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            terms = self.terms(steps, space)
            credit = Credit(steps=steps, terms=terms, method=self, space=space)
            wrong = np.flatnonzero(~np.isfinite(credit.advantage))
        if len(wrong):
            raise ParameterError(
                f"{len(wrong)} advantages are not finite, first at {steps.identity(wrong[0])}: "
                f"rewards or fields are too large for {self}"
            )
        return credit

    def _chain_notes(self, steps: Steps) -> list[str]:
        guessed = steps.guessed_chains
        if guessed is None or not self.chains():
            return []
        return [
            f"unchained: {guessed}; this credit asks what follows what, so it is wrong wherever "
            "that is"
        ]

    def _require_columns(self, steps: Steps) -> None:
        missing = [
            column
            for column in map(known, self.needs())
            if column is not None and not _is_logged(steps, column.name)
        ]
        if missing:
            named = [f"`{column.name}` ({column.meaning.rstrip('.')})" for column in missing]
            made_by = [column.made_by for column in missing if column.made_by]
            mapped = (
                "`workbench import FILE… --map columns.json -o LOG` takes it from a column of "
                "another name"
            )
            raise MissingInputError(
                f"{self.info.name} needs {' and '.join(named)}, which this log does not have. "
                f"Hint: {'; '.join([*made_by, mapped])}"
            )


def _notes_on_batches(steps: Steps) -> Sequence[str]:
    """Notes on the log's batches, for a credit with statistics over batches."""
    if not steps.has_updates:
        return [
            "the log has no train_step, so all of it is taken for one batch, over which statistics "
            "run"
        ]
    notes = []
    ids = pl.DataFrame(
        {"group": steps.group, "run": steps.column("run_id"), "update": steps.column("train_step")}
    ).group_by("group")
    of_group = ids.agg(pl.col("run").drop_nulls().n_unique(), pl.col("update").is_null().all())
    unnamed, divided = of_group["update"].sum(), (of_group["run"] > 1).sum()
    if unnamed:
        notes.append(
            f"{of_all(int(unnamed), steps.groups, 'group', 'have')} no train_step; those of a run "
            "are taken for one batch"
        )
    if divided:
        notes.append(
            f"{of_all(int(divided), steps.groups, 'group', 'have')} several values of run_id; each "
            "is taken to be of the first"
        )
    return notes


def _is_logged(steps: Steps, name: str) -> bool:
    names = [column for column in steps.log.columns if known(column) is known(name)]
    return any(not steps.column(column).is_null().all() for column in names)


METHODS: Registry[MethodInfo] = Registry(
    "method", folder="workbench.methods", nested=True, group="workbench.methods"
)
MethodClass = TypeVar("MethodClass", bound=type[Method])


def method(
    name: str,
    *,
    summary: str,
    source: str,
    needs: Sequence[str] = (),
    traits: Sequence[str] = (),
    chains: bool = False,
    dialects: Sequence[Dialect] = (),
) -> Callable[[MethodClass], MethodClass]:
    """Register a method under a name; see `MethodInfo` for the arguments."""

    def register(cls: MethodClass) -> MethodClass:
        cls.info = METHODS.add(
            name,
            MethodInfo(
                name=name,
                summary=summary,
                source=source,
                cls=cls,
                needs=needs,
                traits=traits,
                dialects={dialect.name: dialect for dialect in dialects},
                code=_code(cls),
                chains=chains,
            ),
        )
        return cls

    return register


def _code(cls: type) -> str | None:
    """Digest of the file of a class from outside this package."""
    if cls.__module__.partition(".")[0] == "workbench":
        return None
    return file_digest(Path(inspect.getfile(cls)))


def split_name(name: str) -> tuple[str, str]:
    """Method and dialect of a name; the dialect is empty where none is named.

    Example:
        >>> split_name("grpo"), split_name("grpo:verl"), split_name("./mine.py:Mine:theirs")
        (('grpo', ''), ('grpo', 'verl'), ('./mine.py:Mine', 'theirs'))
    """
    file, is_file, rest = name.rpartition(".py:")
    method_name, _, dialect = rest.partition(":")
    return file + is_file + method_name, dialect


_FILES: dict[Path, tuple[str, dict[str, MethodInfo]]] = {}


def of_file(name: str) -> MethodInfo:
    """The method of a file, imported once for each content of the file.

    Args:
        name: "FILE.py:Class"; the class is one that the file registers with `method`.

    Raises:
        PluginError: The file is missing or cannot be imported, its class is not there or not
            registered, or a method of the package has the name that it registers.
    """
    path_name, _, class_name = name.rpartition(":")
    path = Path(path_name).expanduser().resolve()
    if not path.is_file():
        raise PluginError(f"{path_name} is not there. Hint: -m FILE.py:Class, such as {_OF_FILE}")
    METHODS.load()
    content = file_digest(path)
    known, registered = _FILES.get(path, ("", {}))
    if known != content:
        for method_name in registered:
            METHODS.remove(method_name)
        _FILES.pop(path, None)
        _FILES[path] = content, _registered_by(path)
    classes = {info.cls.__name__: info for info in _FILES[path][1].values()}
    if class_name not in classes:
        raise PluginError(
            f"{path_name} registers no method {class_name!r}; it registers {sorted(classes)}. "
            "Hint: put @method(…) of workbench.methods above the class"
        )
    return classes[class_name]


_OF_FILE = "./mine.py:MyMethod"


def _registered_by(path: Path) -> dict[str, MethodInfo]:
    """Import a file and give the methods that it registers; none stay if it fails."""
    before = set(METHODS)
    name = f"workbench_file_{path.stem}_{digest(str(path))[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up, and so does pickle in a worker.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        for new in set(METHODS) - before:
            METHODS.remove(new)
        del sys.modules[name]
        if isinstance(error, PluginError):
            raise
        raise PluginError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return {new: METHODS[new] for new in set(METHODS) - before}


def registered(name: str) -> str:
    """The name in the registry of a method that somebody named; a file that is named is imported.

    Importing runs the file, so this is for what a user types into a command or a program, and never
    for a name out of an address, a log or a credit.

    Args:
        name: "method" or "FILE.py:Class", each with ":dialect" or without.

    Raises:
        PluginError: The file cannot be imported, or has no such method.
    """
    method_name, dialect_name = split_name(name)
    if ".py:" not in method_name:
        return name
    own = of_file(method_name).name
    return f"{own}:{dialect_name}" if dialect_name else own


def find(name: str) -> tuple[MethodInfo, Dialect | None]:
    """The registry entries behind a name.

    Args:
        name: "method" or "method:dialect".

    Raises:
        UnknownNameError: No such method or dialect.
        ParameterError: It is the name of a loss.
    """
    method_name, dialect_name = split_name(name)
    require_credit(method_name)
    info = METHODS[method_name]
    if not dialect_name:
        return info, None
    if dialect_name not in info.dialects:
        raise UnknownNameError(f"dialect of {method_name}", dialect_name, info.dialects)
    return info, info.dialects[dialect_name]


def create(name: str, params: Mapping[str, Any] | None = None) -> Method:
    """A method with its hyper-parameters set.

    Args:
        name: "method" or "method:dialect".
        params: Fields that differ from the method's or the dialect's values.

    Raises:
        UnknownNameError: No such method or dialect.
        ParameterError: No such field, or a value that it cannot have.
    """
    info, dialect = find(name)
    known = fields(info.cls)
    for field_name in params or {}:
        if field_name not in known:
            raise ParameterError(str(UnknownNameError(f"field of {name}", field_name, known)))
    return info.cls(**{**(dialect.fields if dialect else {}), **(params or {})})


def methods_table() -> pl.DataFrame:
    """The registry as a table for documents: method, advantage, needs, dialects, source."""
    rows = [
        {
            "method": info.name,
            "advantage of a step": info.summary,
            "needs": ", ".join(info.cls().needs()) or "–",
            "dialects": ", ".join(info.dialects) or "–",
            "source": info.source,
        }
        for info in METHODS.values()
    ]
    return pl.DataFrame(rows)
