"""A log that is read into a file and never held whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.engines import Engine
from workbench.files import atomic_file
from workbench.readers.remote import is_remote
from workbench.wording import Progress
from workbench.workspace.artefacts import Artefacts, StoredLog
from workbench.workspace.opened import OpenedLog, stored_log, user_cache
from workbench.workspace.partitions import narrow


@dataclass(frozen=True, kw_only=True)
class OnDisk:
    """A log on disk.

    Args:
        log: The log in canonical order.
        opened: The same without texts and token ids.
        cache: Where its vectors are kept.
    """

    log: StoredLog
    opened: OpenedLog
    cache: Path


def on_disk(
    sources: Sequence[str | Path],
    hidden: Path,
    reading: Mapping[str, Any],
    *,
    needed: Sequence[str] = (),
    cache: str | Path | None = None,
    quarantine: Path | None = None,
    engine: Engine | None = None,
    noted: Callable[[Mapping[str, Any]], None] = lambda report: None,
    progress: Progress,
) -> OnDisk:
    """Read files into a folder; the log of a workspace stays where it is.

    Args:
        sources: Files, folders or globs of one format.
        hidden: The folder; what is there already is not read again.
        reading: As for `import_to`, without quarantine.
        needed: Columns of texts that are held nevertheless.
        cache: Folder for vectors; the workspace's or the user's own by default.
        quarantine: Where trajectories that break a rule go; without it they are refused.
        engine: What reads the files; this process by default.
        noted: Told what the import reports, as data.
        progress: Told about progress.

    Raises:
        WorkbenchError: What reading is refused for.
    """
    given = {**reading, "quarantine": quarantine is not None}
    stored = stored_log(sources, given)
    artefacts = Artefacts(stored.workspace if stored else hidden, progress)
    log = stored or artefacts.log(sources, engine=engine, **given)
    if quarantine is not None and log.quarantined is not None:
        with atomic_file(quarantine) as temporary:
            shutil.copyfile(log.quarantined, temporary)
    noted(log.report)
    files = [str(stored.path)] if stored else log.report["files"]
    rewards = None if stored else log.report.get("rewards")
    vectors = Path(cache) if cache else (artefacts.vectors.directory if stored else user_cache())
    opened = OpenedLog(
        frame=narrow(log.path, needed),
        files=tuple(files),
        rewards=rewards,
        # Rewards elsewhere have the digest of what was read with them.
        stored_sha256=log.sha256 if rewards is not None and is_remote(rewards) else None,
        digests={name: own for name, own in log.source_digests if is_remote(name)},
        artefacts=artefacts if stored and not cache else None,
        cache=vectors,
    )
    return OnDisk(log=log, opened=opened, cache=vectors)
