"""Benefit of tuning on the worlds whose truth is known."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from workbench import cli
from workbench.analysis.tuning.held_out import held_out
from workbench.analysis.tuning.thresholds import THRESHOLDS
from workbench.bench import Tuning, cells, conditions, fidelity, tuning
from workbench.bench.cells import Cell
from workbench.bench.scene import draw_scene
from workbench.bench.tables import regret_rows
from workbench.bench.tuned import Tuned
from workbench.errors import ParameterError
from workbench.methods import Method, create
from workbench.states.space import Space


def small(directory: Path, **options: object) -> Tuning:
    """A benchmark of seconds: two conditions of the helpdesk, two seeds, gigpo."""
    chosen = {
        "methods": {"gigpo": create("gigpo", {"norm": "mean"})},
        "families": ["helpdesk"],
        "names": ["group=4", "paraphrase=1"],
        "seeds": 2,
        "workers": 1,
    }
    return tuning(directory, **{**chosen, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tuning")


@pytest.fixture(scope="module")
def found(folder: Path) -> Tuning:
    return small(folder)


def test_every_candidate_is_measured_once_the_own_value_among_them(found: Tuning):
    names = [f"gigpo, state_key similar:threshold={value}" for value in THRESHOLDS]
    names[names.index("gigpo, state_key similar:threshold=0.9")] = "gigpo, state_key similar"
    assert found.results["method"].unique(maintain_order=True).to_list() == [
        "gigpo",
        *names,
        "gigpo tuned",
    ]


def test_the_tuned_row_is_that_of_the_value_which_held_out_rollouts_choose(found: Tuning):
    (cell,) = [c for c in _cells() if c.condition.name == "paraphrase=1" and c.seed == 1]
    scene = draw_scene(cell.condition, cell.seed)
    method, space = create("gigpo", {"norm": "mean"}), Space(scene.steps, embedder="tfidf")
    chosen = held_out(method, method(scene.steps, space), space).recommended
    rows = found.results.filter((pl.col("condition") == "paraphrase=1") & (pl.col("seed") == 1))
    tuned = rows.filter(pl.col("method") == "gigpo tuned")
    assert tuned["setting"].to_list() == [chosen]
    name = "gigpo" if chosen == "exact" else f"gigpo, state_key {chosen}"
    fixed = rows.filter(pl.col("method") == name)
    assert tuned.select(cells.MEASURES).equals(fixed.select(cells.MEASURES))


def _cells() -> list[Cell]:
    return [
        Cell(condition=condition, seed=seed, methods={}, embedder="tfidf")
        for condition in conditions(["helpdesk"], ["group=4", "paraphrase=1"])
        for seed in range(2)
    ]


def test_regret_and_gain_are_paired_differences_of_means(found: Tuning):
    results = found.results
    for row in found.table.iter_rows(named=True):
        part = results
        if row["condition"] is not None:
            part = results.filter(pl.col("condition") == row["condition"])
        mean = dict(part.group_by("method").agg(pl.col(row["measure"]).mean()).iter_rows())
        tuned = mean.pop("gigpo tuned")
        assert row["tuned"] == pytest.approx(tuned)
        assert row["gain"] == pytest.approx(tuned - mean["gigpo"])
        assert row["regret"] == pytest.approx(max(mean.values()) - tuned)
        each = part.filter(pl.col("method") != "gigpo tuned").group_by("condition", "seed")
        assert row["best_of_each_log"] == pytest.approx(
            each.agg(pl.col(row["measure"]).max())[row["measure"]].mean()
        )
        assert row["best_of_each_log"] >= row["best_fixed"] >= row["default"]
        assert row["regret_low"] <= row["regret"] <= row["regret_high"]
        assert row["gain_low"] <= row["gain"] <= row["gain_high"]
    # Two measures of one family: over both conditions, and in each of them.
    assert found.table["condition"].to_list() == [None] * 2 + ["group=4", "paraphrase=1"] * 2


def test_there_is_no_regret_where_the_value_does_not_matter(tmp_path: Path):
    # Without a step term the credit is GRPO's under every key.
    without = {"gigpo": create("gigpo", {"step_weight": 0.0})}
    table = small(tmp_path, methods=without, names=["group=4"], seeds=3).table
    columns = ["regret", "regret_low", "regret_high", "gain", "gain_low", "gain_high"]
    assert table.select(columns).to_numpy().tolist() == np.zeros((4, 6)).tolist()


def test_what_is_there_is_not_measured_again(
    found: Tuning, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(Cell, "rows", lambda cell: pytest.fail("measured again"))
    assert small(folder).table.equals(found.table)
    assert files == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_interrupted_run_goes_on_where_it_was(
    found: Tuning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    original = Cell.rows
    done: list[Cell] = []

    def killed(cell: Cell) -> pl.DataFrame:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(cell)
        return original(cell)

    monkeypatch.setattr(Cell, "rows", killed)
    with pytest.raises(KeyboardInterrupt):
        small(tmp_path)
    done.clear()
    assert small(tmp_path).results.equals(found.results)
    assert len(done) == 1


def test_shards_are_shared_with_fidelity_and_those_without_a_setting_are_read(
    found: Tuning, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    for shard in (folder / "shards").iterdir():
        rows = pl.read_parquet(shard)
        untuned = rows.filter(pl.col("setting").is_null())
        untuned.drop("setting").write_parquet(shard.with_name(f"older-{shard.name}"))
    measured = []
    original = Cell.rows

    def watched(cell: Cell) -> pl.DataFrame:
        measured.append(sorted(cell.methods))
        return original(cell)

    monkeypatch.setattr(Cell, "rows", watched)
    fidelity(
        folder,
        methods={"gigpo": create("gigpo", {"norm": "mean"})},
        families=["helpdesk"],
        names=["group=4"],
        seeds=2,
        workers=1,
    )
    assert measured == [["oracle-advantage", "oracle-value"]] * 2
    for shard in (folder / "shards").glob("older-*"):
        shard.unlink()


def test_a_change_of_how_values_are_chosen_is_measured_again(monkeypatch: pytest.MonkeyPatch):
    methods: dict[str, Method | Tuned | None] = {
        "gigpo": create("gigpo"),
        "gigpo tuned": Tuned(method=create("gigpo")),
    }
    (condition,) = conditions(["helpdesk"], ["group=4"])
    cell = Cell(condition=condition, seed=0, methods=methods, embedder="tfidf")
    before = cell.keys
    assert len(set(before.values())) == 2
    monkeypatch.setattr(Tuned, "code", staticmethod(lambda: "edited"))
    assert cell.keys["gigpo"] == before["gigpo"]
    assert cell.keys["gigpo tuned"] != before["gigpo tuned"]


def test_a_method_without_anything_to_tune_is_refused(tmp_path: Path):
    with pytest.raises(ParameterError, match="grpo has no field"):
        small(tmp_path, methods={"grpo": create("grpo")})
    with pytest.raises(ParameterError, match="no methods are given"):
        small(tmp_path, methods={})


def test_the_command_prints_a_table_for_each_family_and_measure(
    found: Tuning, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    options = ["-m", "gigpo norm=mean", "--families", "helpdesk", "--conditions", "group=4"]
    options += ["--conditions", "paraphrase=1", "--seeds", "2", "--workers", "1", "-o", str(folder)]
    monkeypatch.setattr(sys, "argv", ["workbench", "bench", "tuning", *options])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    printed = capsys.readouterr().out
    assert "helpdesk: spearman\n" in printed
    assert "helpdesk: gradient_cosine\n" in printed
    assert "regret = best fixed − tuned" in printed
    monkeypatch.setattr(sys, "argv", ["workbench", "bench", "tuning", *options, "--json"])
    with pytest.raises(SystemExit):
        cli.main()
    rows = json.loads(capsys.readouterr().out)
    unnamed = found.table.drop("method").to_dicts()
    assert [{k: v for k, v in row.items() if k != "method"} for row in rows] == unnamed


def test_a_row_says_what_was_chosen_and_how_often():
    row = {
        "family": "helpdesk",
        "condition": None,
        "method": "crbc",
        "measure": "spearman",
        "default": 0.2,
        "tuned": 0.31,
        "chosen": "similar:threshold=0.7",
        "chosen_share": 0.75,
        "best_fixed": 0.3,
        "best_setting": "exact",
        "best_of_each_log": 0.4,
        "regret": -0.01,
        "regret_low": -0.02,
        "regret_high": 0.0,
        "gain": 0.11,
        "gain_low": None,
        "gain_high": None,
        "seeds": 4,
    }
    assert regret_rows(pl.DataFrame([row])) == [
        {
            "method": "crbc",
            "condition": "all",
            "default": ".200",
            "tuned": ".310",
            "mostly to": "similar:threshold=0.7 (75%)",
            "gain": ".110",
            "best fixed": ".300 at exact",
            "regret": "-.010 [-.020, .000]",
            "best of each log": ".400",
        }
    ]
