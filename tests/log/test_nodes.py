"""Nodes of trees: made of shared prefixes; those that form no tree are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from logs import Described, described_logs, log, rows
from worked_logs import FORKED

from workbench import cli
from workbench.errors import LogError, ParameterError
from workbench.log.nodes import ancestors, nodes_of, sharing, with_prefix_nodes
from workbench.log.schema import validate


def test_a_shared_prefix_is_shared_nodes():
    made = with_prefix_nodes(log(FORKED))
    assert made["node_id"].to_list() == ["a:0", "a:1", "a:0", "b:1", "c:0", "c:1"]
    assert made["parent_id"].to_list() == [None, "a:0", None, "a:0", None, "c:0"]
    assert validate(made).log["node_id"].to_list() == made["node_id"].to_list()


def test_another_role_is_another_node():
    made = with_prefix_nodes(log(FORKED, role=["one", "one", "two", "one", "one", "one"]))
    assert made["node_id"].to_list()[:3] == ["a:0", "a:1", "b:0"]


def test_groups_share_no_node():
    described = {"g": {"a": [("x", "go", 0.0)]}, "h": {"b": [("x", "go", 0.0)]}}
    assert with_prefix_nodes(log(described))["node_id"].to_list() == ["a:0", "b:0"]


def test_a_log_with_nodes_keeps_its_own():
    with pytest.raises(ParameterError, match="has a node_id already"):
        with_prefix_nodes(with_prefix_nodes(log(FORKED)))


@given(described_logs())
def test_steps_are_one_node_exactly_where_all_before_was_equal(described: Described):
    made = with_prefix_nodes(log(described))
    seen: dict[tuple[object, ...], str] = {}
    for group, trajectories in described.items():
        for name, steps in trajectories.items():
            own = made.filter(pl.col("trajectory_id") == name)["node_id"].to_list()
            for place, node in enumerate(own):
                prefix = (group, *((text, act) for text, act, _ in steps[: place + 1]))
                assert seen.setdefault(prefix, node) == node
    assert len(set(seen.values())) == len(seen)


def test_a_cycle_is_refused_with_its_place():
    frame = rows(FORKED, node_id=["1", "2", "3", "4", "5", "6"])
    frame = frame.with_columns(parent_id=pl.Series(["2", None, None, None, None, None]))
    with pytest.raises(LogError, match=r"node_id: has itself among its ancestors, at row 0, row 1"):
        validate(frame)


def test_a_cycle_over_two_rollouts_is_found():
    # a hangs below b's last node, b below a's.
    frame = rows(FORKED, node_id=["1", "2", "3", "4", "5", "6"])
    frame = frame.with_columns(parent_id=pl.Series(["4", None, "2", None, None, None]))
    with pytest.raises(LogError, match="ancestors") as refused:
        validate(frame)
    assert [problem.count for problem in refused.value.problems] == [4]
    kept = validate(frame, quarantine=True)
    assert kept.log["trajectory_id"].unique().to_list() == ["c"]
    assert kept.quarantined.height == 4


def test_two_parents_are_refused():
    frame = rows(FORKED, node_id=["1", "2", "1", "4", "5", "2"])
    with pytest.raises(LogError, match=r"another parent than an earlier row does.*row 5"):
        validate(frame)


def test_a_parent_that_is_not_the_step_before_is_refused():
    frame = rows(FORKED, node_id=["1", "2", "1", "4", "5", "6"])
    frame = frame.with_columns(parent_id=pl.Series([None, "5", None, None, None, None]))
    with pytest.raises(LogError, match=r"parent_id: is not the node of the step before.*row 1"):
        validate(frame)


def test_repeated_rows_make_no_cycle():
    frame = with_prefix_nodes(log(FORKED))
    twice = pl.concat([frame, frame.filter(pl.col("trajectory_id") == "a")])
    assert validate(twice).log["copies"].to_list() == [2, 2, 1, 1, 1, 1]


def test_depth_and_root_of_a_chain():
    # 3 - 2 - 1 - 0, and 4 below 1
    end, depth = ancestors(np.array([-1, 0, 1, 2, 1]))
    assert end.tolist() == [-1] * 5
    assert depth.tolist() == [0, 1, 2, 3, 2]


def test_of_a_cycle_no_walk_ends():
    end, _ = ancestors(np.array([1, 0, 0, -1]))
    assert (end >= 0).tolist() == [True, True, True, False]


def test_steps_without_a_node_are_nodes_of_their_own():
    frame = log(FORKED, node_id=["1", None, "1", None, None, None])
    nodes = nodes_of(frame)
    assert nodes.node.tolist() == [0, 1, 0, 2, 3, 4]
    assert nodes.parent.tolist() == [-1, 0, 0, -1, 3]


def test_import_with_tree_gives_a_flat_log_its_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    rows(FORKED).write_parquet("flat.parquet")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["workbench", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return (int(end.value.code or 0), *capsys.readouterr())

    code, _, said = run("score", "flat.parquet", "-m", "c3", "-o", "credit.parquet")
    assert code == 2
    assert "--tree" in said
    code, said, _ = run("import", "flat.parquet", "--tree", "-o", "log.parquet")
    assert code == 0
    assert "tree: 5 nodes, 1 of them shared by several rollouts, in 1 groups" in said
    assert run("score", "log.parquet", "-m", "c3", "-o", "credit.parquet")[0] == 0
    code, _, said = run("import", "log.parquet", "--tree", "-o", "again.parquet")
    assert code == 2
    assert "has a node_id already" in said


def test_a_log_without_forks_says_so():
    apart: Described = {"g": {"a": [("x", "go", 0.0)], "b": [("y", "go", 0.0)]}}
    assert str(sharing(with_prefix_nodes(log(apart)))) == (
        "tree: 2 nodes; no two rollouts of a group begin alike"
    )
