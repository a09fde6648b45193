from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from narrow import number

from workbench.bench import BoundError, conditions, fidelity
from workbench.bench import cells as cells_module
from workbench.bench import identity as identity_module
from workbench.bench.bounds import check_bounds
from workbench.bench.cells import MEASURES, ORACLES, Cell, measured
from workbench.bench.conditions import BATCHES, TASKS
from workbench.bench.scene import Scene, draw_scene
from workbench.bench.summary import summarise
from workbench.errors import ArtefactError, MissingInputError, ParameterError, UnknownNameError
from workbench.log.steps import Index
from workbench.methods import create
from workbench.simulate import WORLDS, drawn_tasks, simulate
from workbench.states.embedders.tfidf import Vectors
from workbench.states.space import Space
from workbench.wording import Progress, silent

FAMILIES = sorted(WORLDS)


def base(family: str) -> Scene:
    return draw_scene(conditions([family], ["base"])[0], 0)


@pytest.fixture(scope="module", params=FAMILIES)
def scene(request: pytest.FixtureRequest) -> Scene:
    return base(request.param)


def small(directory: Path, **options: object) -> pl.DataFrame:
    """A benchmark of seconds: two conditions of the helpdesk, two seeds, two methods."""
    chosen = {
        "methods": {name: create(name) for name in ("grpo", "gigpo")},
        "families": ["helpdesk"],
        "names": ["base", "group=4"],
        "seeds": 2,
        "workers": 1,
    }
    return fidelity(directory, **{**chosen, **options}).results  # type: ignore[arg-type]


def test_every_family_has_a_base_and_sweeps_of_the_same_dials() -> None:
    found = conditions()
    assert sorted({cell.family for cell in found}) == sorted(WORLDS)
    for family in WORLDS:
        cells = conditions([family])
        assert cells[0].name == "base"
        assert {"group", "paraphrase", "skill", "slips", "aliasing", "milestones"} == {
            cell.dial for cell in cells[1:]
        }
        # One dial at a time: everything else is as in the base.
        for cell in cells[1:]:
            differing = {
                name
                for name, value in vars(cell.world).items()
                if value != vars(cells[0].world)[name]
            }
            assert differing | {"group"} == {cell.dial, "group"}
            assert cell.setting(cell.dial) == cell.value


