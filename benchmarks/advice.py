"""The table that `workbench advise` rests on, from trainings, and what following it would lose.

    python benchmarks/advice.py TRAINING… [-o workbench/analysis/evidence.json]

TRAINING are folders of `workbench bench training`. A credit stands in a cell with the seeds that it
shares with the control. Printed are the standing of each credit and the regret of the advice in
each cell, the whole world of the cell left out of what it rests on.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import polars as pl

from workbench.analysis.evidence import CONTROL, cells_of, regrets, standings
from workbench.files import atomic_file


def table_of(folders: list[Path]) -> dict[str, object]:
    """The table as JSON holds it."""
    results = pl.concat([pl.read_parquet(folder / "results.parquet") for folder in folders])
    results = results.filter(pl.col("missing").is_null()).unique(
        ["family", "condition", "seed", "method"], keep="first", maintain_order=True
    )
    cells = []
    for (world, condition), part in results.group_by(["family", "condition"], maintain_order=True):
        areas = {
            method: dict(rows.select("seed", "area").iter_rows())
            for (method,), rows in part.group_by(["method"], maintain_order=True)
        }
        control = areas.pop(CONTROL)
        cells.append(
            {
                "world": world,
                "condition": condition,
                "area": round(float(np.mean(list(control.values()))), 5),
                "difference": {
                    method: {
                        str(seed): round(area[seed] - control[seed], 5)
                        for seed in sorted(set(area) & set(control))
                    }
                    for method, area in sorted(areas.items())
                },
            }
        )
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    # Where results lay on one machine is nothing to others.
    commands = [re.sub(r"-o \S+", "-o training/", found["command"]) for found in manifests]
    return {"commands": commands, "cells": cells}


def main() -> None:
    """Reads the command line, prints the standings and the regrets, writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training", nargs="+", type=Path)
    parser.add_argument("-o", type=Path, dest="output")
    given = parser.parse_args()
    table = table_of(given.training)
    known = cells_of(table)
    for one in standings(known):
        worlds = ", ".join(f"{world} {gain:+.3f}" for world, gain in one.by_world.items())
        print(f"{one.credit:<24}{one.gain:+.3f} [{one.low:+.3f}, {one.high:+.3f}]  {worlds}")
    print()
    for row in regrets(known):
        print(
            f"{row['world']:<28}{row['condition']:<14}advised {row['advised']:<16}"
            f"best {row['best']:<16}regret {row['regret']:.3f}  control {row['control']:.3f}"
        )
    if given.output:
        with atomic_file(given.output) as temporary:
            temporary.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
