"""Credit: one advantage per step, as a sum of explainable terms, and how it was made."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from workbench.errors import ArtefactError, pass_on_interrupt
from workbench.files import atomic_file, canonical_json
from workbench.log.segments import discounted_returns
from workbench.log.steps import Real, Steps
from workbench.wording import number, number_of, shortened

METADATA_KEY = "workbench"
READ_FROM_LOG = ("reward", "in_group_statistics", "gradient_mask")
"""Columns of the log that a credit keeps, so that an export of another log is noticed."""

PEERS_SCHEMA = {
    "term": pl.String,
    "group_id": pl.String,
    "trajectory_id": pl.String,
    "step_index": pl.Int32,
    "weight": pl.Float64,
    "similarity": pl.Float64,
    "value": pl.Float64,
}


@dataclass(frozen=True, kw_only=True)
class Term:
    """One summand of an advantage.

        value_i = factor_i · (score_i − baseline_i)

    Args:
        score: What the step got. (S,) float64
        baseline: What it is compared with. (S,) float64
        factor: What the difference is multiplied with; 0 where a rule switches it off. (S,)
        peers: Whose values make the baseline of a step: a frame with `PEERS_SCHEMA`'s columns but
            `term`, `group_id` and `trajectory_id`, and with `step` (S-number) or `trajectory`
            (N-number); Σ weight · value is the baseline, but for a step without peers, whose
            baseline is its own score.
        facts: The numbers behind a step's score, baseline and factor, by name.
        outputs: Diagnostics by name, columns of the credit's table. Each (S,) float64
        compared_with: What the baseline is, in a few words, where it has no peers.
    """

    score: Real
    baseline: Real
    factor: Real
    peers: Callable[[int], Peers]
    facts: Callable[[int], Mapping[str, Any]]
    outputs: Mapping[str, Real] = field(default_factory=dict)
    compared_with: str = "nothing in the log"

    @cached_property
    def value(self) -> Real:
        """The summand. (S,) float64."""
        return self.factor * (self.score - self.baseline)

    def with_facts(self, more: Callable[[int], Mapping[str, Any]]) -> Term:
        """The same term with further facts of each step."""
        return replace(self, facts=lambda step: {**self.facts(step), **more(step)})


@dataclass(frozen=True, kw_only=True)
class Peers:
    """Members of a baseline: steps, or whole trajectories where `step` is None."""

    step: Any = None
    trajectory: Any = None
    weight: Any
    value: Any
    similarity: Any = None


def no_peers(step: int) -> Peers:
    """Empty peers, of a term that compares with nothing in the log."""
    return Peers(step=np.zeros(0, dtype=np.int64), weight=np.zeros(0), value=np.zeros(0))


@dataclass(frozen=True, kw_only=True)
class Part:
    """One addend of an explained advantage."""

    term: str
    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Terms, baselines and peers behind the advantage of one step.

    Args:
        step: Its group_id, trajectory_id and step_index.
        advantage: The number to be explained.
        terms: Its terms by name; they sum to it.
        parts: Score and baseline of each term, scaled; they sum to it too.
        facts: Term -> the numbers behind it.
        peers: The members of each term's baseline, heaviest first; Σ weight · value is the
            baseline, as in `Term`. Columns `PEERS_SCHEMA`; step_index is null where a whole
            trajectory is meant.
        observation: What the step saw.
        action: What it did.
        meanings: Term -> what its "score" and its "baseline" are, in a few words.
    """

    step: Mapping[str, Any]
    advantage: float
    terms: Mapping[str, float]
    parts: tuple[Part, ...]
    facts: Mapping[str, Mapping[str, Any]]
    peers: pl.DataFrame
    observation: str | None = None
    action: str | None = None
    meanings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            **self.step,
            "observation": self.observation,
            "action": self.action,
            "advantage": self.advantage,
            "terms": dict(self.terms),
            "meanings": {term: dict(found) for term, found in self.meanings.items()},
            "parts": [vars(part) for part in self.parts],
            "facts": {term: dict(facts) for term, facts in self.facts.items()},
            "peers": self.peers.to_dicts(),
        }


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Origin of a credit: method, fields, log and versions; written into the metadata of its file.

    Args:
        method: "name" in the registry, "dialect" or null, and "fields" with their values; also
            "code", the digest of its file, where the method is not of this package. Empty for a
            credit from elsewhere.
        log: "sha256" of what was read, "rows" of the log and how many were "scored".
        embedder: "name" and "key"; None where no similarity was asked for.
        state_text: Fields of the state text; None likewise.
        notes: What a reader of the credit should know, one sentence each.
        version: Of the workbench.
    """

    method: Mapping[str, Any] = field(default_factory=dict)
    log: Mapping[str, Any] = field(default_factory=dict)
    embedder: Mapping[str, Any] | None = None
    state_text: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()
    version: str | None = None

    @property
    def name(self) -> str:
        """Method, with its dialect after a colon; empty where that is not known."""
        return ":".join(filter(None, (self.method.get("name"), self.method.get("dialect"))))

    @property
    def log_sha256(self) -> str | None:
        """Digest of what the log was read from."""
        return self.log.get("sha256")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Provenance:
        """The provenance of a file; keys that this version does not know are left out."""
        known = {entry.name for entry in dataclasses.fields(cls)}
        return cls(**{name: given for name, given in value.items() if name in known})


@dataclass(frozen=True)
class ScoredCredit:
    """A credit as a file holds it.

    Args:
        table: As `Credit.table` gives it.
        provenance: How it was made.
    """

    table: pl.DataFrame
    provenance: Provenance = field(default_factory=Provenance)


def credit_table(log: pl.DataFrame, numbers: pl.DataFrame) -> pl.DataFrame:
    """The table of a credit: one row per step of the whole log, in canonical order.

    Args:
        log: The step log; of it ids, `excluded` and `READ_FROM_LOG` alone are asked for.
        numbers: As `Credit.numbers`.

    Returns:
        group_id, trajectory_id, step_index, advantage, term_<name> …, outputs, excluded, and those
        of `READ_FROM_LOG`; numbers are null where a step is excluded.
    """
    ids = log.select("group_id", "trajectory_id", "step_index")
    return ids.hstack(numbers).hstack(log.select("excluded", *READ_FROM_LOG))


def write_credit(path: Path, credit: ScoredCredit) -> None:
    """Write a credit as Parquet, its provenance in the file's metadata under `workbench`."""
    metadata = {METADATA_KEY: canonical_json(credit.provenance.to_dict())}
    with atomic_file(path) as temporary:
        # One piece, so that a table put together from parts gives the same bytes.
        whole = credit.table.rechunk()
        whole.write_parquet(temporary, compression="zstd", metadata=metadata)


