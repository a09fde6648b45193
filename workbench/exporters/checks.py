"""What holds of the rows of a batch: looked at in the rows, not believed of what made them."""

from __future__ import annotations

import polars as pl

from workbench.exporters.lists import flat


def row_checks(rows: pl.DataFrame) -> dict[str, bool]:
    """The checks of a manifest that its rows alone decide.

    Returns:
        lengths_equal: The lists of a row are of one length; log-probabilities may be missing.
        masked_advantages_zero: No advantage stands where nothing is trained.
        logprobs_present: Every row has log-probabilities; never in a batch of messages.
    """
    others: tuple[str, ...] = ()
    mask, values = "step_mask", "step_advantages"
    if "input_ids" in rows.columns:
        mask, values, others = "loss_mask", "advantages", ("input_ids", "step_ids", "old_logprobs")
    size = pl.col(mask).list.len()
    same = [(pl.col(name).list.len() == size).fill_null(value=True) for name in (values, *others)]
    lengths_equal = bool(rows.select(pl.all_horizontal(same).all()).item())
    idle = flat(rows[mask]) == 0
    return {
        "lengths_equal": lengths_equal,
        "masked_advantages_zero": lengths_equal and not (idle & (flat(rows[values]) != 0)).any(),
        "logprobs_present": "old_logprobs" in others and rows["old_logprobs"].null_count() == 0,
    }
