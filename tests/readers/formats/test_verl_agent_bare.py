"""Dumps of verl-agent without the hook, their steps chained again."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import polars as pl
from log_files import log_of, written
from samples_of import CANONICAL, SAMPLES

from workbench.readers import import_log, import_to


def test_a_bare_dump_says_that_its_trajectories_are_made_up(tmp_path: Path):
    imported = import_log([SAMPLES / "verl-agent-bare"])
    log = imported.validated.log
    # Two of the nine rows are equal: they cannot be told from a copy that filled the batch.
    assert (log.height, log["copies"].sum()) == (8, 9)
    assert set(log["step_index"]) == {0}
    pairs = set(log.select("observation", "action").iter_rows())
    assert pairs == set(CANONICAL.select("observation", "action").iter_rows())
    assert imported.report.reconstructed == {"groups and trajectories": 1.0}
    assert "each row is a trajectory of its own" in str(imported.report)
    said = "reconstructed     groups and trajectories of 100.0% of the rows"
    assert said in str(imported.report)
    assert said in str(import_to(tmp_path / "log.parquet", [SAMPLES / "verl-agent-bare"]))


_FIRST = """
You are an expert autonomous agent operating in the WebShop e-commerce environment.
Your task is to: {task}.
Your current observation is: {seen}.
Your admissible actions of the current situation are: [].
"""


_LATER = """
You are an expert autonomous agent operating in the WebShop e-commerce environment.
Your task is to: {task}.
Prior to this step, you have already taken {taken} step(s). Below are the most recent {length} \
observations and the corresponding actions you took: {past}
You are now at step {now} and your current observation is: {seen}.
Your admissible actions of the current situation are: [].
"""


def bare_rows(log: pl.DataFrame) -> list[tuple[dict[str, Any], str, int]]:
    """Rows as verl-agent would have dumped a log, with their trajectory and step."""
    rows = []
    for (name,), steps in log.group_by("trajectory_id", maintain_order=True):
        past: list[tuple[str, str]] = []
        for step in steps.sort("step_index").to_dicts():
            taken = step["step_index"]
            shown = [
                f"[Observation {taken - len(past[-2:]) + at}: '{seen}', "
                f"Action {taken - len(past[-2:]) + at}: '{did}']"
                for at, (seen, did) in enumerate(past[-2:], start=1)
            ]
            prompt = (_LATER if taken else _FIRST).format(
                task=step["group_id"], seen=step["observation"], taken=taken, now=taken + 1,
                length=len(shown), past="\n".join(shown),
            )  # fmt: skip
            output = step["full_response"]
            row = {"input": f"user{prompt}assistant\n", "output": output, "step": 1}
            row["score"] = step["episode_return"]
            rows += [(row, str(name), taken)] * step["source_copies"]
            tagged = re.search(r"<action>(.*?)</action>", output.lower(), re.DOTALL)
            did = tagged[1] if tagged else output.lower()[-30:]
            past.append((step["observation"], did.strip()))
    random.Random(0).shuffle(rows)
    return rows


def test_a_bare_dump_of_real_rollouts_is_chained_and_every_doubt_is_marked(
    tmp_path: Path, shared: Path
):
    table = pl.read_parquet(shared / "data/webshop_grpo_dev.parquet")
    rows = bare_rows(table)
    imported = import_log([written(tmp_path, [row for row, _, _ in rows])])
    log = imported.validated.log
    assert (log.height, log["copies"].sum()) == (table.height, table["source_copies"].sum())
    assert imported.report.rollouts == {8: 16}
    origin = {line: (name, taken) for line, (_, name, taken) in enumerate(rows, start=1)}
    right, doubtful = set(), set()
    for (name,), rows_of in log.group_by("trajectory_id"):
        steps = rows_of.sort("step_index")
        found = [origin[line] for line in steps["source_line"]]
        assert [taken for _, taken in found] == steps["step_index"].to_list()
        right |= {name} if len({whose for whose, _ in found}) == 1 else set()
        doubtful |= {name} if steps["ambiguous"].any() else set()
    names = set(log["trajectory_id"])
    # Rollouts of one policy repeat each other, so two steps of history cannot tell all apart: 45
    # trajectories are certain, and those are right.
    assert len(names - doubtful) == 45
    assert names - doubtful <= right
    assert "81.5% follow exactly one earlier step, 18.5% one of several" in str(imported.report)


def test_bare_steps_without_their_beginning_are_left_out_and_stated(tmp_path: Path):
    steps = pl.DataFrame(
        {
            "trajectory_id": ["a"] * 3,
            "step_index": [0, 1, 2],
            "group_id": ["find it"] * 3,
            "observation": ["o", "p", "q"],
            "full_response": [f"<action>Do {n}</action>" for n in range(3)],
            "episode_return": [10.0] * 3,
            "source_copies": [1, 1, 1],
        }
    )
    rows = {taken: row for row, _, taken in bare_rows(steps)}
    whole = log_of(written(tmp_path, list(rows.values())))
    assert whole["observation"].to_list() == ["o", "p", "q"]
    assert whole["action"].to_list() == ["Do 0", "Do 1", "Do 2"]
    assert whole["reward"].to_list() == [0.0, 0.0, 10.0]
    assert set(whole["task"]) == {"find it"}
    report = import_log([written(tmp_path, [rows[0], rows[2]])]).report
    assert report.rows == 1
    assert "the steps before it are not in the file" in str(report)
