"""Twenty people in one app at once: answers, errors, and whether its memory stops growing.

    python benchmarks/people.py [--people 20] [--seconds 180] [--think 3] [--out FILE]

Each person is a session of its own over the websocket that a browser would hold: it opens pages of
the bundled logs under changing methods, steps and filters, waits until the page has run, and thinks
for a moment. Nothing is drawn, so that the machine serves and does not render. All views are of a
set that fits into the caches (`workbench/ui/cache.py` states their limits), and are opened once
beforehand; after that the server may keep no more. Printed and stored: page runs, seconds until a
page has run (median and 95 %), exceptions shown, and the server's memory before, at each quarter
and at the end. Exit status 1 for an exception, or where memory grows over the second half by more
than 5 % of what it is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import served  # noqa: E402

PAGES = ("overview", "rollouts", "steps", "map", "tune", "compare", "audit", "export")
METHODS = ("grpo", "gigpo,grpo", "proxmo")
FILTERS = ("", "outcome:failed")
GROWTH, PATIENCE = 0.05, 120
# A browser waits as long as it takes, too.
CONNECTION: dict[str, Any] = {"max_size": None, "ping_interval": None}


def views() -> list[tuple[str, str]]:
    """Pages with the rest of their address."""
    asked = [{"methods": methods, "filter": kept} for methods in METHODS for kept in FILTERS]
    return [(page, urlencode(query)) for page in PAGES for query in asked]


def resident(process: int) -> float:
    """Megabytes of memory that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def process_of(url: str) -> int:
    """The process that serves an address."""
    port = url.rpartition(":")[2]
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        if f"--server.port\0{port}\0".encode() in command.read_bytes():
            return int(command.parent.name)
    raise RuntimeError(f"nothing serves {url}")


class Person:
    """A session, and what came of its page runs."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.seconds: list[float] = []
        self.exceptions: list[str] = []
        self.elements = 0

    async def open(self, connection: Any, view: tuple[str, str]) -> None:
        """Runs a page and reads all that the server sends until it has run."""
        asked = BackMsg()
        asked.rerun_script.page_name, asked.rerun_script.query_string = view
        began = time.monotonic()
        await connection.send(asked.SerializeToString())
        while True:
            message = ForwardMsg()
            message.ParseFromString(await connection.recv())
            if message.WhichOneof("type") == "delta":
                element = message.delta.new_element
                self.elements += 1
                if element.WhichOneof("type") == "exception":
                    self.exceptions.append(f"{view}: {element.exception.type}")
            # A page that changes its address runs twice.
            if message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY and (
                message.WhichOneof("type") == "script_finished"
            ):
                break
        self.seconds.append(time.monotonic() - began)

    async def stay(self, rng: random.Random, until: float, think: float) -> None:
        """Opens pages until the time is over."""
        async with websockets.connect(self.address, **CONNECTION) as connection:
            while time.monotonic() < until:
                view = rng.choice(views())
                try:
                    await asyncio.wait_for(self.open(connection, view), PATIENCE)
                except TimeoutError:
                    self.exceptions.append(f"{view}: no answer in {PATIENCE} s")
                    return
                await asyncio.sleep(rng.uniform(0, 2 * think))


async def visit(address: str, process: int, asked: argparse.Namespace) -> dict[str, Any]:
    """All people at once, after one who has opened everything; what came of it."""
    first = Person(address)
    before = resident(process)
    async with websockets.connect(address, **CONNECTION) as connection:
        for view in views():
            await first.open(connection, view)
    until = time.monotonic() + asked.seconds
    people = [Person(address) for _ in range(asked.people)]
    held = [resident(process)]

    async def watch() -> None:
        for _ in range(4):
            await asyncio.sleep(asked.seconds / 4)
            held.append(resident(process))

    stays = (
        person.stay(random.Random(f"{asked.seed} {number}"), until, asked.think)
        for number, person in enumerate(people)
    )
    await asyncio.gather(watch(), *stays)
    seconds = sorted(second for person in people for second in person.seconds)
    return {
        "people": asked.people,
        "seconds": asked.seconds,
        "runs": len(seconds),
        "elements": sum(person.elements for person in people),
        "median": round(statistics.median(seconds), 2),
        "percentile_95": round(seconds[int(0.95 * len(seconds))], 2),
        "exceptions": [said for person in (first, *people) for said in person.exceptions],
        "megabytes_started": round(before),
        "megabytes_at_quarters": [round(one) for one in held],
        "grew": round(held[4] / held[2] - 1.0, 3),
    }


def main() -> int:
    """Serves the app, lets people in, prints and stores what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--think", type=float, default=3.0, help="seconds between two pages")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where the result goes, as JSON")
    asked = parser.parse_args()
    logs = [str(ROOT / "data" / f"{name}.parquet") for name in ("household", "relay")]
    with tempfile.TemporaryDirectory(prefix="workbench-people-") as made:
        home = Path(made)
        with served(ROOT / "app.py", *logs, "--home", made, home=home / "cache") as url:
            address = f"{url.replace('http', 'ws', 1)}/_stcore/stream"
            found = asyncio.run(visit(address, process_of(url), asked))
    print(json.dumps(found, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 1 if found["exceptions"] or found["grew"] > GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
