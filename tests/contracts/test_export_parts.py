"""The contract of export in parts: the files of every target are those of the whole."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from batches import exportable, files
from traces import sample_log, without_ids

from workbench.engines import Here
from workbench.errors import EmptyBatchError, ParameterError
from workbench.exporters import TARGETS
from workbench.workspace.export_to import divisible, export_in_parts
from workbench.workspace.partitions import narrow

NAMES = [name for name, target in TARGETS.items() if target.appends]


def exported(log: pl.DataFrame, credit: object, name: str, folder: Path, **options: object) -> Path:
    path = folder / "log.parquet"
    log.write_parquet(path)
    export_in_parts(
        path,
        narrow(path),
        credit,  # type: ignore[arg-type]
        TARGETS[name],
        folder / name,
        options=options,
        engine=Here(),
        bytes_at_once=1,  # each group is a part
    )
    return folder / name


def test_all_but_four_targets_can_be_written_in_parts():
    # Those write arrays or files of their own shape, or number their rows.
    whole = {"verl", "skyrl", "prime-rl", "slime"}
    assert set(TARGETS) - set(NAMES) == whole
    assert not divisible(TARGETS["trl"], TARGETS["trl"].options_of({"filter": "reward>0"}))


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_every_target_writes_in_parts_what_it_writes_of_the_whole(
    name: str, texts: bool, tmp_path: Path
):
    logged = sample_log(tmp_path)
    if texts or TARGETS[name].layout.contents == "texts":
        logged = without_ids(logged)
    if texts and TARGETS[name].layout.contents == "tokens":
        pytest.skip("it takes token ids")
    log, credit = exportable(logged)
    for options in ({}, {"weight": "inverse_length", "clip": 1.0, "drop_zero_groups": True}):
        folder = tmp_path / f"parts-{len(options)}"
        folder.mkdir()
        TARGETS[name](log, credit, tmp_path / f"whole-{len(options)}", **options)
        found = files(exported(log, credit, name, folder, **options))
        assert found == files(tmp_path / f"whole-{len(options)}")


def test_what_would_train_nothing_is_refused_in_parts_too(tmp_path: Path):
    log, credit = exportable(sample_log(tmp_path))
    nothing = credit.table.with_columns(advantage=pl.lit(0.0))
    with pytest.raises(EmptyBatchError, match="would train nothing"):
        exported(log, type(credit)(nothing, credit.provenance), "trl", tmp_path)
    assert not (tmp_path / "trl").exists()


def test_an_error_names_the_part(tmp_path: Path):
    log, credit = exportable(sample_log(tmp_path))
    ids = pl.when(pl.col("trajectory_id") == "t2").then(pl.lit([-1])).otherwise("response_ids")
    with pytest.raises(ParameterError, match="another length than response_ids") as caught:
        exported(log.with_columns(response_ids=ids), credit, "trl", tmp_path)
    assert caught.value.__notes__[0].startswith("while working on rows 0 to 4 of ")
