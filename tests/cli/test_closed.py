"""Reach of a command: no network, and no file outside its workspace and the stated cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from minilm import needs_minilm

CLOSED = """
import os, sys
def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
        os.write(2, f"network: {event} {arguments}\\n".encode())
        os._exit(99)
sys.addaudithook(refuse)
import workbench
import huggingface_hub.constants
assert huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY
from workbench.cli import main
main()
"""


@needs_minilm
def test_a_run_asks_no_network_and_writes_only_where_it_is_told(tmp_path: Path):
    home, temporary, here = (tmp_path / name for name in ("home", "temporary", "here"))
    for folder in (home, temporary, here):
        folder.mkdir()
    (here / "log.jsonl").write_text(
        "".join(
            f'{{"group_id": "g", "trajectory_id": "t{number}", "step_index": 0, "observation": '
            f'"mug {number}", "action": "take", "reward": {number}}}\n'
            for number in range(3)
        )
    )
    before = set(here.rglob("*"))
    place = {"HOME": str(home), "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    given = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    command = ["run", "log.jsonl", "-m", "proxmo", "--embedder", "all-MiniLM-L6-v2", "-o", "made"]
    done = subprocess.run(
        [sys.executable, "-c", CLOSED, *command],
        cwd=here,
        env={**given, **place, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = {path.relative_to(here).parts[0] for path in set(here.rglob("*")) - before}
    assert made == {"made"}
    # torch leaves an empty folder among the temporary ones.
    elsewhere = [*home.rglob("*"), *temporary.rglob("*")]
    assert [path for path in elsewhere if path.is_file()] == []
    cached = {path.name for path in (tmp_path / "cache").glob("*")}
    assert cached <= {"trajectory-workbench"}
