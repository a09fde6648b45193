"""Manifest of an export, and the same as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import ArtefactError


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The record of one export. All values are JSON-able.

    Args:
        format: What the folder holds, such as "workbench-weighted-batch".
        version: Version of that format.
        package_version: Version of the workbench that wrote it.
        source: sha256 and rows of the log.
        method: name, dialect and fields of the method that made the credit.
        representation: Embedder and state text that proximity was measured with; null where none.
        conventions: Those of its fields that say which deviation and which epsilon.
        policy: models, versions, train_steps, and max_staleness (train_step - policy_version).
        tokenizer: The tokenizer of the token ids; null where not logged.
        tokens: Where the token ids are `from`: "log", "text" where they were made for this export,
            null where there are none; the tokenizer that made them or that they were held against,
            its digests, and how many steps drift when their reply goes through it.
        unit: What a row is: "trajectory", "step", "pair" of replies, or "mixed" where some
            trajectories had to be written step by step.
        token_level: Whether rows hold token ids; otherwise they hold messages.
        advantage_scope: To what an advantage belongs.
        weight: How `weight` was made, and what it multiplies.
        options: The options of the export.
        input: groups, trajectories and steps of the log.
        counts: What the rows hold.
        worth: What pulls at the policy, see `worth.Worth`.
        advantages: mean, std (ddof 1), minimum, maximum and zero_share of the advantages of the
            trained `steps`, before any weight; and groups that are `faint`, see `worth.Faint`.
        notes: Notes on the credit, one sentence each.
        dropped: Reason -> trajectories and steps left out. With those in `counts` they sum to
            `input`.
        checks: Name -> whether it holds; null where it does not apply.
        turn_off: Trainer -> what would normalise the advantages again.
        files: Name -> sha256 and bytes.
    """

    format: str
    version: int
    package_version: str
    source: Mapping[str, Any]
    method: Mapping[str, Any]
    representation: Mapping[str, Any]
    conventions: Mapping[str, Any]
    policy: Mapping[str, Any]
    tokenizer: str | None
    tokens: Mapping[str, Any]
    unit: str
    token_level: bool
    advantage_scope: str
    weight: Mapping[str, str]
    options: Mapping[str, Any]
    input: Mapping[str, int]
    counts: Mapping[str, int]
    dropped: Mapping[str, Mapping[str, int]]
    worth: Mapping[str, Any]
    checks: Mapping[str, bool | None]
    turn_off: Mapping[str, str]
    advantages: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> str:
        """The manifest as a JSON document; equal manifests give equal text."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, name: str = "manifest.json") -> Manifest:
        """Read what `to_json` wrote.

        Args:
            text: The document.
            name: What to call it in an error.

        Raises:
            ArtefactError: It is not JSON, or its entries are not those of a manifest.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ArtefactError(f"{name} is not JSON: {error}") from error
        names = [entry.name for entry in dataclasses.fields(cls)]
        found: Sequence[str] = list(values) if isinstance(values, dict) else []
        # Written later than the format: batches from before are read nevertheless.
        missing = [entry for entry in names if entry not in (*found, "advantages", "notes")]
        extra = [entry for entry in found if entry not in names]
        if missing or extra:
            raise ArtefactError(
                f"{name} is not the manifest of an export: missing entries {missing}, "
                f"unknown entries {extra}. Hint: remove its folder and export again"
            )
        manifest = cls(**values)
        manifest._require_counts(name)
        manifest._require_kinds(name)
        return manifest

    def _require_counts(self, name: str) -> None:
        """Checks that what is counted is numbers, so that readers need not."""
        for entry in (self.dropped, self.files):
            if not isinstance(entry, dict):
                raise ArtefactError(f"{name}: {entry!r} is not a table")
        for table in (self.input, self.counts, *self.dropped.values()):
            numbers = isinstance(table, dict) and all(type(n) is int for n in table.values())
            if not numbers or not {"trajectories", "steps"} <= set(table):
                raise ArtefactError(f"{name}: {table!r} does not count trajectories and steps")
        for file in self.files.values():
            if not isinstance(file, dict) or set(file) != {"sha256", "bytes"}:
                raise ArtefactError(f"{name}: {file!r} is not a digest and a size")

    def _require_kinds(self, name: str) -> None:
        """Check what readers go by, so that they need not."""
        for entry, kind in (
            ("format", str),
            ("version", int),
            ("unit", str),
            ("token_level", bool),
        ):
            value = getattr(self, entry)
            if type(value) is not kind:
                raise ArtefactError(f"{name}: {entry} is {value!r}, not a {kind.__name__}")
        if not self.files:
            raise ArtefactError(f"{name} lists no file")

    def require_balance(self) -> None:
        """Checks that what was kept and what was dropped sum to what came in.

        Raises:
            ArtefactError: They do not.
        """
        for unit in ("trajectories", "steps"):
            dropped = sum(entry[unit] for entry in self.dropped.values())
            if self.counts[unit] + dropped != self.input[unit]:
                raise ArtefactError(
                    f"manifest.json: {self.counts[unit]} {unit} kept and {dropped} dropped, "
                    f"but {self.input[unit]} in the log"
                )


def require_counted(place: Path, found: Mapping[str, int], manifest: Manifest) -> None:
    """Checks that files hold as much as their manifest says.

    Raises:
        ArtefactError: They hold another number of something.
    """
    for name, value in found.items():
        if manifest.counts.get(name) != value:
            raise ArtefactError(
                f"{place} holds {value} {name.replace('_', ' ')}, but manifest.json says "
                f"{manifest.counts.get(name)}"
            )