# Digests of what simulate writes at the base settings. A change of these worlds needs a new
# WORLDS_VERSION, since every shard and every published number is of the old ones.
FROZEN = {
    "codebase": "91685e4b81056f6a",
    "helpdesk": "4db44fb949512748",
    "household": "73fe3211a1cedf45",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_worlds_of_version_1_are_frozen(family: str) -> None:
    log = simulate(conditions([family], ["base"])[0].world, tasks=TASKS, rollouts=2, seed=0)
    # Exact values are rounded, as sums may differ in the last digit between machines.
    told = log.with_columns(pl.col("true_value", "true_advantage").round(6) + 0.0)
    assert hashlib.sha256(told.write_ndjson().encode()).hexdigest()[:16] == FROZEN[family]


def test_unknown_families_and_conditions_are_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown world 'helpdisk'"):
        conditions(["helpdisk"])
    with pytest.raises(UnknownNameError, match=r"unknown condition 'slip=0\.2'"):
        conditions(names=["slip=0.2"])
    with pytest.raises(ParameterError, match="no families are given"):
        conditions([])


def test_a_scene_has_independent_batches_of_the_same_tasks(scene: Scene) -> None:
    steps = scene.steps
    assert steps.groups == TASKS * BATCHES
    assert steps.trajectories == TASKS * BATCHES * 8
    assert np.bincount(steps.trajectory_group).tolist() == [8] * steps.groups
    tasks = steps.column("task").to_numpy()
    batches = [
        steps.column("action").to_list()[first:last]
        for first, last in zip(steps.group_start, steps.group_start[1:], strict=False)
    ]
    first_of_group = steps.group_start[:-1]
    for task in range(TASKS):
        here = np.arange(BATCHES) + BATCHES * task
        assert len(set(tasks[first_of_group[here]])) == 1
        assert scene.batch[first_of_group[here]].tolist() == list(range(BATCHES))
        assert batches[here[0]] != batches[here[1]]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_step_finds_its_pair(family: str) -> None:
    condition = conditions([family], ["base"])[0]
    scene = draw_scene(condition, 0)
    tasks = list(drawn_tasks(condition.world, TASKS, 0))
    pairs = np.cumsum([0, *(len(task.policy) for task in tasks)])
    number = scene.steps.column("bench_task").to_numpy()
    own = scene.pair - pairs[number]
    for step in range(0, len(scene.steps), 97):
        model = tasks[number[step]].model
        assert model.state_of(own[step]) == scene.steps.column("latent_state")[step]
        action = tasks[number[step]].actions[model.action[own[step]]]
        assert action == scene.steps.column("action")[step]


def test_gradients_equal_a_sum_over_steps(scene: Scene) -> None:
    credit = np.random.default_rng(0).normal(size=len(scene.steps))
    expected = np.zeros((BATCHES, len(scene.policy)))
    for step in range(len(scene.steps)):
        same_state = scene.state == scene.state[scene.pair[step]]
        slope = -scene.policy * same_state
        slope[scene.pair[step]] += 1.0
        expected[scene.batch[step]] += credit[step] * slope / 8
    np.testing.assert_allclose(scene.gradients(credit), expected, atol=1e-12)


def test_a_gradient_does_not_see_what_is_added_to_all_actions_of_a_state(scene: Scene) -> None:
    # Summed over the pairs of a state, every gradient is 0.
    credit = np.random.default_rng(0).normal(size=len(scene.steps))
    total = np.bincount(scene.state, weights=scene.gradients(credit)[0])
    np.testing.assert_allclose(total, 0.0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_oracles_give_the_true_gradient_in_the_mean(family: str) -> None:
    scene = draw_scene(replace(conditions([family], ["base"])[0], group=50), 1)
    for name, oracle in ORACLES.items():
        gradients = scene.gradients(oracle(scene))
        # Projected on the true gradient, 4 batches of 50: within 4 standard errors.
        share = gradients @ scene.true_gradient / (scene.true_gradient @ scene.true_gradient)
        error = share.std(ddof=1) / np.sqrt(BATCHES)
        assert abs(share.mean() - 1.0) < 4 * error + 0.01, name


@pytest.mark.parametrize("family", FAMILIES)
def test_more_rollouts_bring_the_planted_gradient_near_the_true_one(
    family: str,
) -> None:
    found = []
    for group in (8, 50):
        scene = draw_scene(replace(conditions([family], ["base"])[0], group=group), 0)
        found.append(measured(scene, scene.true_advantage)["gradient_cosine"])
    # How near depends on the number of pairs of state and action that share the rollouts.
    assert 0.2 < found[0] < found[1] - 0.1


def test_the_planted_truth_scores_one_and_its_mirror_image_minus_one(scene: Scene) -> None:
    found = measured(scene, scene.true_advantage)
    for name in ("spearman", "kendall", "sign_agreement", "precision_at_k", "calibration_slope"):
        assert found[name] == pytest.approx(1.0, abs=1e-12), name
    mirrored = measured(scene, -2.0 * scene.true_advantage)
    assert mirrored["spearman"] == pytest.approx(-1.0)
    assert mirrored["sign_agreement"] == 0.0
    assert mirrored["precision_at_k"] == pytest.approx(1.0)
    assert mirrored["calibration_slope"] == pytest.approx(-0.5)
    assert mirrored["gradient_cosine"] == pytest.approx(-found["gradient_cosine"])


def test_noise_scores_nothing(scene: Scene) -> None:
    space = Space(scene.steps, embedder="tfidf")
    found = [
        measured(scene, create("random", {"seed": seed})(scene.steps, space).advantage)
        for seed in range(10)
    ]
    for name in ("spearman", "kendall", "calibration_slope", "gradient_cosine"):
        values = np.array([each[name] for each in found])
        assert abs(values.mean()) < 4 * values.std(ddof=1) / np.sqrt(10), name


def test_a_constant_credit_is_chance(scene: Scene) -> None:
    found = measured(scene, np.full(len(scene.steps), 0.7))
    assert (found["spearman"], found["kendall"]) == (0.0, 0.0)
    assert np.isnan(found["calibration_slope"])
    assert measured(scene, np.zeros(len(scene.steps)))["sign_agreement"] == 0.5


def test_one_number_per_trajectory_gains_nothing_from_more_data() -> None:
    # Group size grows, and with it the cosine: noise is what keeps GRPO from the true gradient.
    cells = conditions(["household"], ["group=4", "group=32"])
    found = [
        Cell(condition=cell, seed=0, methods={"grpo": create("grpo")}, embedder="tfidf").rows()
        for cell in cells
    ]
    assert found[1]["gradient_cosine"][0] > found[0]["gradient_cosine"][0] + 0.1


class OneHot:
    """Distinct texts have orthogonal vectors."""

    name = key = "one-hot"
    counts_copies = False
    windows_report = None

    def encode(
        self,
        texts: Sequence[str],
        counts: Index,
        starts: Index,
        progress: Progress = silent,
    ) -> Vectors:
        return np.eye(len(texts))


def test_without_text_proxmos_step_term_is_return_to_go(scene: Scene) -> None:
    # τ → ∞: every step of the group is an equal peer.
    space = Space(scene.steps, embedder="tfidf")
    hot = create("proxmo", {"temperature": 1e9})(scene.steps, space).terms["step"].value
    control = create("return-to-go")(scene.steps, space).advantage
    np.testing.assert_allclose(hot, control, atol=1e-9)


def test_with_exact_texts_alone_proxmos_step_term_is_gigpos() -> None:
    # τ → 0 where distinct texts have distinct vectors.
    scene = base("helpdesk")
    space = Space(scene.steps, embedder=OneHot())
    cold = create("proxmo", {"temperature": 1e-3})(scene.steps, space).terms["step"].value
    anchored = create("gigpo", {"norm": "mean"})(scene.steps, space).terms["step"].value
    np.testing.assert_allclose(cold, anchored, atol=1e-9)


def test_wording_changes_no_credit_that_reads_no_text() -> None:
    cells = conditions(["helpdesk"], ["paraphrase=0", "paraphrase=1"])
    methods = {name: create(name) for name in ("grpo", "gigpo", "return-to-go")}
    plain, worded = (
        Cell(condition=cell, seed=0, methods=methods, embedder="tfidf").rows() for cell in cells
    )
    textless = [0, 2]
    assert plain.select(MEASURES)[textless].equals(worded.select(MEASURES)[textless])
    # Where every text is unique GiGPO is GRPO in rank: its step term is 0.
    assert number(worded["singletons"].min()) > 0.95
    assert worded["spearman"][1] == pytest.approx(worded["spearman"][0], abs=0.01)
    assert abs(plain["spearman"][1] - plain["spearman"][0]) > 0.01


def test_the_same_arguments_give_the_same_bytes_on_any_number_of_workers(tmp_path: Path) -> None:
    for folder, workers in (("one", 1), ("two", 2)):
        small(tmp_path / folder, workers=workers)
    for name in ("results.parquet", "summary.parquet", "manifest.json"):
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two, name


def test_a_second_run_measures_nothing_and_a_new_method_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured_names = []
    original = Cell.rows

    def counted(cell: Cell) -> pl.DataFrame:
        measured_names.append(sorted(cell.methods))
        return original(cell)

    monkeypatch.setattr(Cell, "rows", counted)
    first = small(tmp_path)
    assert measured_names == [["gigpo", "grpo", "oracle-advantage", "oracle-value"]] * 4
    measured_names.clear()
    assert small(tmp_path).equals(first)
    assert measured_names == []
    more = {name: create(name) for name in ("grpo", "gigpo", "rloo")}
    wider = small(tmp_path, methods=more)
    assert measured_names == [["rloo"]] * 4
    assert wider.filter(pl.col("method") != "rloo").equals(first)
    # Another field of a method is another measurement; the name in the tables is not.
    measured_names.clear()
    named = {"one": create("grpo"), "mean": create("grpo", {"norm": "mean"}), "two": create("grpo")}
    renamed = small(tmp_path, methods=named)
    assert measured_names == [["mean"]] * 4
    for name in ("one", "two"):
        same = renamed.filter(pl.col("method") == name)
        assert same.drop("method").equals(first.filter(pl.col("method") == "grpo").drop("method"))


def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = small(tmp_path / "undisturbed")
    original = Cell.rows
    done: list[Cell] = []

    def killed(cell: Cell) -> pl.DataFrame:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(cell)
        return original(cell)

    monkeypatch.setattr(Cell, "rows", killed)
    with pytest.raises(KeyboardInterrupt):
        small(tmp_path / "killed")
    assert len(list((tmp_path / "killed" / "shards").iterdir())) == 2
    assert not (tmp_path / "killed" / "results.parquet").exists()
    monkeypatch.setattr(Cell, "rows", original)
    assert small(tmp_path / "killed").equals(undisturbed)
    files = [tmp_path / folder / "results.parquet" for folder in ("undisturbed", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_changed_method_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(
        condition=conditions(["helpdesk"], ["base"])[0],
        seed=0,
        methods={"grpo": create("grpo")},
        embedder="tfidf",
    )
    before = cell.keys
    assert cell.keys == before
    monkeypatch.setattr(identity_module, "_code", lambda method: "edited")
    assert cell.keys != before


def test_only_methods_that_compare_texts_depend_on_the_embedder() -> None:
    cell = Cell(
        condition=conditions(["helpdesk"], ["base"])[0],
        seed=0,
        methods={"grpo": create("grpo"), "proxmo": create("proxmo")},
        embedder="tfidf",
    )
    other = replace(cell, embedder="tfidf-proxmo").keys
    assert other["grpo"] == cell.keys["grpo"]
    assert other["proxmo"] != cell.keys["proxmo"]


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    small(tmp_path)
    shard = next((tmp_path / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(ArtefactError, match=f"{shard.name} cannot be read"):
        small(tmp_path)


def test_a_method_that_lacks_its_input_is_listed_and_not_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*arguments: object) -> None:
        raise MissingInputError("rloo needs greedy rewards")

    rloo = create("rloo")
    monkeypatch.setattr(type(rloo), "terms", lacking)
    found = fidelity(
        tmp_path,
        methods={"grpo": create("grpo"), "rloo": rloo},
        families=["helpdesk"],
        names=["base"],
        seeds=2,
        workers=1,
    )
    assert found.skipped == {"rloo": "rloo needs greedy rewards"}
    with pytest.raises(MissingInputError, match="the reference cannot be measured here: rloo"):
        small(tmp_path, methods={"rloo": rloo}, names=["base"])
    assert found.results.filter(pl.col("method") == "rloo")["spearman"].to_list() == [None, None]
    assert set(found.summary["method"]) == {"grpo", *ORACLES}


def planted(name: str, change: Callable[[Scene], np.ndarray]) -> dict[str, object]:
    return {**ORACLES, name: change}


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("oracle-advantage", lambda scene: -scene.true_advantage, "spearman of the true advantage"),
        ("oracle-advantage", lambda scene: scene.true_advantage**3, "calibration_slope of the"),
        ("oracle-value", lambda scene: -scene.true_advantage, r"<g, g\*> - <g\*, g\*>"),
    ],
)
def test_the_benchmark_fails_when_an_oracle_does_not_score_as_it_must(
    name: str,
    wrong: Callable[[Scene], np.ndarray],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cells_module, "ORACLES", planted(name, wrong))
    with pytest.raises(BoundError, match=message):
        small(tmp_path, methods={}, names=["group=4"], seeds=8)


def test_the_benchmark_fails_when_noise_scores(tmp_path: Path) -> None:
    results = small(tmp_path, methods={"random": create("random")}, names=["base"], seeds=6)
    check_bounds(results)
    lucky = pl.when(pl.col("method") == "random").then(0.3 + 0.01 * pl.col("seed"))
    with pytest.raises(BoundError, match=r"spearman of random must be 0 on average, got 0\.325"):
        check_bounds(results.with_columns(spearman=lucky.otherwise("spearman")))
    with pytest.raises(BoundError, match=r"kendall must be in \[-1, 1\]"):
        check_bounds(results.with_columns(kendall=pl.col("kendall") + 1.0))


def frame(**columns: list[float | None]) -> pl.DataFrame:
    """Results of methods a and b in one condition, a value per seed; other measures null."""
    rows = [
        {"method": name.partition("_")[0], "seed": seed, "spearman": value}
        for name, values in columns.items()
        for seed, value in enumerate(values)
    ]
    known = {"family": "f", "condition": "c", "dial": "base", "ranked_groups": 1}
    return pl.DataFrame([{**known, **row} for row in rows], schema=cells_module.SCHEMA)


def row_of(summary: pl.DataFrame, method: str, condition: str | None = None) -> dict[str, Any]:
    here = pl.col("condition").is_null() if condition is None else pl.col("condition") == condition
    rows = summary.filter((pl.col("method") == method) & (pl.col("measure") == "spearman") & here)
    return rows.row(0, named=True)


def test_differences_are_paired_by_seed() -> None:
    # b is .1 above a in every seed, though seeds differ by much more.
    summary = summarise(frame(a=[0.1, 0.5, 0.9, 0.3], b=[0.2, 0.6, 1.0, 0.4]), "a")
    row = row_of(summary, "b")
    assert row["value"] == pytest.approx(0.55)
    assert row["low"] < 0.35
    assert row["difference"] == pytest.approx(0.1)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((0.1, 0.1))
    assert row["verdict"] == "above"
    assert row_of(summary, "a")["verdict"] is None
    assert row_of(summary, "b", "c") == {**row, "condition": "c"}


def test_an_interval_that_touches_zero_is_unresolved() -> None:
    summary = summarise(frame(a=[0.0, 0.0, 0.0, 0.0], b=[0.3, -0.2, 0.1, -0.1]), "a")
    assert row_of(summary, "b")["verdict"] == "unresolved"
    # Equal in every seed: no difference at all is no difference found.
    same = summarise(frame(a=[0.1, 0.2], b=[0.1, 0.2]), "a")
    assert row_of(same, "b")["verdict"] == "unresolved"


def test_one_seed_resolves_nothing() -> None:
    row = row_of(summarise(frame(a=[0.1], b=[0.9]), "a"), "b")
    assert (row["value"], row["low"], row["verdict"]) == (0.9, None, "unresolved")


def test_what_is_undefined_is_counted() -> None:
    row = row_of(summarise(frame(a=[0.1, 0.2, 0.3, 0.4], b=[0.2, None, 0.4, None]), "a"), "b")
    assert row["value"] == pytest.approx(0.3)
    assert row["undefined"] == 0.5
    nothing = row_of(summarise(frame(a=[0.1, 0.2], b=[None, None]), "a"), "b")
    assert (nothing["value"], nothing["low"], nothing["undefined"]) == (None, None, 1.0)
    assert nothing["verdict"] == "unresolved"


def test_bias_and_noise_of_a_gradient_by_hand() -> None:
    # Two seeds: <g, g*> 3 and 1, <g, g'> 2 and 2, <g, g> 5 and 7, <g*, g*> 4 and 4.
    rows = frame(a=[0.0, 0.0]).with_columns(
        gradient_dot=pl.Series([3.0, 1.0]),
        gradient_cross=pl.Series([2.0, 2.0]),
        gradient_square=pl.Series([5.0, 7.0]),
        true_square=pl.Series([4.0, 4.0]),
    )
    summary = summarise(rows, "a").filter(pl.col("condition").is_null())
    found = dict(summary.select("measure", "value").iter_rows())
    # 4 / √(4 · 8), and √4 / √(12 − 4).
    assert found["mean_gradient_cosine"] == pytest.approx(4 / np.sqrt(32))
    assert found["signal_to_noise"] == pytest.approx(2 / np.sqrt(8))


def test_noise_has_no_mean_direction() -> None:
    # <g, g'> sums to -1 of 12: no signal. To .1 of 12.1 it is one of √(.1 / 12) < .1.
    for cross, expected in ((-0.5, 0.0), (0.05, np.sqrt(0.1 / 12.0))):
        rows = frame(a=[0.0, 0.0]).with_columns(
            gradient_dot=pl.lit(0.1),
            gradient_cross=pl.lit(cross),
            gradient_square=pl.lit(6.05),
            true_square=pl.lit(4.0),
        )
        summary = summarise(rows, "a").filter(pl.col("condition").is_null())
        found = dict(summary.select("measure", "value").iter_rows())
        assert found["mean_gradient_cosine"] is None
        assert found["signal_to_noise"] == pytest.approx(expected)


def test_the_reference_must_be_measured(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown reference 'rloo'"):
        small(tmp_path, reference="rloo")
    with pytest.raises(ParameterError, match="seeds must be at least 1, got 0"):
        small(tmp_path, seeds=0)
