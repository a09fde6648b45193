"""Reports of the fidelity benchmark: command, tables, figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from workbench import cli
from workbench.bench import Fidelity, fidelity
from workbench.bench.tables import cell, condition_rows, fact_rows, family_rows, legend, short
from workbench.errors import UnknownNameError
from workbench.methods import create
from workbench.plots.fidelity import methods, sweeps


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Fidelity:
    return fidelity(
        tmp_path_factory.mktemp("fidelity"),
        methods={name: create(name) for name in ("grpo", "return-to-go")},
        families=["helpdesk"],
        names=["base", "group=4", "slips=0", "slips=0.2"],
        seeds=3,
        workers=1,
    )


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["workbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code


def test_a_cell_has_value_interval_and_verdict() -> None:
    row = {"value": 0.3121, "low": -0.02, "high": 1.25, "verdict": "above"}
    assert cell(row) == ".312 [-.020, 1.250] ▲"
    assert short(row) == ".312 ▲"
    assert cell({**row, "low": None, "verdict": "unresolved"}) == ".312 ~"
    assert cell({**row, "verdict": None}) == ".312 [-.020, 1.250]"
    assert cell({**row, "value": None}) == "–"


def test_tables_have_every_method_once_the_best_gradient_first(found: Fidelity) -> None:
    rows = family_rows(found.summary, "helpdesk", ("spearman", "gradient_cosine"))
    assert list(rows[0]) == ["method", "spearman", "gradient_cosine"]
    assert rows[0]["method"] == "oracle-advantage"
    assert sorted(row["method"] for row in rows) == [
        "grpo",
        "oracle-advantage",
        "oracle-value",
        "return-to-go",
    ]
    assert rows[0]["spearman"] == "1.000 [1.000, 1.000] ▲"
    by_condition = condition_rows(found.summary, "helpdesk", "spearman")
    assert [row["condition"] for row in by_condition] == ["base", "group=4", "slips=0", "slips=0.2"]
    assert "grpo" in legend(found.reference)
    with pytest.raises(UnknownNameError, match="unknown measure 'sperman'"):
        condition_rows(found.summary, "helpdesk", "sperman")


def test_facts_count_a_scene_once(found: Fidelity) -> None:
    rows = fact_rows(found.results)
    assert [row["condition"] for row in rows] == ["base", "group=4", "slips=0", "slips=0.2"]
    # Five tasks in four batches.
    assert rows[0]["ranked_groups"] == 20
    assert 2 * rows[1]["steps"] == pytest.approx(rows[0]["steps"], rel=0.05)


def test_the_base_is_a_point_of_every_dial(found: Fidelity) -> None:
    along = found.along_dials("helpdesk").filter(
        (pl.col("method") == "grpo") & (pl.col("measure") == "spearman")
    )
    places = sorted(along.select("dial", "value_of_dial", "condition").iter_rows())
    assert places == [
        ("group", 4.0, "group=4"),
        ("group", 8.0, "base"),
        ("slips", 0.0, "slips=0"),
        ("slips", 0.05, "base"),
        ("slips", 0.2, "slips=0.2"),
    ]


def test_figures_show_what_the_summary_says(found: Fidelity) -> None:
    whole = found.summary.filter(pl.col("condition").is_null())
    figure = methods(whole, ["spearman", "gradient_cosine"])
    value = dict(
        whole.filter(pl.col("measure") == "spearman").select("method", "value").iter_rows()
    )
    assert dict(zip(figure.data[0].y, figure.data[0].x, strict=True)) == value
    lines = sweeps(found.along_dials("helpdesk"), "gradient_cosine")
    # Four methods along two dials, three points along the slips.
    assert len(lines.data) == 8
    assert {trace.name for trace in lines.data} == set(value)
    slips = [trace for trace in lines.data if len(trace.x) == 3]
    assert [list(trace.x) for trace in slips] == [[0.0, 0.05, 0.2]] * 4


def test_the_command_prints_tables_and_writes_figures_that_need_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["-m", "grpo", "-m", "proxmo peers=other_steps temperature=0.2", "--workers", "1"]
    options += ["--families", "helpdesk", "--quick", "--seeds", "2", "-o", str(tmp_path)]
    run(monkeypatch, "bench", "fidelity", *options, "--by-condition", "kendall")
    printed = capsys.readouterr().out
    assert "helpdesk: mean over 1 condition, 2 seeds each" in printed
    assert "proxmo peers=other_steps temperature=0.2" in printed
    assert "helpdesk: kendall by condition" in printed
    assert {path.name for path in tmp_path.iterdir()} == {
        "shards",
        "results.parquet",
        "summary.parquet",
        "manifest.json",
        "plotly.min.js",
        "helpdesk-methods.html",
    }
    page = (tmp_path / "helpdesk-methods.html").read_text(encoding="utf-8")
    assert 'src="plotly.min.js"' in page
    assert "https://cdn" not in page
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["methods"]["proxmo peers=other_steps temperature=0.2"]["temperature"] == 0.2
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    run(monkeypatch, "bench", "fidelity", *options, "--json")
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["method"] for row in rows} == {
        "grpo",
        "proxmo peers=other_steps temperature=0.2",
        "oracle-advantage",
        "oracle-value",
    }
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_help_of_the_benchmarks_loads_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['workbench', 'bench', 'fidelity', '--help']\n"
        "from workbench.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'polars', 'scipy', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--quick" in done.stdout
