"""The logs that the app can show: those given when it was started, and those uploaded to it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.errors import ParameterError
from workbench.files import MANIFEST, atomic_file, remove_folder
from workbench.workspace.artefacts import LOG_FILE, Artefacts, StoredLog
from workbench.workspace.excerpt import excerpt

_ID_DIGITS = 16
_UNCHAINED = "-unchained"


@dataclass(frozen=True)
class LogEntry:
    """A log that can be opened.

    Args:
        id: First 16 digits of the digest of its file; what the URL names it by. `-unchained`
            stands after them where guessed chains are taken.
        name: What people call it: the name of its file.
        folder: Where its step log and import report are; those of an excerpt of a large log.
        workspace: Where its vectors and indices are kept.
        source: What a command line names to read it.
        unchained: Score also with methods that ask which steps follow each other, where a reader
            had to guess that.
    """

    id: str
    name: str
    folder: Path
    workspace: Path
    source: str
    unchained: bool = False

    def with_guessed_chains(self, *, taken: bool) -> LogEntry:
        """The same log with guessed chains taken, or not; it has another id."""
        id = self.id.removesuffix(_UNCHAINED) + _UNCHAINED * taken
        return replace(self, id=id, unchained=taken)


class Library:
    """Logs by id; a log that was uploaded once is found again by its id after a restart.

    Args:
        root: Workspace of the app, for logs that have none.
        sources: Logs of the command line: files, folders or globs of logs, or workspaces.
        keep_days: Days after which an upload, and the log that was read from it, is removed: when
            the app starts, and when something is uploaded. None keeps them.

    Raises:
        LogError: A log of the command line is refused.
    """

    def __init__(self, root: Path, sources: Sequence[str], keep_days: int | None = None) -> None:
        self._root, self._keep_days = root, keep_days
        self._entries: dict[str, LogEntry] = {}
        self._expire()
        for source in sources:
            for entry in self._opened(source):
                self._entries[entry.id] = entry
        self.given = tuple(self._entries)

    def _opened(self, source: str) -> list[LogEntry]:
        folder = Path(source)
        if (folder / "log").is_dir():
            logs = sorted(path.parent for path in (folder / "log").glob(f"*/{LOG_FILE}"))
            if not logs:
                raise ParameterError(f"{folder} is a workspace without a log")
            return [self._entry(StoredLog(log), folder, str(log / LOG_FILE)) for log in logs]
        return [self.add([source])]

    def _entry(self, log: StoredLog, workspace: Path, source: str) -> LogEntry:
        log = excerpt(log, self._root)
        files = log.report["files"]
        name = Path(files[0]).name + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        return LogEntry(log.sha256[:_ID_DIGITS], name, log.folder, workspace, source)

    @property
    def workspaces(self) -> tuple[Path, ...]:
        """The workspace of the app, and those of the logs of the command line."""
        of_logs = (entry.workspace for entry in self._entries.values())
        return tuple(dict.fromkeys([self._root, *of_logs]))

    def add(
        self,
        sources: Sequence[str],
        *,
        format: str | None = None,
        mapping: Mapping[str, Any] | None = None,
        quarantine: bool = False,
        skip_bad: bool = False,
        untrained: Sequence[str] = (),
        keep_masked: bool = False,
        max_unpacked: int | None = None,
        max_nesting: int | None = None,
        rewards: str | None = None,
    ) -> LogEntry:
        """Import files as one log; for the arguments see `readers.import_log`.

        Raises:
            LogError: The files are refused; every problem is listed.
        """
        log = Artefacts(self._root).log(
            sources,
            format=format,
            mapping=mapping,
            quarantine=quarantine,
            skip_bad=skip_bad,
            untrained=untrained,
            keep_masked=keep_masked,
            max_unpacked=max_unpacked,
            max_nesting=max_nesting,
            rewards=rewards,
        )
        # With options, or of several files, the log itself is what a plain command line can name.
        options = (format, mapping, quarantine, skip_bad, untrained, keep_masked, rewards)
        plain = len(sources) == 1 and not any((*options, max_unpacked, max_nesting))
        entry = self._entry(log, self._root, sources[0] if plain else str(log.path))
        self._entries[entry.id] = entry
        return entry

    def keep_upload(self, name: str, content: bytes) -> str:
        """Write an uploaded file under its own name; returns its path.

        The folder is named by the content, so the same file twice is one file.
        """
        self._expire()
        digest = hashlib.sha256(content).hexdigest()[:16]
        own_name = Path(name).name
        path = self._root / "uploads" / digest / ("upload" if own_name in {"", ".."} else own_name)
        if not path.exists():
            with atomic_file(path) as temporary:
                temporary.write_bytes(content)
        os.utime(path.parent)
        return str(path)

    def _expire(self) -> None:
        """Remove uploads that are older than they are kept, and the logs read from them."""
        if self._keep_days is None:
            return
        oldest = time.time() - 86_400 * self._keep_days
        uploads = self._root.resolve() / "uploads"
        old = {folder for folder in uploads.glob("*") if folder.stat().st_mtime < oldest}
        for manifest in list(self._root.glob(f"log/*/{MANIFEST}")) if old else ():
            log = StoredLog(manifest.parent)
            if old.intersection(Path(file).resolve().parent for file in log.report["files"]):
                self._entries.pop(log.sha256[:_ID_DIGITS], None)
                remove_folder(log.folder)
        for folder in old:
            remove_folder(folder)

    def find(self, log_id: str) -> LogEntry | None:
        """The entry of an id; one that was uploaded before a restart is looked up on disk."""
        if log_id.endswith(_UNCHAINED):
            found = self.find(log_id.removesuffix(_UNCHAINED))
            return found.with_guessed_chains(taken=True) if found else None
        if log_id not in self._entries:
            for manifest in self._root.glob(f"log/*/{MANIFEST}"):
                log = StoredLog(manifest.parent)
                if log.sha256.startswith(log_id) and len(log_id) == _ID_DIGITS:
                    self._entries[log_id] = self._entry(log, self._root, str(log.path))
        return self._entries.get(log_id)
