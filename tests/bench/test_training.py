"""Training on credit: the policy's gradient, the episodes, the way through the export, the runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from workbench import cli
from workbench.bench import Training, conditions, training
from workbench.bench.episodes import conversations, play, step_log
from workbench.bench.lessons import Lesson, Scorer, exported
from workbench.bench.policies import Adam, LinearPolicy
from workbench.bench.prompts import Decision, decisions_of, prompt
from workbench.bench.recipes import RECIPES
from workbench.bench.runs import LAST, Course, Run, start
from workbench.bench.tables import difference, training_rows
from workbench.bench.training import CONTROL, learning_curves, summaries
from workbench.cli import bench as cli_module
from workbench.errors import ArtefactError, ParameterError, UnknownNameError
from workbench.log.credit import Term
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.methods.outcome.grpo import GRPO
from workbench.plots.training import learning_curves as drawn_curves
from workbench.simulate import Task, drawn_tasks, policy_values
from workbench.states.space import Space
from workbench.states.text import StateText

BASE = conditions(["household"], ["base"])[0]
WORLD = BASE.world
HORIZON = WORLD.horizon

DECISIONS = [
    Decision(
        "put a mug on the desk", "You see a mug 1.", (), ("take mug 1", "look", "go to desk 1")
    ),
    Decision("put a mug on the desk", "You hold it.", ("take mug 1",), ("look", "go to desk 1")),
    Decision("find two eggs", "Nothing.", ("look", "look"), ("open fridge 1",)),
]


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return list(drawn_tasks(WORLD, 3, 0))


def random_policy(seed: int) -> LinearPolicy:
    policy = LinearPolicy()
    policy.weights = np.random.default_rng(seed).normal(0.0, 0.1, policy.weights.shape)
    return policy


def objective(policy: LinearPolicy, chosen: np.ndarray, weight: np.ndarray) -> float:
    start = np.array([0, 3, 5])
    return float(weight @ np.log(policy.probabilities(DECISIONS)[start + chosen]))


def test_the_gradient_is_that_of_finite_differences() -> None:
    policy, chosen, weight = random_policy(0), np.array([2, 0, 0]), np.array([0.7, -1.3, 2.0])
    gradient = policy.gradient(DECISIONS, chosen, weight)
    # The third decision has one option, so that nothing can be learned from it.
    touched = np.argwhere(gradient != 0.0)
    assert len(touched) > 50
    for row, column in touched[:: len(touched) // 40]:
        either = []
        for step in (1e-6, -1e-6):
            moved = random_policy(0)
            moved.weights[row, column] += step
            either.append(objective(moved, chosen, weight))
        assert gradient[row, column] == pytest.approx((either[0] - either[1]) / 2e-6, abs=1e-7)


def test_an_untrained_policy_likes_all_options_alike() -> None:
    expected = [1 / 3] * 3 + [1 / 2] * 2 + [1.0]
    assert LinearPolicy().probabilities(DECISIONS).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_step_makes_what_has_credit_likelier_and_what_has_debit_less_likely(sign: float) -> None:
    policy = random_policy(1)
    before = policy.probabilities(DECISIONS)
    policy.restart(0.01)
    policy.learn(DECISIONS[:2], np.array([2, 1]), sign * np.ones(2))
    moved = (policy.probabilities(DECISIONS) - before) * sign
    assert moved[2] > 0
    assert moved[4] > 0
    assert moved[3] < 0


def test_adam_by_hand() -> None:
    # First step: m̂ = g, v̂ = g², so rate · sign(g), whatever the size of g.
    adam = Adam(0.5)
    assert adam.step(np.array([4.0, -0.01, 0.0])).tolist() == pytest.approx(
        [0.5, -0.5, 0.0], rel=1e-5
    )
    # Second: m = .9·.4 + .1·(-4) = -.04, over 1 - .81; v = .016·1.999…: v̂ = 16.
    assert adam.step(np.array([-4.0, 0.0, 0.0]))[0] == pytest.approx(0.5 * (-0.04 / 0.19) / 4.0)


def test_a_conversation_holds_every_decision() -> None:
    decisions = [DECISIONS[0], DECISIONS[1]]
    messages = [*prompt(decisions), {"role": "assistant", "content": "look"}]
    assert [message["role"] for message in messages] == [
        "system",
        *["user", "assistant"] * 2,
    ]
    assert decisions_of(messages) == (decisions, [0, 0])


class Uniform:
    """Every option alike."""

    def probabilities(self, decisions: Sequence[Decision]) -> np.ndarray:
        return np.concatenate([np.full(len(d.options), 1 / len(d.options)) for d in decisions])


@pytest.mark.parametrize("own", [False, True])
def test_episodes_succeed_as_often_as_exact_values_say(own: bool, tasks: list[Task]) -> None:
    # A horizon that blind choice reaches now and then; milestones make success rarer than reward.
    horizon, episodes = 60, 400
    played = play(
        tasks,
        None if own else Uniform(),  # type: ignore[arg-type]
        episodes=episodes,
        horizon=horizon,
        seed=[0],
    )
    for number, task in enumerate(tasks):
        size = np.diff(task.model.offsets)
        policy = task.policy if own else np.repeat(1 / size, size)
        exact = policy_values(task.model, policy, horizon=horizon, gamma=1.0)[0, task.start]
        share = np.mean([each.success for each in played if each.task == number])
        assert share == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / episodes) + 1e-3)


@pytest.fixture(scope="module")
def log(tasks: list[Task]) -> pl.DataFrame:
    """Two groups of four episodes by the tasks' own policies, with prompts; some succeed."""
    played = play(tasks[:2], None, episodes=4, horizon=HORIZON, seed=[3])
    return step_log(played, run="r", version=7).with_columns(conversations(played))