def read_credit(path: Path) -> ScoredCredit:
    """A credit file.

    Raises:
        ArtefactError: The file is missing, not Parquet, or was not written by `write_credit`.
    """
    try:
        metadata = pl.read_parquet_metadata(path)
        table = pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        pass_on_interrupt(error)
        raise ArtefactError(f"{path} cannot be read as a credit file: {error}") from error
    if METADATA_KEY not in metadata or "advantage" not in table.columns:
        raise ArtefactError(f"{path} is no credit file. Hint: `workbench score LOG -m METHOD -o …`")
    return ScoredCredit(table, Provenance.from_dict(json.loads(metadata[METADATA_KEY])))


@dataclass(frozen=True, kw_only=True)
class Credit:
    """An advantage for every scored step.

    Args:
        steps: The steps it is for.
        terms: Named terms; the advantage is their sum, in this order.
        notes: What a reader should know about it, one sentence each.
        method: What gave it, with its fields set (a `methods.Method`).
        space: Where that ran (a `states.space.Space`).
        provenance: How it was made, for files; None where a method was called by itself.
    """

    steps: Steps
    terms: Mapping[str, Term]
    notes: tuple[str, ...] = ()
    method: Any = None
    space: Any = None
    provenance: Provenance | None = None

    @property
    def name(self) -> str:
        """Method, with its dialect after a colon; "credit" where that is not known."""
        known = self.provenance.name if self.provenance else ""
        return known or (self.method.info.name if self.method is not None else "credit")

    def __repr__(self) -> str:
        mean, std, zero = self._moments()
        return (
            f"<Credit {shortened(self.name, 80)}: {len(self.steps):,} of "
            f"{self.steps.log.height:,} steps scored, mean {number(mean)}, std {number(std)}, "
            f"{zero:.1%} zero>"
        )

    def _repr_html_(self) -> str:
        """Mean, deviation, share of zeros, notes, and the first rows of the table."""
        mean, std, zero = self._moments()
        facts = f"mean {number(mean)}, std {number(std)}, {zero:.1%} zero"
        notes = "".join(f"<li>{escape(shortened(note, 300))}</li>" for note in self.notes[:5])
        head = self.table().head(5)._repr_html_()
        title = escape(shortened(self.name, 80))
        return f"<p><b>{title}</b>: {facts}</p>{f'<ul>{notes}</ul>' * bool(notes)}{head}"

    def _moments(self) -> tuple[float, float, float]:
        """Mean, standard deviation (ddof 1; 0 for one step) and share of exact zeros."""
        value = self.advantage
        std = float(value.std(ddof=1)) if len(value) > 1 else 0.0
        return float(value.mean()), std, float((value == 0.0).mean())

    @cached_property
    def advantage(self) -> Real:
        """The sum of the terms. (S,) float64."""
        return reduce(np.add, (term.value for term in self.terms.values()))

    @property
    def outputs(self) -> Mapping[str, Real]:
        """Diagnostics of all terms by name. Each (S,) float64."""
        return {name: each for term in self.terms.values() for name, each in term.outputs.items()}

    @property
    def columns(self) -> Mapping[str, Real]:
        """The numbers of the credit: advantage, term_<name> …, outputs. Each (S,) float64."""
        terms = {f"term_{name}": term.value for name, term in self.terms.items()}
        return {"advantage": self.advantage, **terms, **self.outputs}

    def numbers(self) -> pl.DataFrame:
        """`columns` with one row per step of the whole log, null for excluded steps. (L, …)."""
        log = self.steps.log
        scored = log["excluded"].is_null()
        filled = []
        for name, values in self.columns.items():
            whole = np.zeros(log.height)
            whole[self.steps.row] = values
            filled.append(pl.Series(name, whole).set(~scored, None))
        return pl.DataFrame(filled)

    def table(self) -> pl.DataFrame:
        """One row per step of the whole log; see `credit_table`."""
        return credit_table(self.steps.log, self.numbers())

    def scored(self) -> ScoredCredit:
        """The credit as a file holds it."""
        return ScoredCredit(self.table(), self.provenance or Provenance(notes=self.notes))

    def explain(self, step: int | str | tuple[str, int]) -> Explanation:
        """Explain the advantage of a scored step by its terms.

        Args:
            step: Its number from 0 in canonical order, (trajectory_id, step_index), or
                "TRAJECTORY:INDEX".

        Raises:
            ParameterError: There is no such scored step.
        """
        step = self.steps.number_of(step)
        parts = []
        for name, term in self.terms.items():
            factor = float(term.factor[step])
            parts.append(Part(term=name, name="score", value=factor * float(term.score[step])))
            baseline = -factor * float(term.baseline[step])
            parts.append(Part(term=name, name="baseline", value=baseline))
        own = self.steps.identity(step)
        seen, done = self.steps.log.select("observation", "action").row(int(self.steps.row[step]))
        peers = {name: self._peers(name, term, step) for name, term in self.terms.items()}
        return Explanation(
            step=own,
            observation=seen,
            action=done,
            meanings={
                name: {
                    "score": self._meaning(term),
                    "baseline": _mean_of(peers[name], own) or term.compared_with,
                }
                for name, term in self.terms.items()
            },
            advantage=float(self.advantage[step]),
            terms={name: float(term.value[step]) for name, term in self.terms.items()},
            parts=tuple(parts),
            facts={name: self._facts(term, step) for name, term in self.terms.items()},
            peers=pl.concat(peers.values()),
        )

    def _meaning(self, term: Term) -> str:
        """Meaning of the score of a term, found by its numbers over all steps of the log."""
        steps = self.steps
        fields: Mapping[str, Any] = getattr(self.method, "values", {})
        penalty = float(fields.get("invalid_penalty") or 0.0)
        off = penalty * steps.invalid_action
        less = ", less the penalty of an invalid action" if penalty else ""
        scale = _multiple(term.score + off, steps.episode_reward[steps.trajectory])
        if scale is not None:
            return f"episode reward{_over(scale)}{less}"
        discounts = [fields.get("gamma"), fields.get("continuation"), 1.0]
        for discount in dict.fromkeys(d for d in discounts if isinstance(d, float)):
            rest = discounted_returns(steps.reward, steps.step_index, discount)
            scale = _multiple(term.score + off, rest)
            if scale is not None:
                by = f", discounted by {discount:g} a step" if discount < 1.0 else ""
                return f"return from here{by}{_over(scale)}{less}"
        return "value that the method gives the step"

    def _facts(self, term: Term, step: int) -> dict[str, Any]:
        own = {
            "score": float(term.score[step]),
            "baseline": float(term.baseline[step]),
            "factor": float(term.factor[step]),
        }
        return own | dict(term.facts(step))

    def _peers(self, name: str, term: Term, step: int) -> pl.DataFrame:
        peers = term.peers(step)
        of_trajectory = peers.step is None
        first = self.steps.trajectory_start[:-1][peers.trajectory] if of_trajectory else peers.step
        ids = self.steps.log.select("group_id", "trajectory_id", "step_index")
        frame: pl.DataFrame = ids[self.steps.row[first]].with_columns(
            term=pl.lit(name),
            weight=pl.Series(peers.weight, dtype=pl.Float64),
            similarity=pl.Series(peers.similarity, dtype=pl.Float64)
            if peers.similarity is not None
            else pl.lit(None, dtype=pl.Float64),
            value=pl.Series(peers.value, dtype=pl.Float64),
        )
        if of_trajectory:
            frame = frame.with_columns(step_index=pl.lit(None, dtype=pl.Int32))
        frame = frame.select(list(PEERS_SCHEMA))
        return frame.sort("weight", descending=True, maintain_order=True)


