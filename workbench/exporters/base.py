"""Export targets: how one writes the rows of a batch and reads them back, and their registry.

Example of a module of this package that adds a target:

    def write(batch: Batch, folder: Path) -> None: ...

    def read(folder: Path, manifest: Manifest) -> pl.DataFrame: ...

    register(
        Exporter(
            name="my-trainer",
            description="What it is and who reads it.",
            layout=Layout(
                format="workbench-my-trainer",
                trainer="My trainer",
                turn_off="normalize_advantages=false",
            ),
            write=write,
            read=read,
        )
    )
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import ArtefactError, ParameterError
from workbench.exporters.assembly import Batch, Layout, assemble, described, laid_out, rehearse
from workbench.exporters.card import CARD, card, loader_name
from workbench.exporters.folder import read_manifest, require_place, write_export
from workbench.exporters.joining import join, require_joined
from workbench.exporters.laid_out import Told, row_counts
from workbench.exporters.manifest import Manifest, require_counted
from workbench.exporters.options import CHOICES, UNITS, Options
from workbench.exporters.selection import Selection
from workbench.exporters.worth import worth
from workbench.files import MANIFEST
from workbench.log.credit import Provenance, ScoredCredit
from workbench.parameters import fields
from workbench.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """A registry entry.

    Args:
        name: What users type.
        description: One line: what it writes and who reads it.
        layout: What it asks of the rows.
        write: Writes the files of a batch into a folder.
        read: Reads them back as columns of the batch's rows, in their order: those that the format
            holds. Raises ArtefactError where they break a rule.
        units: The units that rows can have, each with what it means.
        options_type: Type of its options.
        masks: Whether the files hold a loss mask; where they do not, an advantage of 0 is one.
        loader: Module that the trainer loads the files with, which needs nothing but the trainer;
            written next to them as `workbench_<name>.py`.
        dataset: The file that Hugging Face `datasets` loads; the card next to it says how.
        packed: Columns of rows of messages that hold them packed, see `conversations.MESSAGE`.
        appends: True where the files of batches of some groups put together are those of one
            batch of all of them, so that a large one need not be in memory: rows of Parquet, or
            lines, that say nothing of how many came before.
    """

    name: str
    description: str
    layout: Layout
    write: Callable[[Batch, Path], None]
    read: Callable[[Path, Manifest], pl.DataFrame]
    units: Mapping[str | None, str] = dataclasses.field(default_factory=lambda: UNITS)
    options_type: type[Options] = Options
    masks: bool = True
    loader: Path | None = None
    dataset: str | None = None
    packed: tuple[str, ...] = ()
    appends: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """The target's options with their defaults."""
        return {name: spec.default for name, spec in fields(self.options_type).items()}

    @property
    def choices(self) -> dict[str, Mapping[Any, str]]:
        """Option -> the values it can have, each with what it means."""
        own = {name: choices for name, choices in CHOICES.items() if name in self.options}
        return {**own, "unit": self.units}

    @property
    def helps(self) -> dict[str, str]:
        """Option -> what it means, in a few words."""
        return {name: spec.metadata["help"] for name, spec in fields(self.options_type).items()}

    def assemble(
        self,
        log: pl.DataFrame,
        credit: ScoredCredit,
        **options: Any,
    ) -> Batch:
        """The batch, not yet written; see `assembly.assemble`.

        Raises:
            ParameterError: An option that the target does not have or whose value cannot be, or
                what `assemble` says.
            MissingInputError: What `assemble` says.
            EmptyBatchError: What `assemble` says.
        """
        return assemble(log, credit, self.layout, self.options_of(options))

    def rehearse(self, log: pl.DataFrame, **options: Any) -> dict[str, Any]:
        """Refuse what an export of this log would be refused for whatever its credit.

        Returns:
            All that decides the files besides log and credit; see `assembly.rehearse`.

        Raises:
            WorkbenchError: What `assemble` says, or the target cannot be written from such a log.
        """
        return rehearse(log, self.layout, self.options_of(options))

    def options_of(self, values: Mapping[str, Any]) -> Options:
        """The options with the target's defaults.

        Raises:
            ParameterError: One that the target does not have, or whose value cannot be.
        """
        chosen = self.options_type.of(values)
        if chosen.unit not in self.units:
            known = [unit for unit in self.units if unit is not None]
            raise ParameterError(
                f"{self.name}: unit must be one of {known} or left open, got {chosen.unit!r}"
            )
        return chosen

    def save(self, batch: Batch, directory: Path, *, overwrite: bool = False) -> Manifest:
        """Write a batch, read it back and hold it against what was to be written.

        Raises:
            ParameterError: Something that may not be replaced stands in the place.
            ArtefactError: What was read back is not the batch.
        """

        def check(folder: Path, written: Manifest) -> None:
            require_equal(self.check(folder, written), batch.rows, folder)

        return self._finished(
            lambda folder: self.write(batch, folder), batch.manifest, check, directory, overwrite
        )

    def save_part(
        self, selection: Selection, made: Provenance, options: Options, folder: Path
    ) -> Told:
        """Write the rows of some groups of a batch, and read them back.

        Args:
            selection: Their steps.
            made: How their credit was made.
            options: What the user asks for.
            folder: Where the files go; there are none where nothing is left for a row.

        Raises:
            WorkbenchError: What `assemble` and `save` say.
        """
        found = laid_out(selection, self.layout, options)
        if found.rows.height:
            value = worth(found.told.pulls)
            manifest = described(
                selection, found.told, made, self.layout, options, value=value, notes=()
            )
            batch = Batch(rows=found.rows, steps=found.steps, manifest=manifest, worth=value)
            folder.mkdir()
            self.write(batch, folder)
            require_equal(self.check(folder, manifest), found.rows, folder)
        return found.told

    def save_joined(
        self, parts: Sequence[Path], manifest: Manifest, directory: Path, *, overwrite: bool
    ) -> Manifest:
        """Write a batch whose parts `save_part` wrote.

        Args:
            parts: Their folders, in order.
            manifest: What the whole says of itself.
            directory: The folder to make.
            overwrite: Replace a finished export.

        Raises:
            ParameterError: Something that may not be replaced stands in the place.
            ArtefactError: What was read back is not what was in the parts.
        """
        return self._finished(
            lambda folder: join(parts, folder),
            manifest,
            lambda folder, _: require_joined(parts, folder),
            directory,
            overwrite,
        )

    def _finished(
        self,
        files: Callable[[Path], None],
        said: Manifest,
        check: Callable[[Path, Manifest], None],
        directory: Path,
        overwrite: bool,
    ) -> Manifest:
        def write(folder: Path) -> Manifest:
            files(folder)
            if self.loader is not None:
                module = folder / f"{loader_name(self.name)}.py"
                module.write_bytes(self.loader.read_bytes())
            manifest = dataclasses.replace(said, checks={**said.checks, "read_back_equal": True})
            text = card(
                manifest,
                name=self.name,
                description=self.description,
                file=self.dataset,
                packed=self.packed,
                loader=self.loader,
            )
            (folder / CARD).write_text(text, encoding="utf-8", newline="\n")
            return manifest

        return write_export(Path(directory), write, check, overwrite=overwrite)

    def load(self, directory: Path) -> pl.DataFrame:
        """The rows of a finished export, after checking digests and every rule of the format.

        Raises:
            ArtefactError: A file is damaged or missing, or a rule is broken, with file and row.
        """
        return self.check(Path(directory), read_manifest(directory))

    def check(self, directory: Path, manifest: Manifest) -> pl.DataFrame:
        """The rows of an export whose digests are known to be right.

        Raises:
            ArtefactError: It is of another format or version, or a rule is broken.
        """
        wanted = (self.layout.format, self.layout.version)
        if (manifest.format, manifest.version) != wanted:
            raise ArtefactError(
                f"{directory / MANIFEST} is of {manifest.format!r} version {manifest.version}, "
                f"expected {wanted[0]!r} version {wanted[1]}"
            )
        manifest.require_balance()
        rows = self.read(directory, manifest)
        if manifest.token_level != ("input_ids" in rows.columns):
            raise ArtefactError(
                f"{directory / MANIFEST} says that token_level is {manifest.token_level}, which "
                "the rows are not"
            )
        require_counted(directory, row_counts(rows, pairs=self.layout.pairs), manifest)
        return rows

    def __call__(
        self,
        log: pl.DataFrame,
        credit: ScoredCredit,
        directory: Path,
        **options: Any,
    ) -> Manifest:
        """Write one batch.

        Args:
            log: A validated step log.
            credit: The credit of the same steps.
            directory: The folder to make.
            **options: Fields of the target's options.

        Raises:
            WorkbenchError: What `assemble` and `save` say.
        """
        overwrite = self.options_of(options).overwrite
        require_place(Path(directory), overwrite=overwrite)
        batch = self.assemble(log, credit, **options)
        return self.save(batch, directory, overwrite=overwrite)


def require_equal(found: pl.DataFrame, expected: pl.DataFrame, place: Path) -> None:
    """Checks that what was read is what was written, bit by bit.

    Raises:
        ArtefactError: With the first column and row that differ.
    """
    for name in found.columns:
        same = found[name].cast(expected[name].dtype).eq_missing(expected[name])
        if not same.all():
            row = int((~same).arg_max() or 0)
            meant, read = (frame[name].slice(row, 1).to_list()[0] for frame in (expected, found))
            raise ArtefactError(
                f"{place}: {name} was written as {meant} and reads as {read}, first in row {row} "
                f"(trajectory {expected['trajectory_id'][row]!r})"
            )


TARGETS: Registry[Exporter] = Registry(
    "export target", folder="workbench.exporters.targets", group="workbench.targets"
)


def register(exporter: Exporter) -> Exporter:
    """Add a target under its name."""
    return TARGETS.add(exporter.name, exporter)
