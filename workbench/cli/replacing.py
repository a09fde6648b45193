"""Guards against replacing what was made from something else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import ArtefactError, ParameterError

if TYPE_CHECKING:
    from workbench.log.credit import Provenance

_ANYWAY = "Hint: --overwrite replaces it, or name another place with -o"


def require_own_log(output: Path, inputs: Sequence[str], *, overwrite: bool) -> None:
    """Refuse to import over anything but a step log of the same files.

    Raises:
        ParameterError: With what the file was made from.
    """
    if overwrite or not output.is_file():
        return
    made_from = _origins(output)
    if made_from is None:
        raise ParameterError(f"{output} exists and is no imported log. {_ANYWAY}")
    others = sorted(made_from - _sources(inputs))
    if others:
        raise ParameterError(
            f"{output} was imported from other files, the first {others[:3]}. {_ANYWAY}"
        )


def _sources(inputs: Sequence[str]) -> set[str]:
    """Names of files, and of those that they were imported from themselves."""
    from workbench.readers.addresses import without_secrets
    from workbench.readers.base import Diagnostics
    from workbench.readers.remote import is_remote
    from workbench.readers.sources import expand

    here = [one for one in inputs if not is_remote(one)]
    # What is not there is said when it is read.
    files = [source.path for source in expand(here, Diagnostics(), Path())]
    found = {str(path) for path in files} | {without_secrets(one) for one in inputs}
    return found.union(*(_origins(path) or set() for path in files))


def _origins(path: Path) -> set[str] | None:
    """The files that a step log was imported from; None for a file that is no such log."""
    import polars as pl

    try:
        column = pl.scan_parquet(path, glob=False).select("source_file").unique().collect()
    except (OSError, pl.exceptions.PolarsError):
        return None
    return set(column["source_file"].drop_nulls())


def require_own_credit(output: Path, made: Provenance | None, *, overwrite: bool) -> None:
    """Refuse to score over anything but a credit of the same log by the same method.

    Args:
        output: The file to write.
        made: How the new credit is made; None before the log is read, to refuse early.
        overwrite: Replace whatever stands there.

    Raises:
        ParameterError: With what the file was made from.
    """
    from workbench.log.credit import read_credit

    if overwrite or not output.is_file():
        return
    try:
        old = read_credit(output).provenance
    except ArtefactError as error:
        raise ParameterError(f"{output} exists and is no credit. {_ANYWAY}") from error
    if made is None:
        return
    if old.log_sha256 != made.log_sha256:
        raise ParameterError(f"{output} is the credit of another log. {_ANYWAY}")
    if old.name != made.name:
        raise ParameterError(f"{output} is the credit of {old.name}. {_ANYWAY}")