def _multiple(found: Real, known: Real) -> float | None:
    """By what numbers are divided to give others; None where that is not one number."""
    place = int(np.argmax(np.abs(known)))
    if found[place] == 0.0 or known[place] == 0.0:
        return 1.0 if np.array_equal(found, known) else None
    scale = float(known[place] / found[place])
    same = scale > 0 and np.allclose(found * scale, known, rtol=1e-9, atol=1e-12)
    return scale if same else None


def _over(scale: float) -> str:
    return "" if abs(scale - 1.0) < 1e-9 else f" / {scale:g}"


def _mean_of(peers: pl.DataFrame, own: Mapping[str, Any]) -> str:
    """Baseline of a term by its members; empty for one without any."""
    if peers.is_empty():
        return ""
    whole = peers["step_index"].null_count() > 0
    if peers.height == 1 and not whole:
        only = peers.row(0, named=True)
        if all(only[name] == own[name] for name in ("trajectory_id", "step_index")):
            return "the step itself, which has no peer"
    members = number_of(peers.height, "trajectory" if whole else "step")
    even = np.ptp(peers["weight"].to_numpy()) <= 1e-9
    near = ", by similarity" if peers["similarity"].null_count() == 0 else ""
    return f"{'mean' if even else 'weighted mean'} of {members}{near}"
