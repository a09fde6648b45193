"""Which files are meant: names, folders and patterns become a list of files and their formats."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.readers.base import HEAD_BYTES, Findings, Format, format_named, formats, matching

_FOREIGN = {
    b"\x1f\x8b": "it is compressed with gzip; decompress it first",
    b"\x28\xb5\x2f\xfd": "it is compressed with zstd; decompress it first",
    b"PK\x03\x04": "it is a zip archive; unpack it first",
    b"\x80": "it may be a pickle, which can run any code and is never opened",
    b"\x00": "it begins with zero bytes, as after a crash",
    b"\xff\xfe": "it may be UTF-16; convert it to UTF-8",
    b"\xfe\xff": "it may be UTF-16; convert it to UTF-8",
}
"""First bytes -> what to say of a file that no reader recognises."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to read.

    Args:
        path: Where it is.
        from_folder: Whether it was found in a folder rather than named.
    """

    path: Path
    from_folder: bool = False


def expand(paths: Iterable[str | Path], findings: Findings) -> list[Source]:
    """The files that are meant, each once: in the order given, those of a folder or glob sorted.

    Folders are searched to the bottom, without names that begin with a dot or an underscore.
    """
    sources: dict[Path, Source] = {}
    for given in paths:
        found = list(_files(Path(given), findings))
        for source in found:
            sources.setdefault(source.path.resolve(), source)
    return list(sources.values())


def _files(given: Path, findings: Findings) -> Iterable[Source]:
    logs = sorted(given.glob("log/*/log.parquet"))
    if len(logs) > 1:
        rule = "is a workspace of several logs; name one of them"
        findings.problem("files", rule, str(given), f"such as {logs[0]}")
    elif logs:
        yield Source(path=logs[0])
    elif given.is_dir():
        yield from _files_of_folder(given, findings)
    elif given.exists():
        yield from _file(given, findings)
    elif glob.has_magic(str(given)):
        matches = sorted(glob.glob(str(given), recursive=True))  # noqa: PTH207  it takes absolute patterns
        if not matches:
            findings.problem("files", "no file matches the pattern", str(given))
        for match in map(Path, matches):
            find = _files_of_folder if match.is_dir() else _file
            yield from find(match, findings)
    else:
        findings.problem("files", "does not exist", str(given))


def _file(path: Path, findings: Findings) -> Iterable[Source]:
    if path.is_file():
        return [Source(path=path)]
    findings.problem("files", "is no regular file; write it to disk first", str(path))
    return []


def _files_of_folder(folder: Path, findings: Findings) -> Iterable[Source]:
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    if not found:
        findings.problem("files", "the folder holds no file", str(folder))
    return [Source(path=path, from_folder=True) for path in found]


def identify(
    sources: Sequence[Source], name: str | None, findings: Findings
) -> tuple[Format | None, list[Path]]:
    """The one format of the files, and those of them that are of it.

    A file of a folder that no reader recognises is passed over with a notice where others are
    recognised; one that was named is a problem.

    Args:
        sources: The files.
        name: The format, if the user named it; then nothing is sniffed.
        findings: Gets what is wrong: unknown, empty or mixed files.
    """
    asked = None if name is None else format_named(name)
    recognised: dict[str, list[Path]] = {}
    unknown: list[tuple[Source, bytes]] = []
    for source in sources:
        head = _head(source.path, findings)
        if head is None:
            continue
        names = [asked.name] if asked else [entry.name for entry in matching(source.path, head)]
        if len(names) > 1:
            hint = f"name one with --format: {names}"
            findings.problem("format", "several formats fit", str(source.path), hint)
        elif names:
            recognised.setdefault(names[0], []).append(source.path)
        else:
            unknown.append((source, head))
    _report_unknown(unknown, findings, others=bool(recognised))
    if len(recognised) > 1:
        for found, paths in recognised.items():
            hint = "import the files of one format at a time"
            rule = f"formats are mixed: {len(paths)} of format {found!r}"
            for path in paths:
                findings.problem("format", rule, str(path), hint)
    if len(recognised) != 1:
        return None, []
    found, paths = recognised.popitem()
    return format_named(found), paths


def _head(path: Path, findings: Findings) -> bytes | None:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        findings.problem("file", f"cannot be read ({error.strerror})", str(path))
        return None
    if not head.removeprefix(b"\xef\xbb\xbf").strip():
        findings.problem("file", "is empty", str(path))
        return None
    return head


def _report_unknown(
    unknown: Sequence[tuple[Source, bytes]], findings: Findings, *, others: bool
) -> None:
    for source, head in unknown:
        if source.from_folder and others and not head.startswith(b"\0"):
            findings.notice("files of no known format were passed over", str(source.path))
            continue
        known = (text for magic, text in _FOREIGN.items() if head.startswith(magic))
        hint = next(known, "name its format with --format, and its keys with --map if need be")
        rule = f"no reader recognises it; formats are {list(formats())}"
        findings.problem("format", rule, f"{source.path} (begins with {head[:16]!r})", hint)
