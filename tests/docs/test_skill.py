"""The skill file drives the command line: a scripted client goes its way."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from places import DATA, ROOT

SKILL = ROOT / "skills" / "workbench" / "SKILL.md"


class Client:
    """Runs commands as an agent does: JSON in the one stream, errors in the other's last line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.named: set[str] = set()

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        self.named.add(arguments[0])
        done = subprocess.run(
            [Path(sys.executable).parent / "workbench", *arguments, "--json"],
            cwd=self.folder, capture_output=True, text=True, check=False,
            env={"PATH": "", "XDG_CACHE_HOME": str(self.folder), "PYTHONPATH": ":".join(sys.path)},
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout if code < 2 else done.stderr.splitlines()[-1])


def commands() -> set[str]:
    """Commands that the skill names."""
    return set(re.findall(r"`workbench ([a-z]+) ", SKILL.read_text(encoding="utf-8")))


def test_the_skill_says_when_to_use_it():
    text = SKILL.read_text(encoding="utf-8")
    front = re.match(r"---\nname: workbench\ndescription: (.+)\n---\n", text)
    assert front
    assert "Use when" in front.group(1)


def test_a_client_that_follows_the_skill_gets_from_a_broken_file_to_a_batch(tmp_path: Path):
    client = Client(tmp_path)
    # A record that is none, as an agent meets it.
    (tmp_path / "raw.jsonl").write_text('{"task": "a"}\n')
    refused = client("import", "raw.jsonl", "-o", "log.parquet", code=2)["error"]
    assert "Hint" in refused["message"] or any(one["hint"] for one in refused["problems"])

    household = str(DATA / "household.parquet")
    assert client("facts", household)["group_kinds"]["live"] == 14
    made = client("import", household, "-o", "log.parquet")
    assert made["report"]["rows"] == 3732
    advised = client("advise", "log.parquet", "--embedder", "tfidf")["credit"]
    fields = client("methods", advised)[advised]["fields"]
    assert "gamma" in fields
    scored = client("score", "log.parquet", "-m", advised, "-p", "gamma=0.9", "-o", "c.parquet")
    assert scored["provenance"]["method"]["fields"]["gamma"] == 0.9
    assert client("score", "log.parquet", "-m", "grpo", "-o", "c.parquet", code=2)["error"]
    client("score", "log.parquet", "-m", "grpo", "-o", "g.parquet")
    (pair,) = client("compare", "c.parquet", "g.parquet")["pairs"]
    assert -1 <= pair["spearman"] <= 1
    audit = client("audit", "log.parquet", "--credit", "c.parquet", "--draws", "5")
    assert all({"text", "action"} <= set(finding) for finding in audit["findings"])
    bound = ("--draws", "5", "--fail-on", "dead_groups>0.1")
    assert client("audit", "log.parquet", "--credit", "c.parquet", *bound, code=1)["failed"]
    step = "household-s0/task-18/rollout-1:12"
    assert client("explain", "log.parquet", "-m", "grpo", "--step", step)["terms"]
    assert "dpo" in client("formats")["write"]
    batch = client("export", "log.parquet", "--credit", "c.parquet", "--to", "dpo", "-o", "pairs")
    counts, dropped = batch["manifest"]["counts"], batch["manifest"]["dropped"]
    assert counts["trained_steps"] == 2 * counts["rows"] > 0  # chosen and rejected
    assert counts["steps"] + sum(each["steps"] for each in dropped.values()) == 3732
    assert batch["manifest"]["turn_off"]
    client("run", "log.parquet", "-m", "grpo", "--embedder", "tfidf", "-o", "work")
    assert commands() - {"clean"} <= client.named
