"""Keys that say which steps of a group are in the same state."""

from __future__ import annotations

import numpy as np
import polars as pl

from workbench.steps import Index, Steps


def exact_key(steps: Steps) -> Index:
    """Anchor group of each step: same group and the same text, character for character.

    The text is the log's `state_key` where it has one, else the observation. Anchor groups are
    numbered in the order in which they are first met.

    Returns:
        (S,) int64, 0 to the number of anchor groups - 1.
    """
    logged = steps.column("state_key").cast(pl.String)
    text = steps.column("observation").zip_with(logged.is_null(), logged)
    keys = pl.DataFrame({"group": steps.group, "text": text, "logged": logged.is_not_null()})
    distinct = keys.unique(maintain_order=True).with_row_index("key")
    joined = keys.join(distinct, on=["group", "text", "logged"], maintain_order="left")
    return joined["key"].to_numpy().astype(np.int64)
