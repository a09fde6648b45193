"""Small scored logs for tests of what is exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from hypothesis import strategies as st

from workbench.log.credit import Provenance, ScoredCredit
from workbench.log.schema import validate

STEP = ["group_id", "trajectory_id", "step_index"]
PROVENANCE = Provenance(
    method={"name": "grpo", "dialect": None, "fields": {"gamma": 1.0, "eps": 1e-6, "ddof": 1}},
    log={"sha256": "ab" * 32, "rows": 4},
)
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


def made(rows: list[dict[str, Any]], **schema: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A validated log of rows, and its credit from their `advantage`."""
    types = {name: dtype for name, dtype in TOKENS.items() if any(name in row for row in rows)}
    overrides = {"advantage": pl.Float64, "reward": pl.Float64, **types, **schema}
    frame = pl.DataFrame(rows, schema_overrides=overrides, infer_schema_length=None)
    log = validate(frame).log
    return log.drop("advantage"), log.select(*STEP, "advantage", "excluded")


def token_log(**columns: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """t0: two steps, the second prompt extends the first; t1: one step."""
    return made(
        [
            step_row("t0", 0, 0.5, prompt_ids=[1, 2], response_ids=[3], **columns),
            step_row("t0", 1, -2.0, reward=1.0, prompt_ids=[1, 2, 3, 4], response_ids=[5, 6]),
            step_row("t1", 0, 0.25, prompt_ids=[7], response_ids=[8]),
        ]
    )


def scored_credit(table: pl.DataFrame) -> ScoredCredit:
    """A credit table with where it comes from."""
    return ScoredCredit(table, PROVENANCE)


def exportable(logged: Sequence[pl.DataFrame]) -> tuple[pl.DataFrame, ScoredCredit]:
    """A log and its credit as an exporter takes them."""
    log, table = logged
    return log, scored_credit(table)


def message(role: str | None, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


IDS = st.lists(st.integers(0, 2), max_size=3)
ADVANTAGE = st.sampled_from([None, 0.0, 1.5, -0.25, float("inf")])


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Logs with and without token ids, whose prompts sometimes extend the step before."""
    rows = []
    for number in range(draw(st.integers(1, 4))):
        sequence = []
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
                draw(ADVANTAGE.filter(lambda a, null=excluded: null or a is not None)),
                group=f"g{number % 2}",
                reward=None if excluded else 0.5,
                gradient_mask=draw(st.booleans()),
                prompt_ids=prompt if tokens else None,
                response_ids=response if tokens else None,
                response_mask=mask if tokens else None,
            )
            rows.append(row)
    return rows