def test_a_log_of_episodes_says_how_they_went(log: pl.DataFrame) -> None:
    assert log["group_id"].unique().sort().to_list() == [
        "r/policy-007/task-000",
        "r/policy-007/task-001",
    ]
    ends = log.filter("done")
    assert ends.height == log["trajectory_id"].n_unique() == 8
    assert 0 < ends["success"].sum() < 8
    # An episode is over when it is solved or when its steps are used up.
    assert (ends["success"] != ends["truncated"]).all()
    assert (ends.filter("truncated")["step_index"] == HORIZON - 1).all()
    assert ends.select(pl.col("reward").cast(pl.Boolean) == pl.col("success")).to_series().all()
    assert log.filter(~pl.col("done"))["reward"].sum() == 0.0


@pytest.mark.parametrize("masked", [False, True])
def test_the_policy_learns_from_what_the_export_trains_and_from_nothing_else(
    masked: bool, log: pl.DataFrame, tmp_path: Path
) -> None:
    trained_on = (pl.col("step_index") > 0) | pl.lit(not masked)
    given = log.with_columns(gradient_mask=trained_on)
    space, rows = exported(given, "grpo", create("grpo"), tmp_path, embedder="tfidf")
    assert rows is not None
    through_files, directly = random_policy(2), random_policy(2)
    for policy in (through_files, directly):
        policy.restart(0.1)
    Lesson.of_export(rows).teach(through_files)
    order = ["trajectory_id", "step_index"]
    credit = create("grpo")(space.steps, space).table().sort(order)
    decisions: list[Decision] = []
    chosen: list[int] = []
    for _, steps in log.sort(order).group_by("trajectory_id", maintain_order=True):
        # The last prompt of an episode has all that was read before.
        messages = json.loads(steps["messages"][-1])
        asked, answered = decisions_of(
            [*messages, {"role": "assistant", "content": steps["action"][-1]}]
        )
        assert [each.observation for each in asked] == steps["observation"].to_list()
        decisions += asked
        chosen += answered
    kept = np.flatnonzero(given.sort(order)["gradient_mask"])
    assert (len(kept) < len(log)) == masked
    advantage = credit["advantage"].to_numpy().astype(np.float32).astype(np.float64)[kept]
    directly.learn(
        [decisions[step] for step in kept], np.array(chosen)[kept], advantage / len(kept)
    )
    np.testing.assert_allclose(through_files.weights, directly.weights, atol=1e-9)
    assert not np.array_equal(directly.weights, random_policy(2).weights)


