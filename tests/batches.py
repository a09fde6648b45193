"""Small scored logs for tests of what is exported."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import strategies as st

from workbench.exporters import TARGETS, Manifest, read_batch
from workbench.exporters.archive import Archive, archive
from workbench.log.credit import Provenance, ScoredCredit
from workbench.log.schema import validate

STEP = ["group_id", "trajectory_id", "step_index"]
PROVENANCE = Provenance(
    method={"name": "grpo", "dialect": None, "fields": {"gamma": 1.0, "eps": 1e-6, "ddof": 1}},
    log={"sha256": "ab" * 32, "rows": 4},
)
Log = tuple[pl.DataFrame, pl.DataFrame]
"""A validated log, and its credit."""
Files = dict[str, bytes]
TOKENS = {"prompt_ids": pl.List(pl.Int32), "response_ids": pl.List(pl.Int32)}


def step_row(
    trajectory: str,
    step: int,
    advantage: float | None = 1.0,
    *,
    group: str = "g",
    reward: float | None = 0.0,
    **columns: Any,
) -> dict[str, Any]:
    return {
        "group_id": group,
        "trajectory_id": trajectory,
        "step_index": step,
        "observation": f"see {step}",
        "action": f"do {step}",
        "reward": reward,
        "advantage": advantage,
        **columns,
    }


def made(rows: list[dict[str, Any]], **schema: Any) -> Log:
    """A validated log of rows, and its credit from their `advantage`."""
    types = {name: dtype for name, dtype in TOKENS.items() if any(name in row for row in rows)}
    overrides = {"advantage": pl.Float64, "reward": pl.Float64, **types, **schema}
    frame = pl.DataFrame(rows, schema_overrides=overrides, infer_schema_length=None)
    log = validate(frame).log
    return log.drop("advantage"), log.select(*STEP, "advantage", "excluded")


def token_log(**columns: Any) -> Log:
    """t0: two steps, the second prompt extends the first; t1: one step."""
    return made(
        [
            step_row("t0", 0, 0.5, prompt_ids=[1, 2], response_ids=[3], **columns),
            step_row("t0", 1, -2.0, reward=1.0, prompt_ids=[1, 2, 3, 4], response_ids=[5, 6]),
            step_row("t1", 0, 0.25, prompt_ids=[7], response_ids=[8]),
        ]
    )


def rewritten_log() -> Log:
    """t0: the second prompt was rewritten; t1 as in `token_log`."""
    return made(
        [
            step_row("t0", 0, 0.5, prompt_ids=[1, 2], response_ids=[3]),
            step_row("t0", 1, -2.0, prompt_ids=[1, 9, 3, 4], response_ids=[5]),
            step_row("t1", 0, 0.25, prompt_ids=[7], response_ids=[8]),
        ]
    )


def text_log(**columns: Any) -> Log:
    """The steps of `token_log` without token ids; t0's second step has these columns."""
    return made(
        [
            step_row("t0", 0, 0.5),
            step_row("t0", 1, -2.0, reward=1.0, **columns),
            step_row("t1", 0, 0.25),
        ]
    )


def one_trajectory(
    *advantages: float | None, group: str = "g", **columns: Any
) -> list[dict[str, Any]]:
    """Steps with these advantages."""
    return [
        step_row(f"{group}/t", step, value, group=group, **columns)
        for step, value in enumerate(advantages)
    ]


def several(**columns: Any) -> Log:
    """Advantages 0.5, -2, 0.25 and 0 in three groups of tasks a, a and b."""
    values = {"g": ("a", [0.5, -2.0]), "h": ("a", [0.25]), "i": ("b", [0.0])}
    return made(
        [
            row
            for group, (task, advantages) in values.items()
            for row in one_trajectory(*advantages, group=group, task=task, **columns)
        ]
    )


def one_advantage() -> Log:
    """`token_log` with an advantage of 3 at t0's second step, whose tokens are 5 and 6."""
    log, credit = token_log()
    only = (pl.col("trajectory_id") == "t0") & (pl.col("step_index") == 1)
    return log, credit.with_columns(pl.when(only).then(3.0).otherwise(0.0).alias("advantage"))


