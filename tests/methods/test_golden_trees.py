"""Dialects reproduce the original numbers on trees, turns and critics' values.

Each small golden table becomes a step log in the way that its originals mean it: a tree as one
rollout a leaf, HiPER's rows as turns, RAGEN's as tokens.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from places import GOLDEN

from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import METHODS, create
from workbench.methods.base import Golden
from workbench.states.space import Space

TABLES = (
    "tree_spo_treerl",
    "tree_treerl_shipped",
    "turn_mtgrpo",
    "turn_gae_hiper",
    "turn_gae_ragen_tokens",
    "turn_hae",
    "prime_rl",
)
# The original's functions before its last step: the plain formula, which no code base ships.
PLAIN = {
    "treerl_local": ("treerl", Golden(term="local", table="tree_spo_treerl")),
    "treerl_state_value": ("treerl", Golden(term="global", table="tree_spo_treerl")),
    "treerl_value_plus_state": ("treerl", Golden(table="tree_spo_treerl")),
}
COLUMNS = PLAIN | {
    column: (f"{method.name}:{dialect.name}", golden)
    for method in METHODS.values()
    for dialect in method.dialects.values()
    for column, golden in dialect.golden.items()
    if golden.table in TABLES
}


def table(name: str) -> pl.DataFrame:
    return pl.read_parquet(GOLDEN / f"{name}.parquet")


def paths(nodes: pl.DataFrame) -> pl.DataFrame:
    """One rollout a leaf, with the nodes below the root on its way as steps."""
    rows = []
    for (tree,), members in nodes.group_by("tree", maintain_order=True):
        parent = dict(members.select("node_id", "parent_id").iter_rows())
        for leaf, reward in members.filter("leaf").select("node_id", "reward").iter_rows():
            way = [leaf]
            while parent[way[-1]] > 0:
                way.append(parent[way[-1]])
            rows += [
                {
                    "group_id": f"{tree}",
                    "trajectory_id": f"{tree}/{leaf}",
                    "step_index": place,
                    "observation": "",
                    "action": "",
                    "reward": reward if node == leaf else 0.0,
                    "node_id": f"{node}",
                    "parent_id": f"{parent[node]}",
                }
                for place, node in enumerate(reversed(way))
            ]
    return pl.DataFrame(rows)


def turns(frame: pl.DataFrame) -> pl.DataFrame:
    """MT-GRPO's table: the outcome on the last turn, the result in the environment's answer."""
    last = pl.col("turn_index") == pl.col("n_turns") - 1
    return frame.select(
        "group_id",
        "trajectory_id",
        step_index="turn_index",
        observation=pl.lit(""),
        action=pl.lit(""),
        reward=pl.when(last).then("outcome_reward").otherwise(0.0),
        turn_reward=pl.when(last).then("turn_reward"),
        next_observation=pl.when(pl.col("turn_index") == pl.col("result_turn"))
        .then(pl.lit("<result>4</result>"))
        .otherwise(pl.lit("<error>")),
    )


def valued(frame: pl.DataFrame, trajectory: str, index: str) -> pl.DataFrame:
    """A table of critics' values: one row per turn, or a token."""
    return frame.select(
        group_id=pl.lit("g"),
        trajectory_id=pl.col(trajectory).cast(pl.String),
        step_index=index,
        observation=pl.lit(""),
        action=pl.lit(""),
        reward="reward",
        critic_value="value",
    )


def planned(frame: pl.DataFrame) -> pl.DataFrame:
    """HAE's table: one row per turn, every case a batch, tags of subgoals in the actions."""
    return frame.rename({"turn_index": "step_index"}).with_columns(
        group_id=pl.col("trajectory_id").str.slice(0, 3),
        train_step=pl.col("case"),
        observation=pl.lit(""),
    )


def traces(frame: pl.DataFrame) -> pl.DataFrame:
    """prime-rl's table, a row a trace in order of arrival, as steps whose tokens sum to its own.

    All but the last steps have one token; the last prompt and reply hold the trace's whole length.
    """
    steps = frame.with_columns(
        run_id=pl.format("run {}", "case"), step_index=pl.int_ranges("turns")
    ).explode("step_index")
    last = pl.col("step_index") == pl.col("turns") - 1
    written = pl.when(last).then(pl.col("output_tokens") - pl.col("turns") + 1).otherwise(1)
    read = pl.when(last).then(pl.col("total_tokens") - written).otherwise(1)
    return steps.with_columns(
        observation=pl.lit(""),
        action=pl.lit(""),
        reward=pl.when(last).then("reward").otherwise(0.0),
        response_tokens=written,
        prompt_ids=pl.int_ranges(read),
        response_ids=pl.int_ranges(written),
    )


def scored(log: pl.DataFrame, column: str) -> pl.DataFrame:
    """The log's rows with our number for a golden column as `ours`."""
    name, golden = COLUMNS[column]
    steps = Steps.from_log(validate(log).log)
    credit = create(name, golden.params)(steps, Space(steps, embedder="tfidf")).table()
    ours = golden.output or (f"term_{golden.term}" if golden.term else "advantage")
    return steps.log.with_columns(credit[ours].alias("ours"))


