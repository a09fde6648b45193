"""Commands killed at random moments: nothing half-written, and a rerun ends as if undisturbed.

    python benchmarks/faults.py [--kills 300] [--seed 0] [--commands import score …] [--out FILE]

A kill is SIGKILL to a command and its workers, at a random moment of the time that the undisturbed
command takes after it began its first file; one in four falls before that. Afterwards no file under
a final name differs from that of the undisturbed run, or there is none. The same command is then
started again, where the killed one left off. It is killed up to three times before it may end, and
must end with the same bytes in every file. Counts are written as JSON after each rerun, to a list
of campaigns; one of the same seed and groups that stands there is taken up where it was left. Exit
status 1 where something is lost.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKBENCH = [sys.executable, "-c", "from workbench.cli import main; main()"]
COMMANDS: Mapping[str, list[str]] = {
    "import": ["import", "log.parquet", "-o", "made/log.parquet"],
    "score": ["score", "log.parquet", "-m", "proxmo", "--embedder", "tfidf", "-o", "made/credit"],
    "score --jobs 2": ["score", "log.parquet", "-m", "gigpo", "--jobs", "2", "-o", "made/credit"],
    "run": ["run", "log.parquet", "--embedder", "tfidf", "-o", "made"],
    # Vectors in the cache and the index of the workspace too, where what was encoded stays.
    "run, sentence model": ["run", "log.parquet", "-m", "proxmo", "-o", "made"],
    "export": ["export", "log.parquet", "--credit", "credit", "--overwrite", "-o", "made/batch"],
}


def start(folder: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    """A command in a session of its own, whose cache lies in the folder."""
    return subprocess.Popen(
        [*WORKBENCH, *arguments],
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(folder: Path, arguments: list[str]) -> str:
    """Runs a command to its end; what it says if it fails, else nothing."""
    process = start(folder, arguments)
    _, said = process.communicate()
    return said.decode(errors="replace")[-500:] if process.returncode else ""


def begins(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Waits for the first file or folder of a command, hidden ones included, or for its end."""
    before = known(folder)
    while process.poll() is None and not known(folder) - before:
        time.sleep(0.005)


def known(folder: Path) -> set[Path]:
    """All that lies in the folder of what is made, and in the cache."""
    return {path for name in ("made", "cache") for path in (folder / name).rglob("*")}


def kill(folder: Path, arguments: list[str], after: float, *, begun: bool) -> bool:
    """Kills a command and its workers after some seconds, of its start or of its first file.

    Returns:
        Whether it still ran.
    """
    process = start(folder, arguments)
    if begun:
        begins(folder, process)
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    return False


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of each file under a final name: no part of its path begins with a dot.

    Vectors lie in files that are named by their digest, and which of them are together in one
    depends on when they were written: only one that is not what its name says is among these.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if "embeddings" not in name.parts or not digest.startswith(path.stem):
                found[str(name)] = digest
    return found


def differing(found: Mapping[str, str], whole: Mapping[str, str]) -> list[str]:
    """Names of files that the undisturbed run does not have, or with other bytes."""
    return [name for name, digest in found.items() if whole.get(name) != digest]


def prepare(folder: Path, tasks: int, seed: int) -> None:
    """A log, and a credit of it for the export."""
    folder.mkdir()
    for arguments in (
        ["simulate", "--tasks", str(tasks), "--seed", str(seed), "-o", "log.parquet"],
        ["score", "log.parquet", "-m", "grpo", "-o", "credit"],
    ):
        if said := finish(folder, arguments):
            raise SystemExit(said)


def linked(source: Path, folder: Path) -> Path:
    """A folder with the same log and credit, by links, so that their digests are known."""
    folder.mkdir()
    for name in ("log.parquet", "credit"):
        os.link(source / name, folder / name)
    return folder


def options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", type=int, default=200, help="groups of the log")
    parser.add_argument("--seconds", type=float, help="kill no more after so long")
    parser.add_argument("--commands", nargs="*", default=list(COMMANDS), choices=COMMANDS)
    parser.add_argument("--out", type=Path, help="where counts go, as JSON")
    return parser.parse_args()


@dataclass
class Campaign:
    """Outcomes of the kills of one seed on a log of so many groups."""

    seed: int
    groups: int
    commands: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def total(self) -> Counter[str]:
        """The counts of all commands."""
        return sum(self.commands.values(), Counter())

    @property
    def inputs(self) -> int:
        """Number of commands that were killed until they might end."""
        return self.total["reruns"]

    def __str__(self) -> str:
        total = self.total
        return (
            f"{total['kills']} kills, {total['begun']} of them after the first file was begun, "
            f"{total['equal']} of {total['reruns']} reruns with the same bytes, "
            f"{len(self.faults)} faults"
        )