def test_where_nothing_is_to_be_learned_there_is_no_batch(
    log: pl.DataFrame, tmp_path: Path
) -> None:
    masked = log.with_columns(gradient_mask=pl.lit(value=False))
    equal = log.with_columns(reward=pl.lit(0.0))
    for given in (masked, equal):
        space, rows = exported(given, "grpo", create("grpo"), tmp_path, embedder="tfidf")
        assert rows is None
        assert len(space.steps) == len(log)


@pytest.mark.parametrize("name", ["grpo", "history-gae"])
def test_the_export_carries_what_is_learned_from(
    name: str, tasks: list[Task], tmp_path: Path
) -> None:
    episodes = play(tasks, None, episodes=8, horizon=HORIZON, seed=[7])
    given = step_log(episodes, run="r", version=0)
    scorer = Scorer(create(name), "tfidf", StateText(), tmp_path)
    _, advantage = scorer(given)
    lesson = Lesson.of_episodes(episodes, advantage)
    assert lesson.weight.any()
    given = given.with_columns(conversations(episodes))
    scorer.check(given, name, lesson)
    wrong = replace(lesson, weight=lesson.weight + 1e-9)
    with pytest.raises(ArtefactError, match=f"does not carry the credit of {name}"):
        scorer.check(given, name, wrong)


def test_a_method_that_learns_from_earlier_batches_sees_them(
    tasks: list[Task], tmp_path: Path
) -> None:
    method = create("history-gae")
    logs = [
        step_log(
            play(tasks, None, episodes=8, horizon=HORIZON, seed=[7, version]),
            run="r",
            version=version,
        )
        for version in range(2)
    ]
    scorer = Scorer(method, "tfidf", StateText(), tmp_path)
    alone, pooled = [scorer(log)[1] for log in logs]
    apart = Scorer(method, "tfidf", StateText(), tmp_path)
    assert np.array_equal(apart(logs[0])[1], alone)
    fresh = Scorer(method, "tfidf", StateText(), tmp_path)(logs[1])[1]
    assert len(pooled) == logs[1].height
    assert not np.allclose(pooled, fresh)


def test_credit_of_zero_moves_nothing_even_with_momentum() -> None:
    policy = random_policy(4)
    policy.restart(0.1)
    policy.learn(DECISIONS, np.zeros(3, dtype=np.int64), np.ones(3))
    before = policy.weights.copy()
    policy.learn(DECISIONS, np.zeros(3, dtype=np.int64), np.zeros(3))
    assert np.array_equal(policy.weights, before)


@dataclass(frozen=True, kw_only=True)
class Negated(GRPO):
    """GRPO with the sign turned: what it rewards is wrong."""

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        return {
            name: replace(term, factor=-term.factor)
            for name, term in super().terms(steps, space).items()
        }


def test_turned_credit_trains_worse_than_no_training() -> None:
    condition = conditions(["household"], ["paraphrase=0"])[0]
    able = replace(condition.world, skill=0.9, skill_spread=0.0)  # type: ignore[type-var]
    recipe = replace(RECIPES["linear"], pool=40, held_out=30, iterations=12, evaluate_every=4)
    run = Run(
        condition=replace(condition, world=able),
        seed=0,
        methods={"grpo": create("grpo"), "negated": Negated()},
        embedder="tfidf",
        recipe=recipe,
    )
    right, wrong = run.rows().iter_rows(named=True)
    assert right["start"] == wrong["start"]
    # Of .21 at the start 12 batches leave .03 where the sign is wrong and .20 where it is right.
    assert wrong["success"][-1] < 0.5 * wrong["start"]
    assert wrong["final"] < right["final"] - 0.05
    assert wrong["area"] < right["area"] - 0.05


