"""The files that are meant: names, folders and patterns as a list of files and their formats."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from workbench.errors import LogError, Problem
from workbench.readers.addresses import without_secrets
from workbench.readers.base import FORMATS, HEAD_BYTES, Diagnostics, Format, matching
from workbench.readers.bundled import bundled_logs
from workbench.readers.containers import is_document
from workbench.readers.foreign import OTHERWISE, hint_for
from workbench.readers.names import mapped_format
from workbench.readers.originals import Store, original_of
from workbench.readers.proposals import hint_of_names
from workbench.readers.remote import fetch, is_remote

_REMOTE_HINT = (
    "keys and endpoint are looked for where the store's own package does, "
    "such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL for s3://, or HF_TOKEN for hf://"
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to read.

    Args:
        path: Where it, or a plain copy of it, is.
        from_folder: Whether it was found in a folder rather than named.
        copies: Path of a copy -> what it is a copy of, for each copy that was made on the way.
        store: Where the original is, if it came from an address; a Parquet file is read there.
        digest: What stands for its content, if it came from an address and its store tells that.
    """

    path: Path
    from_folder: bool = False
    copies: tuple[tuple[str, str], ...] = ()
    store: Store | None = None
    digest: str | None = None

    @property
    def size(self) -> int:
        """Bytes of the file, wherever it is."""
        original = original_of(self.path)
        return self.path.stat().st_size if original is None else original.size

    @property
    def name(self) -> str:
        """Name that the user gave."""
        return self.in_words_of_user(str(self.path))

    def in_words_of_user(self, text: str) -> str:
        """A text about the file, with the original's name where it has the copy's."""
        for copy, original in self.copies:
            text = text.replace(copy, original)
        return text


def expand(paths: Iterable[str | Path], diagnostics: Diagnostics, folder: Path) -> list[Source]:
    """The files that are meant, each once: in the order given, those of a folder or glob sorted.

    Folders are searched to the bottom, without names that begin with a dot or an underscore.

    Args:
        paths: Files, folders, patterns, and addresses of those.
        diagnostics: Gets what is not there.
        folder: Where copies of remote files go.

    Raises:
        LogError: A store refuses or cannot be reached, so that it is not known what is missing.
    """
    sources: dict[str, Source] = {}
    for number, given in enumerate(paths):
        if is_remote(given):
            found = list(_remote_files(str(given), folder / f"remote-{number}", diagnostics))
        else:
            found = list(_files(_meant(given), diagnostics))
        for source in found:
            key = source.name if source.copies else str(source.path.resolve())
            # A file that is named as well is more than one of a folder.
            if key not in sources or not source.from_folder:
                sources[key] = source
    return list(sources.values())


def _meant(given: str | Path) -> Path:
    """A path; for the name of a bundled log, where nothing of that name is here, that log."""
    path = Path(given)
    bundled = bundled_logs().get(str(given))
    return bundled if bundled is not None and not path.exists() else path


def _remote_files(address: str, folder: Path, diagnostics: Diagnostics) -> Iterable[Source]:
    with store_refusals(address):
        for found in fetch(address, folder, diagnostics):
            copies = [(str(found.path), found.name)]
            # Files next to it are copies too, so the name of their folder is replaced as well.
            inner = str(found.path.relative_to(folder))
            if found.name.endswith(inner):
                copies.append((f"{folder}/", found.name.removesuffix(inner)))
            yield Source(
                path=found.path,
                from_folder=found.from_folder,
                copies=tuple(copies),
                store=found.store,
                digest=found.digest,
            )


@contextmanager
def store_refusals(address: str) -> Iterator[None]:
    """Make an error of the log of what a store refuses; it is not known what would be missing.

    Raises:
        LogError: The store refuses or cannot be reached.
    """
    try:
        yield
    except OSError as error:
        named, rule = without_secrets(address), f"cannot be fetched ({error})"
        problem = Problem(column="files", rule=rule, places=[named], hint=_REMOTE_HINT)
        raise LogError(named, [problem]) from error


def _files(given: Path, diagnostics: Diagnostics) -> Iterable[Source]:
    logs = sorted(given.glob("log/*/log.parquet"))
    if len(logs) > 1:
        rule = "is a workspace of several logs; name one of them"
        diagnostics.problem("files", rule, str(given), f"such as {logs[0]}")
    elif logs:
        yield Source(path=logs[0])
    elif given.is_dir():
        yield from _files_of_folder(given, diagnostics)
    elif given.exists():
        yield from _file(given, diagnostics)
    elif glob.has_magic(str(given)):
        matches = sorted(glob.glob(str(given), recursive=True))  # noqa: PTH207  it takes absolute patterns
        if not matches:
            diagnostics.problem("files", "no file matches the pattern", str(given))
        for match in map(Path, matches):
            find = _files_of_folder if match.is_dir() else _file
            yield from find(match, diagnostics)
    else:
        # A name that looks like no path may be meant for a bundled log.
        bare = given.name == str(given) and not given.suffix
        hint = f"a path, or a bundled log: {', '.join(bundled_logs())}" if bare else ""
        close = get_close_matches(str(given), bundled_logs(), n=1)
        hint += f"; did you mean {close[0]!r}?" if close else ""
        diagnostics.problem("files", "does not exist", str(given), hint)