def assert_near(ours: pl.Series, theirs: pl.Series) -> None:
    expected = theirs.cast(pl.Float64).to_numpy()
    tolerance = 2e-5 + 2e-5 * np.abs(expected)
    assert (np.abs(ours.to_numpy() - expected) <= tolerance).all()


def of(table_name: str) -> list[str]:
    return [column for column, (_, golden) in COLUMNS.items() if golden.table == table_name]


def test_every_output_of_the_small_tables_is_reproduced():
    inputs = {
        "tree_spo_treerl": 7,
        "tree_treerl_shipped": 8,
        "turn_mtgrpo": 7,
        "turn_gae_hiper": 5,
        "turn_gae_ragen_tokens": 4,
        "turn_hae": 10,
        "prime_rl": 10,
    }
    for name, count in inputs.items():
        assert set(table(name).columns[count:]) == set(of(name)), name


@pytest.mark.parametrize("column", of("tree_spo_treerl"))
def test_trees_agree_with_the_originals(column: str):
    nodes = table("tree_spo_treerl")
    ours = scored(paths(nodes), column)
    named = nodes.with_columns(pl.col("tree", "node_id").cast(pl.String))
    joined = ours.join(named, left_on=["group_id", "node_id"], right_on=["tree", "node_id"])
    # Every node but the eight roots, which are no decisions, is met by some rollout.
    assert joined.n_unique(["group_id", "node_id"]) == nodes.height - 8
    assert_near(joined["ours"], joined[column])


@pytest.mark.parametrize("column", of("tree_treerl_shipped"))
def test_treerl_agrees_with_what_the_original_ships(column: str):
    frame = table("tree_treerl_shipped")
    ours = scored(frame, column)
    assert ours.height == frame.height
    assert_near(ours["ours"], ours[column])


def test_the_plain_formula_is_not_what_treerl_ships():
    # 31 steps differ where zeros alone are not filled, 801 without the weights.
    frame = table("tree_treerl_shipped")
    steps = Steps.from_log(validate(frame).log)
    differing = {}
    for name, params in (
        ("treerl:reference", {"fill_zeros": False}),
        ("treerl:reference", {"node_weight": "none"}),
    ):
        credit = create(name, params)(steps, Space(steps, embedder="tfidf"))
        gap = credit.advantage - steps.log["treerl_shipped_sqrt"].to_numpy()
        differing[next(iter(params))] = int((np.abs(gap) > 1e-4).sum())
    assert differing == {"fill_zeros": 31, "node_weight": 801}


@pytest.mark.parametrize("column", of("turn_mtgrpo"))
def test_turn_rewards_agree_with_the_original(column: str):
    frame = table("turn_mtgrpo")
    ours = scored(turns(frame), column)
    joined = ours.join(
        frame, left_on=["trajectory_id", "step_index"], right_on=["trajectory_id", "turn_index"]
    )
    assert joined.height == frame.height
    assert_near(joined["ours"], joined[column])


@pytest.mark.parametrize("column", of("turn_gae_hiper"))
def test_gae_over_turns_agrees_with_the_original(column: str):
    frame = table("turn_gae_hiper").sort("trajectory_id", "turn_index")
    ours = scored(valued(frame, "trajectory_id", "turn_index"), column)
    assert_near(ours["ours"], frame[column])


@pytest.mark.parametrize("column", of("turn_gae_ragen_tokens"))
def test_gae_over_tokens_in_turns_agrees_with_the_original(column: str):
    frame = table("turn_gae_ragen_tokens").sort("row", "token")
    ours = scored(valued(frame, "row", "token"), column)
    assert_near(ours["ours"], frame[column])


@pytest.mark.parametrize("column", of("turn_hae"))
def test_advantages_of_subgoals_agree_with_the_original(column: str):
    frame = table("turn_hae").sort("case", "trajectory_id", "turn_index")
    assert frame["case"].n_unique() == 24
    assert_near(scored(planned(frame), column)["ours"], frame[column])


@pytest.mark.parametrize("column", of("prime_rl"))
def test_outcomes_of_agents_agree_with_prime_rl(column: str):
    frame = table("prime_rl")
    assert frame["case"].n_unique() == 24
    ours = scored(traces(frame), column)
    assert ours["trajectory_id"].n_unique() == frame.height
    assert_near(ours["ours"], ours[column])


def test_the_comparison_can_fail():
    # Leaves instead of children is another number on trees whose branches differ in size.
    nodes = table("tree_spo_treerl")
    steps = Steps.from_log(validate(paths(nodes)).log)
    credit = create("spo", {})(steps, Space(steps, embedder="tfidf"))
    dialect = create("spo:treetune", {})(steps, Space(steps, embedder="tfidf"))
    assert np.abs(credit.advantage - dialect.advantage).max() > 0.05