def partly_trained() -> Log:
    """Of t0's first reply 3 and 5 were sampled, 4 was put in; its second step is not trained."""
    return made(
        [
            step_row("t0", 0, 2.0, prompt_ids=[1, 2], response_ids=[3, 4, 5],
                     response_mask=[1, 0, 1]),
            step_row("t0", 1, 7.0, prompt_ids=[1, 2, 3, 4, 5, 6], response_ids=[8],
                     response_mask=[1], gradient_mask=False),
            step_row("t1", 0, 0.5, prompt_ids=[9], response_ids=[10], response_mask=[1]),
        ],
        response_mask=pl.List(pl.Int8),
    )  # fmt: skip


def files(folder: Path) -> Files:
    """All that lies in a folder, by its path there."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def shared_log(shared: Path) -> Log:
    """The log that the shared sample exports were made from, with its credit."""
    log = validate(pl.read_parquet(shared / "samples" / "canonical_steps.parquet")).log
    log = log.with_columns(policy_version=pl.lit(11, dtype=pl.Int64))
    golden = pl.DataFrame(json.loads((shared / "samples" / "golden.json").read_text()))
    credit = golden.select(
        "group_id",
        "trajectory_id",
        pl.col("step_index").cast(pl.Int32),
        advantage=pl.col("grpo_adv") + pl.col("gigpo_step_adv_mean_norm"),
        excluded=pl.lit(None, dtype=pl.String),
    )
    return log, credit


def scored_credit(table: pl.DataFrame) -> ScoredCredit:
    """A credit table with where it comes from."""
    return ScoredCredit(table, PROVENANCE)


def exportable(logged: Sequence[pl.DataFrame]) -> tuple[pl.DataFrame, ScoredCredit]:
    """A log and its credit as an exporter takes them."""
    log, table = logged
    return log, scored_credit(table)


def export(
    target: str, logged: Sequence[pl.DataFrame], directory: Path, **options: Any
) -> Manifest:
    """Writes a log in a target's format."""
    return TARGETS[target](*exportable(logged), directory, **options)


def write(log: pl.DataFrame, credit: pl.DataFrame, directory: Path, **options: Any) -> Manifest:
    """Writes a log as a weighted batch."""
    return export("weighted-batch", (log, credit), directory, **options)


def written(
    log: pl.DataFrame, credit: pl.DataFrame, directory: Path, **options: Any
) -> tuple[Manifest, list[dict[str, Any]]]:
    """The manifest and the rows of a weighted batch."""
    manifest = write(log, credit, directory, **options)
    return manifest, read_batch(directory).to_dicts()


def archived(logged: Sequence[pl.DataFrame], **options: Any) -> Archive:
    """A log as a weighted batch in one file."""
    return archive(TARGETS["weighted-batch"], *exportable(logged), **options)


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file with one JSON object per line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def with_advantage(tokens: Iterable[tuple[int, float, int | None]]) -> list[tuple[int, float]]:
    """Those of the tokens of a file that have an advantage, each with it, by id."""
    return sorted((token, value) for token, value, _ in tokens if value)


def message(role: str | None, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


IDS = st.lists(st.integers(0, 2), max_size=3)
ADVANTAGE = st.sampled_from([None, 0.0, 1.5, -0.25, float("inf")])


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Logs with and without token ids, whose prompts sometimes extend the step before."""
    rows = []
    for number in range(draw(st.integers(1, 4))):
        sequence: list[int] = []
        excluded = draw(st.integers(0, 4)) == 0
        tokens = draw(st.integers(0, 3)) > 0
        for step in range(draw(st.integers(1, 3))):
            prompt = draw(IDS) if draw(st.integers(0, 4)) == 0 else sequence + draw(IDS)
            response = draw(IDS)
            sequence = prompt + response
            mask = draw(st.lists(st.integers(0, 1), min_size=len(response), max_size=len(response)))
            row = step_row(
                f"t{number}",
                step,
                draw(ADVANTAGE if excluded else ADVANTAGE.filter(lambda a: a is not None)),
                group=f"g{number % 2}",
                reward=None if excluded else 0.5,
                gradient_mask=draw(st.booleans()),
                prompt_ids=prompt if tokens else None,
                response_ids=response if tokens else None,
                response_mask=mask if tokens else None,
            )
            rows.append(row)
    return rows