def test_a_state_text_is_part_of_what_only_methods_that_compare_texts_are(
    log: pl.DataFrame, tmp_path: Path
) -> None:
    methods = {name: create(name) for name in ("grpo", "proxmo")}
    with_actions = StateText(template="{actions} {observation}", last_actions=2)
    run = Run(
        condition=BASE,
        seed=0,
        methods=methods,
        embedder="tfidf",
        recipe=RECIPES["linear"],
        state_text=with_actions,
    )
    plain = replace(run, state_text=StateText())
    assert run.keys["grpo"] == plain.keys["grpo"]
    assert run.keys["proxmo"] != plain.keys["proxmo"]
    credits = []
    for state_text in (None, with_actions):
        given = ("proxmo", methods["proxmo"], tmp_path)
        space, _ = exported(log, *given, embedder="tfidf", state_text=state_text)
        credits.append(methods["proxmo"](space.steps, space).advantage)
    plain_credit, text_credit = credits
    assert not np.allclose(plain_credit, text_credit)


def test_area_and_end_of_a_curve_by_hand() -> None:
    course = Course(samples=[0, 10, 20, 30], success=[0.0, 0.2, 0.4, 0.9], steps=4, groups=2)
    row = course.row()
    # Trapezoids of width 10: 1 + 3 + 6.5, over 30; and (.2 + .4 + .9) / 3.
    assert row["area"] == pytest.approx(10.5 / 30)
    assert LAST == 3
    assert row["final"] == pytest.approx(0.5)
    # A short course does not end where it began: (.3 + .5) / 2.
    short = Course(samples=[0, 10, 20], success=[0.1, 0.3, 0.5], steps=4, groups=2).row()
    assert short["final"] == pytest.approx(0.4)


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """Runs of a blink: they learn next to nothing."""
    tiny = replace(RECIPES["linear"], pool=6, held_out=4, batch=2, imitation_steps=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "linear", replace(tiny, evaluate_every=2, iterations=3))
        yield


def trained(directory: Path, **options: object) -> Training:
    chosen = {
        "methods": {"grpo": create("grpo")},
        "names": ["base", "paraphrase=1"],
        "seeds": 2,
        "workers": 1,
    }
    return training(directory, **{**chosen, **options})  # type: ignore[arg-type]


Whole = tuple[Path, Training]


