"""Commands killed at random moments: nothing half-written, and a rerun ends as if undisturbed.

    python benchmarks/faults.py [--kills 300] [--seed 0] [--commands import score …] [--out FILE]

A kill is SIGKILL to a command and its workers, at a random moment of the time that the undisturbed
command takes after it began its first file; one in four falls before that. Afterwards no file under
a final name differs from that of the undisturbed run, or there is none. The same command is then
started again, where the killed one left off. It is killed up to three times before it may end, and
must end with the same bytes in every file. Counts are written as JSON. Exit status 1 where
something is lost.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

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


def report(
    asked: argparse.Namespace, counts: Mapping[str, Counter[str]], faults: Sequence[str]
) -> None:
    """Prints what came of the kills, and stores it."""
    total: Counter[str] = Counter()
    for here in counts.values():
        total.update(here)
    result = {
        "seed": asked.seed,
        "groups": asked.tasks,
        "total": dict(total),
        "commands": {name: dict(here) for name, here in counts.items()},
        "faults": list(faults),
    }
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(
        f"{total['kills']} kills, {total['begun']} of them after the first file was begun, "
        f"{total['equal']} of {total['reruns']} reruns with the same bytes, {len(faults)} faults"
    )
    print("\n".join(faults))


def main() -> int:
    """Kills, looks and runs again; prints and stores what came of it."""
    asked = options()
    began = time.monotonic()
    counts: dict[str, Counter[str]] = {name: Counter() for name in asked.commands}
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="workbench-faults-") as made:
        root = Path(made)
        prepare(root / "source", asked.tasks, asked.seed)
        undisturbed: dict[str, dict[str, str]] = {}
        starts: dict[str, float] = {}
        writes: dict[str, float] = {}
        # Everything is done at one path: a command's own output names it in places.
        place = root / "here"
        for number in itertools.count():
            if sum(each["kills"] for each in counts.values()) >= asked.kills:
                break
            if asked.seconds is not None and time.monotonic() - began > asked.seconds:
                break
            rng = random.Random(f"{asked.seed} {number}")
            name = asked.commands[number % len(asked.commands)]
            arguments = COMMANDS[name]
            if name not in undisturbed:
                at = time.monotonic()
                process = start(linked(root / "source", place), arguments)
                begins(place, process)
                starts[name] = time.monotonic() - at
                if said := process.communicate()[1] if process.wait() else b"":
                    raise SystemExit(said.decode(errors="replace"))
                writes[name] = time.monotonic() - at - starts[name]
                undisturbed[name] = contents(place / "made")
                place.rename(root / f"undisturbed-{len(undisturbed)}")
            linked(root / "source", place)
            for _ in range(rng.choice([1, 2, 3])):
                late = rng.random() < 0.75
                after = rng.uniform(0, writes[name] if late else starts[name])
                before = known(place)
                ran = kill(place, arguments, after, begun=late)
                counts[name]["kills" if ran else "ended before"] += 1
                counts[name]["begun"] += ran and bool(known(place) - before)
                half = differing(contents(place / "made"), undisturbed[name])
                faults += [f"{name}, input {number}: half-written {one}" for one in half]
            said = finish(place, arguments)
            found = contents(place / "made")
            other = {*differing(found, undisturbed[name]), *(undisturbed[name].keys() - found)}
            counts[name]["reruns"] += 1
            counts[name]["equal"] += not said and not other
            if said or other:
                faults.append(f"{name}, input {number}: rerun {said or sorted(other)}")
            place.rename(root / f"done-{number}")
    report(asked, counts, faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
