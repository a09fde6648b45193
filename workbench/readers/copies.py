"""Plain copies of compressed and recoded files, with what lies next to the originals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from workbench.readers.base import FORMATS, Diagnostics
from workbench.readers.bounds import BeyondBoundError
from workbench.readers.compression import (
    codec_of,
    encoding_of,
    recode_file,
    unpack_file,
)
from workbench.readers.sources import Source, head_of

COMPANIONS_UP = 4
"""Folders above a file in which companions are: from a trial's step up to the trial."""


def plain(sources: Sequence[Source], diagnostics: Diagnostics, folder: Path) -> list[Source]:
    """The sources, compressed files unpacked and those in UTF-16 or UTF-32 as UTF-8.

    Args:
        sources: What `expand` found.
        diagnostics: Gets files that are damaged, and a notice of what was recoded.
        folder: Where the plain copies go.
    """
    found = []
    for number, source in enumerate(sources):
        opened: Source | None = source
        for step in ("unpacked", "recoded"):
            if opened is not None:
                opened = _opened(opened, folder / f"{step}-{number}", diagnostics)
        if opened is not None:
            found.append(opened)
    return found


def _opened(source: Source, folder: Path, diagnostics: Diagnostics) -> Source | None:
    """A source itself if it is plain, else its plain copy; None where it is damaged."""
    # What cannot be read is reported once, when the format is looked for.
    head = head_of(source, Diagnostics()) or b""
    codec, encoding = codec_of(head), encoding_of(head)
    if codec is None and encoding is None:
        return source
    own = source.path
    compressed = codec is not None and own.suffix in {".gz", ".gzip", ".zst", ".zstd"}
    copy = _place_of(own, folder) / (own.stem if compressed else own.name)
    copy.parent.mkdir(parents=True)
    try:
        if codec is not None:
            unpack_file(own, copy, codec)
        elif encoding is not None:
            recode_file(own, copy, encoding)
            diagnostics.notice(f"read as {encoding.upper()}", source.name)
    except BeyondBoundError as error:
        diagnostics.problem("file", str(error), source.name, error.hint)
        return None
    except (OSError, UnicodeError) as error:
        how = codec or encoding
        diagnostics.problem("file", f"is damaged or cut off, as {how} ({error})", source.name)
        return None
    beside = _link_companions(own, copy)
    return replace(source, path=copy, copies=((str(copy), str(own)), *beside, *source.copies))


def _place_of(path: Path, folder: Path) -> Path:
    """A folder whose last parts are called as those above a file, since some of them say more."""
    return folder.joinpath(*path.absolute().parent.parts[1:][-COMPANIONS_UP:])


def _link_companions(path: Path, copy: Path) -> list[tuple[str, str]]:
    """Put what says more about a file next to its copy; which names those are the copies of."""
    names = sorted({name for entry in FORMATS.values() for name in entry.companions})
    linked = []
    for above, place in zip(path.absolute().parents, copy.parents[:COMPANIONS_UP], strict=False):
        for name in names:
            if (above / name).is_file() and above / name != path.absolute():
                (place / name).symlink_to(above / name)
                linked.append((str(place / name), str(above / name)))
    return linked