@pytest.fixture(scope="module")
def whole(small: None, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A benchmark that nothing interrupted, and where it is."""
    folder = tmp_path_factory.mktemp("training")
    return folder, trained(folder)


TABLES = ("results.parquet", "summary.parquet", "curves.parquet")


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, undisturbed = whole
    original = Run.rows
    done: list[Run] = []

    def killed(run: Run) -> pl.DataFrame:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(run)
        return original(run)

    monkeypatch.setattr(Run, "rows", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path)
    assert len(list((tmp_path / "shards").iterdir())) == 3
    assert not (tmp_path / "results.parquet").exists()
    # Seeds come one after the other: both conditions have had one of each method but the last.
    assert {run.seed for run in done} == {0}
    monkeypatch.setattr(Run, "rows", original)
    assert trained(tmp_path).results.equals(undisturbed.results)
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
    # Nothing is trained twice, under whatever name.
    monkeypatch.setattr(Run, "rows", killed)
    named = {"again": create("grpo"), "grpo": create("grpo")}
    found = trained(tmp_path, methods=named).results
    twice = [found.filter(pl.col("method") == name).drop("method") for name in named]
    assert twice[0].equals(twice[1])
    # A file that was cut off is named.
    shard = next((tmp_path / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(ArtefactError, match=f"{shard.name} cannot be read"):
        trained(tmp_path)
    # Those of another benchmark have nothing to do here, and are not to be removed.
    pl.DataFrame({"key": ["a"], "spearman": [0.5]}).write_parquet(shard)
    with pytest.raises(ArtefactError, match=r"has other columns .* a directory of its own"):
        trained(tmp_path)


def test_all_methods_of_a_seed_begin_alike_and_have_equal_budgets(whole: Whole) -> None:
    folder, found = whole
    assert found.references == ["grpo", CONTROL]
    assert found.results["method"].unique(maintain_order=True).to_list() == ["grpo", CONTROL]
    # Two tasks, eight episodes each; an evaluation every two batches, and at the end.
    assert found.results["samples"].to_list() == [[0, 32, 48]] * 8
    alike = found.results.group_by("condition", "seed").agg(pl.col("start").n_unique())
    assert alike["start"].to_list() == [1] * 4
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["recipe"]["batch"] == 2
    assert manifest["seeds"] == 2
    shares = found.results.group_by("condition").agg(pl.col("singletons").mean())
    singletons = dict(shares.iter_rows())
    assert singletons["paraphrase=1"] > 0.9
    assert singletons["base"] < 0.6


def test_a_start_is_the_same_whatever_was_trained_from_it() -> None:
    recipe = replace(RECIPES["linear"], pool=3, held_out=1, imitation_steps=2, imitation_batch=10)
    first = start(BASE, recipe, 0)
    start.cache_clear()
    again = start(BASE, recipe, 0)
    assert np.array_equal(first.policy.weights, again.policy.weights)  # type: ignore[attr-defined]
    other = start(BASE, recipe, 1).policy.weights  # type: ignore[attr-defined]
    assert not np.array_equal(first.policy.weights, other)  # type: ignore[attr-defined]


def results(**finals: Sequence[float] | np.ndarray) -> pl.DataFrame:
    """Results of some methods in one condition: a value per seed, reached in a straight line."""
    rows = [
        {
            "family": "f",
            "condition": "c",
            "seed": seed,
            "method": method,
            "samples": [0, 10],
            "success": [0.1, final],
            "start": 0.1,
            "area": (0.1 + final) / 2,
            "final": final,
        }
        for method, values in finals.items()
        for seed, final in enumerate(values)
    ]
    return pl.DataFrame(rows)


def test_tables_compare_with_the_reference_and_with_the_control() -> None:
    # b is .2 above a in every seed; the control is .1 above a, so b is .1 above it.
    own = np.array([0.2, 0.3, 0.4, 0.5, 0.6])
    found = results(a=own, b=own + 0.2, control=own + 0.1)
    rows = training_rows(summaries(found, ["a", "control"]), "f", "c", ["a", "control"])
    assert [row["method"] for row in rows] == ["b", "control", "a"]
    assert rows[0]["final"].startswith(".600 [")
    assert rows[0]["final"].endswith("▲")
    assert rows[0]["final − control"] == "+.100 [+.100, +.100] ▲"
    assert rows[0]["area − control"] == "+.050 [+.050, +.050] ▲"
    assert rows[1]["final − control"] == "–"
    assert rows[2]["final − control"] == "-.100 [-.100, -.100] ▼"
    assert rows[2]["final"].startswith(".400 [")
    # Four seeds that agree are too few to say so.
    few = summaries(found.filter(pl.col("seed") < 4), ["a", "control"])
    assert set(few["verdict"]) == {None, "unresolved"}


def test_differences_that_touch_zero_are_unresolved() -> None:
    row = {"difference": 0.02, "difference_low": -0.01, "difference_high": 0.05}
    assert difference({**row, "verdict": "unresolved"}) == "+.020 [-.010, +.050] ~"


def test_curves_have_a_point_an_evaluation() -> None:
    curves = learning_curves(results(a=[0.2, 0.4], b=[0.4, 0.6]), "a")
    of_b = curves.filter(pl.col("method") == "b")
    assert of_b["samples"].to_list() == [0, 10]
    assert of_b["value"].to_list() == pytest.approx([0.1, 0.5])
    figure = drawn_curves(curves)
    lines = {trace.name: list(trace.y) for trace in figure.data if trace.name}
    assert lines == {"a": pytest.approx([0.1, 0.3]), "b": pytest.approx([0.1, 0.5])}


def test_curves_of_larger_groups_are_of_more_episodes():
    one = results(a=[0.2, 0.4], b=[0.4, 0.6])
    samples = pl.Series("samples", [[0, 40]] * one.height)
    larger = one.with_columns(samples, condition=pl.lit("group=32"))
    curves = learning_curves(pl.concat([one, larger]), "a").filter(method="b")
    assert curves.select("condition", "samples").rows() == [
        ("c", 0),
        ("group=32", 0),
        ("c", 10),
        ("group=32", 40),
    ]


def test_arguments_that_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown policy 'mlp'"):
        training(tmp_path, policy="mlp")
    with pytest.raises(ParameterError, match="iterations must be at least 1, got 0"):
        training(tmp_path, iterations=0)
    with pytest.raises(UnknownNameError, match="unknown reference 'rloo'"):
        training(tmp_path, reference="rloo")
    with pytest.raises(ParameterError, match="no conditions are given"):
        training(tmp_path, names=[])
    with pytest.raises(ParameterError, match="no methods are given"):
        training(tmp_path, methods={})
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small")
def test_the_command_prints_tables_and_writes_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", "training", "-m", "grpo norm=mean", "--quick", "--workers", "1"]
    arguments += ["--seeds", "1", "-o", str(tmp_path)]
    monkeypatch.setattr(cli_module, "QUICK_ITERATIONS", 2)
    monkeypatch.setattr(sys, "argv", ["workbench", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    printed = capsys.readouterr().out
    assert "household: base" in printed
    assert "mean over conditions" not in printed
    assert "final − return-to-go" in printed
    assert {path.name for path in tmp_path.iterdir()} == {
        "shards",
        "results.parquet",
        "summary.parquet",
        "curves.parquet",
        "manifest.json",
        "plotly.min.js",
        "household-curves.html",
    }
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["command"].startswith("workbench bench training -m 'grpo norm=mean' --quick")


def test_a_transformer_learns_what_has_credit() -> None:
    from workbench.bench.transformer import TransformerPolicy

    policy = TransformerPolicy(0)
    sums = np.add.reduceat(policy.probabilities(DECISIONS), [0, 3, 5])
    assert sums.tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert np.array_equal(
        policy.probabilities(DECISIONS), TransformerPolicy(0).probabilities(DECISIONS)
    )
    # What a decision is batched with does not matter.
    alone = np.concatenate([policy.probabilities([each]) for each in DECISIONS])
    np.testing.assert_allclose(policy.probabilities(DECISIONS), alone, atol=1e-6)
    policy.restart(0.01)
    before = policy.probabilities(DECISIONS)
    policy.learn(DECISIONS, np.array([2, 0, 0]), np.array([1.0, -1.0, 0.0]))
    after = policy.probabilities(DECISIONS)
    assert after[2] > before[2]
    assert after[3] < before[3]
    policy.learn(DECISIONS, np.array([2, 0, 0]), np.zeros(3))
    assert np.array_equal(policy.probabilities(DECISIONS), after)


def test_importing_the_benchmarks_loads_no_torch() -> None:
    script = "import sys, workbench.bench\nprint('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_worker_ends_with_a_parent_that_was_killed() -> None:
    script = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import sys, time; "
        "from workbench.bench.shards import _end_with; _end_with(int(sys.argv[1])); "
        "print(0, flush=True); time.sleep(60)', str(os.getpid())], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    for _ in range(100):
        if not Path(f"/proc/{child}").exists():
            break
        time.sleep(0.1)
    else:
        pytest.fail("the worker is still there ten seconds after its parent")