def _file(path: Path, diagnostics: Diagnostics) -> Iterable[Source]:
    if path.is_file():
        return [Source(path=path)]
    diagnostics.problem("files", "is no regular file; write it to disk first", str(path))
    return []


def _files_of_folder(folder: Path, diagnostics: Diagnostics) -> Iterable[Source]:
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    if not found:
        diagnostics.problem("files", "the folder holds no file", str(folder))
    return [Source(path=path, from_folder=True) for path in found]


def identify(
    sources: Sequence[Source],
    name: str | None,
    diagnostics: Diagnostics,
    columns: Collection[str] = (),
) -> tuple[Format | None, list[Source]]:
    """The one format of the files, and those of them that are of it.

    A file of a folder that no reader recognises is passed over with a notice where others are
    recognised; one that was named is a problem. So is an empty file, unless its ending says that
    it is something else.

    Args:
        sources: The files.
        name: The format, if the user named it; then it takes every file that was named, and
            those files of folders that it recognises, or all of them if it recognises none.
        diagnostics: Gets what is wrong: unknown, empty or mixed files.
        columns: Those that the user mapped; a file that no reader recognises is read by them.
    """
    heads = {source: head_of(source, diagnostics) for source in sources}
    named = {source: fitting(source, head, name, columns) for source, head in heads.items() if head}
    if name is not None and not any(named.values()):
        named = {source: [name] for source in named}
    recognised: dict[str, list[Source]] = {}
    unknown: list[tuple[Source, bytes]] = []
    for source, names in named.items():
        if len(names) > 1:
            hint = f"name one with --format: {names}"
            diagnostics.problem("format", "several formats fit", source.name, hint)
        elif names:
            recognised.setdefault(names[0], []).append(source)
        else:
            unknown.append((source, heads[source] or b""))
    _pass_over_documents(recognised, heads, diagnostics)
    endings = {source.path.suffix for those in recognised.values() for source in those}
    for source in [source for source, head in heads.items() if head == b""]:
        if source.from_folder and endings and source.path.suffix not in endings:
            diagnostics.notice("empty files were passed over", source.name)
        else:
            diagnostics.problem("file", "is empty", source.name)
    passed_over = "files of no known format" if name is None else f"files that are not {name}"
    _report_unknown(unknown, diagnostics, passed_over if recognised else "")
    if len(recognised) > 1:
        for found, those in recognised.items():
            hint = "import the files of one format at a time, or name it with --format"
            rule = f"formats are mixed: {len(those)} of format {found!r}"
            for source in those:
                diagnostics.problem("format", rule, source.name, hint)
    if len(recognised) != 1:
        return None, []
    found, those = recognised.popitem()
    return FORMATS[found], those


def _pass_over_documents(
    recognised: dict[str, list[Source]],
    heads: Mapping[Source, bytes | None],
    diagnostics: Diagnostics,
) -> None:
    """Take out JSON documents of a folder that a generic and a specific format both claim.

    An agent leaves its own messages next to the trajectory that a harness made of them.

    Args:
        recognised: Format -> its files.
        heads: The first bytes of each file.
        diagnostics: Gets what is taken out.
    """
    specific = [name for name in recognised if not FORMATS[name].generic]
    if not specific:
        return
    for name in set(recognised) - set(specific):
        documents = [
            source
            for source in recognised[name]
            if source.from_folder and is_document(heads[source] or b"")
        ]
        for source in documents:
            text = f"documents of {name} were passed over in favour of files of {specific[0]}"
            diagnostics.notice(text, source.name)
            recognised[name].remove(source)
        if not recognised[name]:
            del recognised[name]


def fitting(
    source: Source, head: bytes, asked: str | None, columns: Collection[str] = ()
) -> list[str]:
    """The formats of a file: the one that was asked for, or those that recognise it.

    A file that was found in a folder must be recognised even so.
    """
    if asked is not None and not source.from_folder:
        return [asked]
    found = [entry.name for entry in matching(source.path, head)]
    if not found and columns and (mapped := mapped_format(source.path, None, columns)):
        found = [mapped]
    return found if asked is None else [asked] * (asked in found)


def head_of(source: Source, diagnostics: Diagnostics) -> bytes | None:
    """The first bytes of a file, none of an empty one; None where it cannot be read."""
    try:
        with source.path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        diagnostics.problem("file", f"cannot be read ({error.strerror})", source.name)
        return None
    return head if head.removeprefix(b"\xef\xbb\xbf").strip() else b""


def _report_unknown(
    unknown: Sequence[tuple[Source, bytes]], diagnostics: Diagnostics, passed_over: str
) -> None:
    """Names files that no reader takes; those of folders in a notice, if they may be passed over.

    Args:
        unknown: The files and their first bytes.
        diagnostics: Gets them.
        passed_over: What to call those that were passed over; empty where none may be.
    """
    for source, head in unknown:
        if source.from_folder and passed_over and not head.startswith(b"\0"):
            diagnostics.notice(f"{passed_over} were passed over", source.name)
            continue
        place = f"{source.name} (begins with {head[:16]!r})"
        hint = hint_for(head) or hint_of_names(source.path, source.name) or OTHERWISE
        diagnostics.problem("format", "no reader recognises it", place, hint)