def resumed(file: Path | None, seed: int, groups: int) -> Campaign:
    """The campaign as far as a file has it, else one at its beginning."""
    for known in stored(file):
        if (known["seed"], known["groups"]) == (seed, groups):
            counts = {name: Counter(here) for name, here in known["commands"].items()}
            return Campaign(seed, groups, counts, known["faults"])
    return Campaign(seed, groups)


def stored(file: Path | None) -> list[dict[str, Any]]:
    """The campaigns of a file, if it is there."""
    there: list[dict[str, Any]] = json.loads(file.read_text()) if file and file.exists() else []
    return there


def store(campaign: Campaign, file: Path | None) -> None:
    """Writes a campaign to the list of a file, in place of what it had of it."""
    if file is None:
        return
    same = (campaign.seed, campaign.groups)
    others = [one for one in stored(file) if (one["seed"], one["groups"]) != same]
    both = [*others, {**vars(campaign), "total": campaign.total}]
    file.write_text(json.dumps(both, indent=1) + "\n", encoding="utf-8")


class Killing:
    """Commands on one log, first undisturbed, then killed and run again."""

    def __init__(self, root: Path, campaign: Campaign) -> None:
        self.root, self.campaign = root, campaign
        # Everything is done at one path: a command's own output names it in places.
        self.place = root / "here"
        self.undisturbed: dict[str, dict[str, str]] = {}
        self.starts: dict[str, float] = {}
        self.writes: dict[str, float] = {}
        prepare(root / "source", campaign.groups, campaign.seed)

    def measure(self, name: str) -> None:
        """Runs a command undisturbed: its files, and how long it takes to begin and to write."""
        at = time.monotonic()
        process = start(linked(self.root / "source", self.place), COMMANDS[name])
        begins(self.place, process)
        self.starts[name] = time.monotonic() - at
        if said := process.communicate()[1] if process.wait() else b"":
            raise SystemExit(said.decode(errors="replace"))
        self.writes[name] = time.monotonic() - at - self.starts[name]
        self.undisturbed[name] = contents(self.place / "made")
        shutil.rmtree(self.place)

    def disturb(self, name: str) -> None:
        """Kills a command up to three times, looks each time, and lets it end."""
        if name not in self.undisturbed:
            self.measure(name)
        number = self.campaign.inputs
        rng = random.Random(f"{self.campaign.seed} {number}")
        here, faults, whole = Counter[str](), list[str](), self.undisturbed[name]
        arguments = COMMANDS[name]
        place = linked(self.root / "source", self.place)
        for _ in range(rng.choice([1, 2, 3])):
            late = rng.random() < 0.75
            after = rng.uniform(0, (self.writes if late else self.starts)[name])
            before = known(place)
            ran = kill(place, arguments, after, begun=late)
            here["kills" if ran else "ended before"] += 1
            here["begun"] += ran and bool(known(place) - before)
            half = differing(contents(place / "made"), whole)
            faults += [f"{name}, input {number}: half-written {one}" for one in half]
        said = finish(place, arguments)
        found = contents(place / "made")
        other = {*differing(found, whole), *(whole.keys() - found)}
        here["reruns"] += 1
        here["left behind"] += any(place.rglob(".*.part"))
        here["equal"] += not said and not other
        if said or other:
            faults.append(f"{name}, input {number}: rerun {said or sorted(other)}")
        shutil.rmtree(place)
        self.campaign.commands.setdefault(name, Counter()).update(here)
        self.campaign.faults += faults


def main() -> int:
    """Kills, looks and runs again; prints and stores what came of it."""
    asked = options()
    campaign = resumed(asked.out, asked.seed, asked.tasks)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="workbench-faults-") as made:
        killing = Killing(Path(made), campaign)
        while campaign.total["kills"] < asked.kills:
            if asked.seconds is not None and time.monotonic() - began > asked.seconds:
                break
            killing.disturb(asked.commands[campaign.inputs % len(asked.commands)])
            store(campaign, asked.out)
    print(campaign, *campaign.faults, sep="\n")
    return 1 if campaign.faults else 0


if __name__ == "__main__":
    sys.exit(main())
