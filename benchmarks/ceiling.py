"""The share of what true values are worth in training that a credit reaches.

    workbench bench training -o training/ --seeds 20 -m history-gae …
    workbench bench training -o oracles/ --seeds 5 -m oracle-advantage …
    python benchmarks/ceiling.py training/ oracles/ [-m history-gae]

    share = (credit − return-to-go) / (oracle − return-to-go)

Differences are means over the seeds of a cell on which both were trained; oracles, which are slow,
may have fewer. [ ] is a 95 % percentile bootstrap over seeds, each drawn with all that was trained
on it, and as many with an oracle as there are. Draws in which the oracle has no lead have no share,
and are counted as such.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from workbench.bench.oracles import ORACLES
from workbench.bench.training import CONTROL
from workbench.log.steps import Index, Real

RESAMPLES = 10_000


def leads(results: pl.DataFrame, measure: str) -> dict[str, Real]:
    """Method -> what it is above the control on each seed; NaN where it was not trained."""
    table = results.pivot(on="method", index="seed", values=measure).sort("seed")
    names = sorted({*table.columns} - {"seed", CONTROL})
    return {name: (table[name] - table[CONTROL]).cast(pl.Float64).to_numpy() for name in names}


def draws_of(found: dict[str, Real]) -> Index:
    """The seeds, then `RESAMPLES` draws of them: as many as there are with the same methods."""
    known = np.isfinite(np.stack(list(found.values())))
    rng = np.random.default_rng(0)
    parts = []
    for pattern in np.unique(known, axis=1).T:
        alike = np.flatnonzero((known == pattern[:, None]).all(axis=0))
        drawn = alike[rng.integers(len(alike), size=(RESAMPLES, len(alike)))]
        parts.append(np.vstack([alike, drawn]))
    return np.hstack(parts)


def said(values: Real, form: str) -> str:
    """A number with the bounds of those behind it, such as "+0.031 [+0.010, +0.052]"."""
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return f"{values[0]:{form}} [{low:{form}}, {high:{form}}]"


def main() -> None:
    """Reads the command line and prints a row per cell, measure and method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training", nargs="+", type=Path)
    parser.add_argument("-m", dest="method", default="history-gae")
    given = parser.parse_args()
    results = pl.concat([pl.read_parquet(folder / "results.parquet") for folder in given.training])
    results = results.filter(pl.col("missing").is_null()).unique(
        ["family", "condition", "seed", "method"], keep="first", maintain_order=True
    )
    for cell, part in results.group_by(["family", "condition"], maintain_order=True):
        for measure in ("area", "final"):
            found = leads(part, measure)
            draws = draws_of(found)
            own = np.nanmean(found[given.method][draws], axis=1)
            print(*cell, measure, sep=", ")
            for name, lead in found.items():
                means = np.nanmean(lead[draws], axis=1)
                text = f"  {name:<20}{np.isfinite(lead).sum():>3} seeds  {said(means, '+.3f')}"
                if name in ORACLES:
                    share = np.where(means > 0, own / means, np.nan)
                    without = np.isnan(share[1:]).mean()
                    text += f"  share {said(share, '.2f')}, none in {without:.0%} of the draws"
                print(text)


if __name__ == "__main__":
    main()
