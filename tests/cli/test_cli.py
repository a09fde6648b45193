"""The command line as a user types it: names, columns, exit codes and messages are a contract."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import tiny_policy
import typer.main
from commands import Run, refused, small
from log_files import step, write_lines
from narrow import some
from places import DATA, SAMPLES

import workbench
from workbench.cli.inputs import note_other_log
from workbench.cli.options import as_json_text
from workbench.cli.root import app
from workbench.log.credit import ScoredCredit, read_credit
from workbench.states.embedders.sentence_transformer import SentenceEmbedder
from workbench.wording import number
from workbench.workspace.marks import Marks
from workbench.workspace.opened import OpenedLog

LOG = str(DATA / "household.parquet")


def test_score_writes_the_columns_of_the_contract(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet", reward=pl.Series([0.0, 1.0, 0.0, None, 0.0]))
    code, _, _ = run(
        "score",
        log,
        "-m",
        "proxmo",
        "-p",
        "temperature=0.5",
        "--embedder",
        "tfidf",
        "--cache",
        tmp_path / "vectors",
        "-o",
        "credit.parquet",
    )
    assert code == 0
    credit = pl.read_parquet("credit.parquet")
    assert credit.columns == [
        "group_id",
        "trajectory_id",
        "step_index",
        "advantage",
        "term_episode",
        "term_step",
        "success_rate",
        "excluded",
        "reward",
        "in_group_statistics",
        "gradient_mask",
    ]
    assert credit.select("group_id", "trajectory_id", "step_index").rows() == [
        ("g", "a", 0),
        ("g", "a", 1),
        ("g", "b", 0),
        ("h", "c", 0),
        ("h", "d", 0),
    ]
    assert credit["advantage"].is_null().to_list() == [False, False, False, True, False]
    assert credit["excluded"][3] == "reward is null at step 0"
    made_by = json.loads(pl.read_parquet_metadata("credit.parquet")["workbench"])
    assert made_by["method"]["name"] == "proxmo"
    assert made_by["method"]["fields"]["temperature"] == 0.5
    assert made_by["embedder"]["name"] == "tfidf"
    assert len(made_by["log"]["sha256"]) == 64


def test_values_after_p_are_json_where_they_parse(run: Run):
    code, _, _ = run(
        "score", LOG, "-m", "grpo", "-p", "norm=mean", "-p", "ddof=0", "-o", "c.parquet"
    )
    assert code == 0
    refused(run("score", LOG, "-m", "grpo", "-p", "ddof=zero", "-o", "c.parquet"), "ddof must be")
    refused(run("score", LOG, "-m", "grpo", "-p", "ddof", "-o", "c.parquet"), "FIELD=VALUE")


def test_explain_says_what_an_advantage_is_made_of(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    code, out, _ = run("explain", log, "-m", "gigpo", "--step", "a:0", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["trajectory_id"], found["step_index"]) == ("a", 0)
    assert sum(found["terms"].values()) == pytest.approx(found["advantage"])
    assert sum(part["value"] for part in found["parts"]) == pytest.approx(found["advantage"])
    members = [peer["trajectory_id"] for peer in found["peers"] if peer["term"] == "step"]
    assert members == ["a", "b"]
    code, out, _ = run("explain", log, "-m", "gigpo", "--step", "a:0")
    assert code == 0
    assert "episode" in out
    assert "anchor_group_size 2" in out


def test_neighbours_cross_groups(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    code, out, _ = run(
        "neighbours", log, "--step", "a:0", "-k", "2", "--embedder", "tfidf", "--json"
    )
    assert code == 0
    nearest = json.loads(out)
    assert nearest[0]["text"] == "red door"
    assert nearest[0]["similarity"] == pytest.approx(1.0)
    assert (nearest[0]["steps"], nearest[0]["groups"]) == (3, 2)


def test_facts_and_methods_are_json(run: Run):
    code, out, _ = run("facts", LOG, "--json")
    assert code == 0
    assert json.loads(out)["groups"] == 20
    code, out, _ = run("methods", "--json")
    assert code == 0
    assert set(json.loads(out)) >= {"grpo", "rloo", "gigpo", "proxmo"}
    for command in (("facts", LOG), ("methods",), ("formats",)):
        assert run(*command)[0] == 0


def test_compare_and_export(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    for method in ("grpo", "gigpo"):
        run("score", log, "-m", method, "-o", f"{method}.parquet")
    code, out, _ = run("compare", "grpo.parquet", "gigpo.parquet", "--json")
    assert code == 0
    assert json.loads(out)["names"] == ["grpo", "gigpo"]
    code, out, _ = run(
        "export", log, "--credit", "gigpo.parquet", "--to", "weighted-batch", "-o", "b"
    )
    assert code == 0
    assert (tmp_path / "b" / "manifest.json").is_file()
    refused(
        run("export", log, "--credit", "gigpo.parquet", "--to", "weighted-batch", "-o", "b"),
        "overwrite",
    )
    refused(run("export", log, "--credit", "gigpo.parquet", "--to", "verk", "-o", "c"), "verk")


def test_compare_names_files_where_one_method_comes_twice(run: Run):
    for temperature in (0.1, 0.2):
        run(
            "score",
            LOG,
            "-m",
            "proxmo",
            "-p",
            f"temperature={temperature}",
            "--embedder",
            "tfidf",
            "-o",
            f"{temperature}.parquet",
        )
    code, out, _ = run("compare", "0.1.parquet", "0.2.parquet", "--json")
    assert code == 0
    assert json.loads(out)["names"] == ["proxmo (0.1.parquet)", "proxmo (0.2.parquet)"]


def test_import_reports_and_writes_a_log(run: Run, tmp_path: Path):
    chat = SAMPLES / "openai_chat.jsonl"
    code, out, _ = run("import", chat, "-o", "log.parquet")
    assert code == 0
    assert "group sizes       4 in 1 group" in out
    assert pl.read_parquet(tmp_path / "log.parquet").height == 9


def test_quarantine_sets_aside_and_says_how_many(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet", step_index=pl.Series([0, 2, 0, 0, 0]))
    refused(run("validate", log), "has gaps", "log.parquet:2 (trajectory 'a' has no step 1)")
    code, out, _ = run("validate", log, "--quarantine", "bad.parquet")
    assert code == 0
    assert "1 trajectory set aside in bad.parquet" in out
    assert pl.read_parquet("bad.parquet")["trajectory_id"].to_list() == ["a", "a"]


def test_simulate_makes_the_bundled_log(run: Run):
    code, _, _ = run(
        "simulate",
        "household",
        "--tasks",
        "2",
        "--rollouts",
        "8",
        "--seed",
        "0",
        "-o",
        "two.parquet",
    )
    assert code == 0
    two, bundled = pl.read_parquet("two.parquet"), pl.read_parquet(LOG)
    first = bundled.filter(pl.col("group_id").is_in(two["group_id"].unique().implode()))
    assert two.equals(first)
    refused(run("simulate", "household", "-p", "slips=2", "-o", "x.parquet"), "slips must be in")
    refused(run("simulate", "castle", "-o", "x.parquet"), "castle", "household")


BAD_LOGS = {
    "not Parquet": (b"hello", "x.parquet"),
    "empty file": (b"", "x.parquet"),
    "truncated": (b"PAR1" + b"\0" * 20, "x.parquet"),
}


@pytest.mark.parametrize("name", BAD_LOGS)
def test_a_file_that_is_no_log_is_refused_by_name(run: Run, tmp_path: Path, name: str):
    content, file = BAD_LOGS[name]
    (tmp_path / file).write_bytes(content)
    for command in (("validate", file), ("facts", file), ("run", file, "-o", "work")):
        refused(run(*command), file)


def test_a_file_that_is_not_there_is_refused(run: Run):
    refused(run("validate", "nowhere.parquet"), "nowhere.parquet", "does not exist")
    refused(run("compare", "a.parquet", "b.parquet"), "a.parquet")
    refused(run("run", "nowhere.parquet", "-o", "work"), "nowhere.parquet")


def test_a_place_that_cannot_be_written_is_refused(run: Run, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    refused(run("score", LOG, "-m", "grpo", "-o", "file/credit.parquet"), "file")


def test_names_that_do_not_exist_are_answered_with_those_that_do(run: Run):
    refused(run("score", LOG, "-m", "grop", "-o", "c.parquet"), "did you mean 'grpo'")
    refused(run("score", LOG, "-m", "grpo:verk", "-o", "c.parquet"), "verl-agent")
    refused(run("explain", LOG, "-m", "grpo", "--step", "nobody:0"), "nobody", "it has")
    refused(run("explain", LOG, "-m", "grpo", "--step", "a"), "TRAJECTORY:INDEX")
    refused(run("validate", LOG, "--format", "parquett"), "parquet")
    refused(run("facts", "hosehold"), "does not exist", "did you mean 'household'?")


def test_psc_on_without_a_notion_of_success_says_what_to_do(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet", reward=pl.Series([0.0, 0.7, 0.1, 0.3, 0.2]))
    arguments = (
        "score",
        log,
        "-m",
        "proxmo",
        "-p",
        "psc=on",
        "--embedder",
        "tfidf",
        "-o",
        "c.parquet",
    )
    refused(run(*arguments), "success_threshold")


@pytest.mark.parametrize(
    ("columns", "zero"),
    [
        ({"observation": pl.lit("")}, False),
        ({"observation": pl.lit("word")}, False),
        ({"reward": pl.lit(0.0)}, True),
        ({"reward": pl.lit(1.0)}, False),
        ({"reward": pl.Series([0.0, float("inf"), 0.0, 1.0, 0.0])}, False),
        ({"observation": pl.lit("a b " * 250_000)}, False),
    ],
    ids=["empty text", "one word", "all fail", "constant", "infinite", "1 MB observations"],
)
def test_odd_logs_go_all_the_way(run: Run, tmp_path: Path, columns: dict[str, object], zero: bool):
    log = small(tmp_path / "log.parquet", **columns)
    code, out, err = run("run", log, "-o", "work", "--embedder", "tfidf")
    assert code == 0, err
    credits = sorted(Path("work/credit").glob("*/credit.parquet"))
    assert len(credits) == 3
    for path in credits:
        credit = pl.read_parquet(path)
        assert credit.height == 5
        scored = credit.filter(pl.col("excluded").is_null())["advantage"]
        assert scored.is_finite().all()
        assert credit.filter(pl.col("excluded").is_not_null())["advantage"].is_null().all()
        if zero:
            assert (credit["advantage"] == 0.0).all()
    assert "next: workbench explain" in out
    assert "\n\n\n" not in out


def test_one_trajectory_of_one_step_goes_all_the_way(run: Run, tmp_path: Path):
    log = tmp_path / "one.parquet"
    pl.read_parquet(small(tmp_path / "log.parquet")).filter(
        pl.col("trajectory_id") == "c"
    ).write_parquet(log)
    code, _, err = run("run", log, "-o", "work", "--embedder", "tfidf")
    assert code == 0, err
    for path in Path("work/credit").glob("*/credit.parquet"):
        assert pl.read_parquet(path)["advantage"].to_list() == [0.0]


def test_a_log_without_any_usable_reward_is_refused_with_the_reason(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet", reward=pl.lit(None, dtype=pl.Float64))
    refused(run("run", log, "-o", "work", "--embedder", "tfidf"), "every trajectory is excluded")
    assert run("validate", log)[0] == 0


def test_a_failing_command_leaves_no_file_under_the_final_name(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet", reward=pl.lit(None, dtype=pl.Float64))
    refused(run("score", log, "-m", "grpo", "-o", "credit.parquet"))
    assert not Path("credit.parquet").exists()


def test_a_workspace_is_its_log(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    assert run("run", log, "-o", "work", "--embedder", "tfidf")[0] == 0
    code, out, _ = run("facts", "work", "--json")
    assert code == 0
    assert json.loads(out)["rows"] == 5
    other = small(tmp_path / "other.parquet", action=pl.lit("wait"))
    assert run("run", other, "-o", "work", "--embedder", "tfidf")[0] == 0
    refused(run("facts", "work"), "workspace of several logs")


def test_export_says_what_the_batch_is_worth_and_what_to_switch_off(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    run("score", log, "-m", "grpo", "-o", "c.parquet")
    tokenizer = str(tiny_policy.tokenizer(tmp_path / "tokenizer"))
    export = ("export", log, "--credit", "c.parquet", "--to", "verl", "-o", "batch")
    refused(run(*export), "verl trains on token ids", "--tokenizer")
    code, out, _ = run(*export, "--tokenizer", tokenizer, "-p", "top_share=0.5")
    assert code == 0
    for words in ("trained steps", "equal steps", "of the weight", "verl: algorithm.adv_estimator"):
        assert words in out
    manifest = json.loads((tmp_path / "batch" / "manifest.json").read_text())
    assert manifest["options"]["tokenizer"] == manifest["tokens"]["tokenizer"] == tokenizer
    group = pl.read_parquet(log)["group_id"][0]
    code, out, _ = run(*export[:4], "-o", "one", "--group", group)
    assert code == 0
    assert "turn_off" in out
    assert json.loads((tmp_path / "one" / "manifest.json").read_text())["counts"]["groups"] == 1
    refused(run(*export[:4], "-o", "no", "--task", "a"), "no column 'task'")


def test_export_takes_or_leaves_marked_steps(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    run("score", log, "-m", "grpo", "-o", "c.parquet")
    export = ("export", log, "--credit", "c.parquet", "--marks", "kept", "-p")
    refused(run(*export, "marked=only", "-o", "no"), "no step of this log is marked", "kept")
    refused(run(*export, "marked=some", "-o", "no"), "marked must be")
    steps = pl.read_parquet(log).sort("group_id", "trajectory_id", "step_index")
    first = steps.row(0, named=True)
    step = (first["trajectory_id"], first["step_index"])
    Marks(tmp_path / "kept").put(step, first["action"], mark="+")
    for marked, trained in (("only", 1), ("without", steps.height - 1)):
        code, _, _ = run(*export, f"marked={marked}", "-o", marked)
        assert code == 0
        manifest = json.loads((tmp_path / marked / "manifest.json").read_text())
        assert manifest["options"]["marked"] == marked
        assert manifest["counts"]["by_mark"] == steps.height - trained


def test_a_run_exports_with_the_same_options(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    tokenizer = str(tiny_policy.tokenizer(tmp_path / "tokenizer"))
    command: tuple[str | Path, ...] = ("run", log, "-o", "work", "-m", "grpo", "--to", "verl")
    refused(run(*command), "verl trains on token ids", "--tokenizer")
    command += ("--tokenizer", tokenizer)
    both = (*command, "-m", "gigpo", "-p", "clip=1")
    refused(run(*both), "or export.OPTION=VALUE, got 'clip'")
    refused(run(*command, "-p", "clip=1"), "grpo", "'clip'")
    refused(run(*command, "-p", "export.klip=1"), "unknown export option 'klip'", "'clip'")
    refused(run(*command, "-p", "export.tokenizer=x"), "tokenizer is given twice")
    options = ("--group", "g", "-p", "export.clip=0.5", "-p", "eps=0.1")
    code, out, err = run(*command, *options)
    assert code == 0, err
    (folder,) = (tmp_path / "work" / "exports").iterdir()
    assert f"work/exports/{folder.name} (grpo)" in out
    manifest = json.loads((folder / "manifest.json").read_text())
    recorded = manifest["options"]
    assert (recorded["clip"], recorded["groups"]) == (0.5, ["g"])
    assert recorded["tokenizer"] == tokenizer
    assert manifest["method"]["fields"]["eps"] == 0.1
    # What `export` makes of the same credit and options is the same.
    assert run("export", "work", "--credit", next((tmp_path / "work").glob("credit/*/*.parquet")),
               "--to", "verl", "-o", "batch", "--tokenizer", tokenizer, *options[:2],
               "-p", "clip=0.5")[0] == 0  # fmt: skip
    assert (tmp_path / "batch" / "manifest.json").read_text() == json.dumps(
        manifest, indent=1, ensure_ascii=False
    ) + "\n"


def test_a_batch_that_would_train_nothing_is_no_batch(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet", reward=pl.Series([0.0, 1.0, 1.0, 1.0, 1.0]))
    code, out, err = run("run", log, "-o", "work", "-m", "grpo")
    assert code == 0, err
    assert "note (grpo): no batch is exported" in out
    assert "none of its 5 trained steps has an advantage" in out
    assert "  batch " not in out
    credit = next(Path("work").glob("credit/*/*.parquet"))
    refused(run("export", "work", "--credit", credit, "-o", "batch"), "would train nothing")
    assert not Path("batch").exists()


def test_export_options_have_types(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    run("score", log, "-m", "grpo", "-o", "c.parquet")
    export = ("export", log, "--credit", "c.parquet", "-o", "batch")
    refused(run(*export, "-p", "overwrite=no"), "overwrite must be a bool")
    refused(run(*export, "-p", "weight=[1]"), "weight must be one of")
    assert run(*export)[0] == 0
    refused(run(*export), "--overwrite")
    assert run(*export, "-p", "export.overwrite=true")[0] == 0
    assert run(*export, "--overwrite")[0] == 0


def test_what_is_not_there_may_be_left_out_whether_or_not_a_log_was_written(
    run: Run, tmp_path: Path
):
    log = small(tmp_path / "log.parquet")
    for _ in range(2):
        refused(run("import", log, "no.jsonl", "-o", "out.parquet"), "does not exist", "--skip-bad")
        code, out, _ = run("import", log, "no.jsonl", "--skip-bad", "-o", "out.parquet")
        assert code == 0
        assert "dropped           1 record: files: does not exist, at no.jsonl" in out


def test_an_outcome_on_every_step_is_noticed(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet", reward=pl.Series([1.0, 1.0, 0.0, 1.0, 0.0]))
    assert "outcome copied onto each step" in run("validate", log)[1]
    assert "outcome copied" not in run("validate", small(tmp_path / "log.parquet"))[1]


def test_originals_are_never_written_over(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet", step_index=pl.Series([0, 2, 0, 0, 0]))
    before = log.read_bytes()
    refused(run("validate", log, "--quarantine", log), "would destroy it")
    refused(run("import", log, "-o", log), "would destroy it")
    refused(run("score", log, "-m", "grpo", "-o", "log.parquet"), "would destroy it")
    refused(run("score", LOG, "-m", "grpo", "-o", "."), "is a folder")
    assert log.read_bytes() == before


def test_cached_vectors_are_used_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = small(tmp_path / "log.parquet")
    arguments = ("score", log, "-m", "proxmo", "--cache", "vectors", "-o", "c.parquet")
    assert run(*arguments)[0] == 0
    first = Path("c.parquet").read_bytes()
    assert list(Path("vectors").rglob("*.npy"))

    def forbidden(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(SentenceEmbedder, "_encode", forbidden)
    assert run(*arguments)[0] == 0
    assert Path("c.parquet").read_bytes() == first


def test_the_next_command_explains_the_credit_that_was_made(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    code, out, _ = run(
        "run",
        log,
        "-o",
        "w [1]",
        "--embedder",
        "tfidf",
        "-p",
        "proxmo.temperature=0.5",
        "--state",
        "{observation} {actions}",
        "--last-actions",
        "1",
    )
    assert code == 0
    command = shlex.split(out.splitlines()[-1].removeprefix("next: workbench "))
    code, out, _ = run(*command, "--json")
    assert code == 0
    found = json.loads(out)
    credit = pl.read_parquet(next(Path("w [1]/credit").glob("proxmo-*/credit.parquet")), glob=False)
    row = credit.row(
        by_predicate=(pl.col("trajectory_id") == found["trajectory_id"])
        & (pl.col("step_index") == found["step_index"]),
        named=True,
    )
    assert found["advantage"] == row["advantage"]
    code, out, _ = run("run", log, "-o", "one", "-m", "grpo")
    command = shlex.split(out.splitlines()[-1].removeprefix("next: workbench "))
    assert run(*command)[0] == 0


def test_a_batch_of_another_log_is_said(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    run("score", log, "-m", "grpo", "-o", "c.parquet")
    changed = small(tmp_path / "changed.parquet", action=pl.lit("other"))
    code, _, err = run("export", changed, "--credit", "c.parquet", "-o", "batch")
    assert code == 0
    assert "was made from another file" in err


def test_a_note_on_a_log_at_an_address_hides_its_signature(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    opened = OpenedLog.of_table(pl.read_parquet(small(tmp_path / "log.parquet")))
    credit = ScoredCredit(workbench.score(opened.space(), "grpo").table())
    note_other_log(tmp_path / "c.parquet", credit, opened, ["https://host/log.parquet?sig=abcdef"])
    err = capsys.readouterr().err
    assert "another file than https://host/log.parquet?sig=***" in err
    assert "abcdef" not in err


def test_a_comparison_shows_no_texts_of_a_log_that_was_not_scored(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    for name in ("grpo", "rloo"):
        run("score", log, "-m", name, "-o", f"{name}.parquet")
    credits = ("compare", "grpo.parquet", "rloo.parquet")
    # Four of its five steps are of trajectories that the credits do not have.
    other = small(tmp_path / "other.parquet", group_id=pl.Series([*"xxxx", "h"]))
    words = ("the log and the credit do not describe the same steps", "4 steps are only in")
    refused(run(*credits, "--log", other), *words, "name the log that was scored")
    changed = small(tmp_path / "changed.parquet", action=pl.lit("other"))
    code, out, err = run(*credits, "--log", changed)
    assert code == 0
    assert "made from another file" in err
    assert "other" in out


@pytest.mark.parametrize("command", [("explain", LOG, "-m", "proxmo"), ("neighbours", LOG)])
@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("nobody", "TRAJECTORY:INDEX"),
        ("nobody:0", "no trajectory 'nobody'"),
        ("household-s0/task-18/rollout-1:99", "not 99"),
    ],
)
def test_a_step_that_is_not_there_is_refused_before_anything_is_embedded(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], step: str, words: str
):
    def embedded(*_: object, **__: object) -> None:
        raise AssertionError("the log is embedded")

    monkeypatch.setattr(SentenceEmbedder, "encode", embedded)
    refused(run(*command, "--step", step), words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("simulate", "-p", "nope=1", "-o", "x"), ("nope", "horizon")),
        (
            ("score", LOG, "-m", "proxmo", "-p", f"temperature={'[' * 100_000}", "-o", "x"),
            ("temp",),
        ),
        (("score", LOG, "-m", "proxmo", "--state", "", "-o", "x"), ("template",)),
        (("compare", "a.parquet", "a.parquet"), ("given twice",)),
        (("run", LOG, "-o", "w", "-m", "grpo", "--export-method", "rloo"), ("rloo", "not scored")),
    ],
    ids=["dial", "nested", "empty template", "twice", "export method"],
)
def test_odd_arguments_are_refused(run: Run, arguments: tuple[str, ...], words: tuple[str, ...]):
    refused(run(*arguments), *words)


def test_signs_that_a_terminal_would_obey_are_not_printed(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet", observation=pl.lit("\x1b[31mred"))
    code, out, _ = run("neighbours", log, "--step", "a:0", "--embedder", "tfidf")
    assert code == 0
    assert "\x1b" not in out


def test_the_installed_command_starts():
    command = Path(sys.executable).parent / "workbench"
    result = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    for name in (
        "import",
        "validate",
        "facts",
        "score",
        "explain",
        "neighbours",
        "methods",
        "compare",
        "export",
        "run",
        "simulate",
    ):
        assert f"  {name} " in result.stdout


def test_keys_says_how_many_labels_and_what_is_taken_for_one(run: Run, tmp_path: Path):
    log = small(
        tmp_path / "log.parquet", observation=pl.Series(["Red door", "x", "red  door", "y", "z"])
    )
    code, out, _ = run("keys", log, "--state-key", "normalised", "--action-key", "text")
    assert code == 0
    assert "state key normalised: 4 labels for 5 steps; exact has 5" in out
    assert "taken for one in g: 2 texts, 2 steps\n  [Red] door\n  [red] door" in out
    # open and take in g, wait there; open and wait in h.
    assert "action key text: 5 labels for 5 steps" in out
    code, out, _ = run("keys", log, "--state-key", "normalised", "--json")
    (report,) = json.loads(out)
    assert report["labels"] == 4
    assert report["merged"][0]["texts"] == ["Red door", "red  door"]


def test_keys_shows_where_long_texts_begin_to_differ(run: Run, tmp_path: Path):
    same = "the very same words again " * 20
    texts = [f"{same}now 1 end", f"{same}now 2 end", "x", "y", "z"]
    log = small(tmp_path / "log.parquet", observation=pl.Series(texts))
    _, out, _ = run("keys", log, "--state-key", "normalised:numbers=true")
    assert "again now [1] end" in out
    assert "again now [2] end" in out


def test_keys_without_a_log_lists_the_keys(run: Run):
    code, out, _ = run("keys")
    assert code == 0
    for name in ("exact", "history", "similar", "alfworld", "tool"):
        assert f"\n{name} " in out


def test_keys_that_mean_nothing_are_refused_before_a_log_is_read(run: Run):
    refused(run("keys", "no.parquet", "--state-key", "exakt"), "did you mean 'exact'")
    refused(run("keys", "no.parquet", "--action-key", "text:x=1"), "field of action key text 'x'")


def scored(run: Run, log: object, *methods: str) -> list[str]:
    """Credit files of some methods, as `--credit` options."""
    options = []
    for method in methods:
        name = f"{method.replace(':', '-')}.parquet"
        assert run("score", log, "-m", method, "--embedder", "tfidf", "-o", name)[0] == 0
        options += ["--credit", name]
    return options


def test_audit_prints_findings_first_and_every_number_on_request(run: Run):
    credits = scored(run, LOG, "grpo", "proxmo")
    code, out, _ = run("audit", LOG, *credits, "--draws", 20, "-o", "intervals.parquet")
    assert code == 0
    lines = out.splitlines()
    assert lines[2].startswith("FINDINGS: ")
    assert any(line.split() == ["grpo", "proxmo", "random", "return-to-go"] for line in lines)
    assert max(len(line) for line in lines) <= 110
    assert "[" not in out.partition("COVERAGE")[2].partition("POWER")[0]
    explained = run("audit", LOG, *credits, "--draws", 20, "--explain")[1]
    assert "Median weight of a step in its own baseline." in explained
    intervals = pl.read_parquet("intervals.parquet")
    assert intervals.columns == [
        "credit",
        "group_id",
        "trajectory_id",
        "step_index",
        "advantage",
        "low",
        "high",
        "sign_flips",
        "draws",
    ]
    assert (intervals["low"] <= intervals["high"] + 1e-9).all()


def test_audit_gives_all_as_json(run: Run):
    credits = scored(run, LOG, "gigpo")
    code, out, _ = run("audit", LOG, *credits, "--json", "--no-controls", "--draws", 20)
    assert code == 0
    assert "NaN" not in out
    found = json.loads(out)
    assert (found["credits"], found["controls"]) == (["gigpo"], [])
    assert found["sampling"]["seed"] == 0
    for reading in found["readings"]:
        assert found["measures"][reading["measure"]]["action"]
        assert found["groups"][reading["group"]]
    again = run("audit", LOG, *credits, "--json", "--no-controls", "--draws", 20)[1]
    assert again == out


def test_each_credit_is_audited_with_the_representation_that_made_it(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    proxmo = ["score", log, "-m", "proxmo", "--embedder", "tfidf"]
    run(*proxmo, "-o", "bare.parquet")
    state = ["--state", "{actions} {observation}", "--last-actions", 1]
    run(*proxmo, *state, "-o", "history.parquet")
    code, out, _ = run("audit", log, "--credit", "bare.parquet", "--credit", "history.parquet")
    assert code == 0
    assert "gives other numbers" not in out
    # Two credits of one method are told apart by their files.
    assert any(line.split()[:2] == ["bare", "history"] for line in out.splitlines())


def test_audit_refuses_what_it_cannot_compare(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    credits = scored(run, log, "grpo")
    refused(run("audit", LOG, *credits), "no finite advantage", "score this very log")
    refused(run("audit", log, *credits, "--label", "merit"), "no column 'merit'")
    refused(run("audit", log, *credits, *credits), "given twice")
    refused(run("audit", log, *credits, "-o", "grpo.parquet"), "writing there would destroy it")
    assert run("audit", log)[0] == 2


def test_tune_recommends_and_writes_the_curve(run: Run):
    tune = ["tune", LOG, "-m", "proxmo", "--embedder", "tfidf"]
    code, out, _ = run(*tune, "-o", "curve.parquet")
    assert code == 0
    found = json.loads(run(*tune, "--json")[1])
    assert (found["field"], found["now"]) == ("temperature", 0.1)
    curve = pl.read_parquet("curve.parquet")
    assert curve.columns == ["value", "in_spreads", "squared_error", "plain_error", "gain"]
    assert curve.to_dicts() == found["curve"]
    best = curve.sort("squared_error").row(0, named=True)
    assert best["value"] == found["recommended"] == found["best"]
    assert best["gain"] == pytest.approx(1 - best["squared_error"] / found["plain_error"])
    assert best["in_spreads"] == pytest.approx(best["value"] / found["similarity_spread"])
    assert f"recommended: {best['value']:.4g}" in out
    assert f"-p temperature={best['value']:.6g}" in out


def test_tune_ends_with_the_command_that_scores_as_it_tuned(run: Run):
    asked = ["--embedder", "tfidf", "--state", "{actions} {observation}", "--last-actions", "1"]
    code, out, _ = run("tune", LOG, "-m", "proxmo", "-p", "temperature=3", "-p", "gamma=1", *asked)
    assert code == 0
    chosen = re.search(r"recommended: (\S+)", out)
    assert chosen
    command = shlex.split(out.splitlines()[-1].removeprefix("next: "))
    assert command[0] == "workbench"
    assert run(*command[1:])[0] == 0
    method = read_credit(Path("credit.parquet")).provenance
    fields = method.method["fields"]
    assert (f"{fields['temperature']:.4g}", fields["gamma"]) == (chosen[1], 1.0)
    assert some(method.embedder)["name"] == "tfidf"
    assert method.state_text == {"template": "{actions} {observation}", "last_actions": 1}


def test_a_number_of_neighbours_is_not_told_in_deviations_of_similarities(run: Run):
    tune = ["tune", LOG, "-m", "soft-crbc", "--embedder", "tfidf"]
    code, out, _ = run(*tune)
    assert code == 0
    assert "in_spreads" not in out
    found = json.loads(run(*tune, "--json")[1])
    assert (found["field"], found["symbol"]) == ("neighbours", "n")
    assert found["similarity_spread"] is None
    assert f"-p neighbours={found['recommended']:.6g}" in out


def test_tune_chooses_the_threshold_of_a_state_key(run: Run):
    tune = ["tune", LOG, "-m", "gigpo", "-p", "norm=mean", "--embedder", "tfidf"]
    found = json.loads(run(*tune, "--json", "-o", "curve.parquet")[1])
    assert (found["field"], found["symbol"], found["now"]) == ("state_key", "threshold", "exact")
    curve = pl.read_parquet("curve.parquet")
    assert curve.to_dicts() == found["curve"]
    # Exact keys are the last row.
    assert curve["value"][-1] == 1.0
    assert curve["exact_error"].unique().to_list() == [curve["squared_error"][-1]]
    out = run(*tune)[1]
    assert f"recommended: {found['recommended']}" in out
    command = shlex.split(out.splitlines()[-1].removeprefix("next: "))
    assert run(*command[1:])[0] == 0
    fields = read_credit(Path("credit.parquet")).provenance.method["fields"]
    assert (fields["state_key"], fields["norm"]) == (found["recommended"], "mean")


def test_an_import_without_a_usable_reward_does_not_lead_to_a_run(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    assert "next: workbench run" in run("import", log, "-o", "whole.parquet")[1]
    rewardless = pl.read_parquet(log).with_columns(reward=pl.lit(None, dtype=pl.Float64))
    rewardless.write_parquet(tmp_path / "rewardless.parquet")
    out = run("import", tmp_path / "rewardless.parquet", "-o", "none.parquet")[1]
    assert out.endswith("next: workbench facts none.parquet\n")


def test_methods_can_be_named(run: Run):
    code, out, _ = run("methods", "soft-crbc", "--json")
    assert code == 0
    assert list(json.loads(out)) == ["soft-crbc"]
    assert "Differs from" in json.loads(out)["soft-crbc"]["about"]
    told = run("methods", "grpo", "c3")[1]
    assert told.splitlines()[0].startswith("c3: ")
    assert "Conventions: " in told
    assert "A_i = (R_i − μ_g) / (σ_g + eps)" in told
    assert "Conventions: " not in run("methods")[1]
    refused(run("methods", "gipgo"), "unknown method 'gipgo'", "did you mean 'gigpo'")


def test_a_weight_of_zero_has_no_sign():
    assert [number(-0.0), number(-0.5)] == ["0", "-0.5"]


def test_no_line_of_a_run_ends_in_a_blank(run: Run, tmp_path: Path):
    # Both groups are live.
    out = run("run", small(tmp_path / "log.parquet"), "--embedder", "tfidf", "-o", "work")[1]
    assert "Dead groups" not in out
    assert [line for line in out.splitlines() if line != line.rstrip()] == []


def test_the_lists_of_formats_are_not_cut(run: Run):
    assert "…" not in run("formats")[1]


def test_tune_refuses_a_method_that_has_nothing_to_tune(run: Run, tmp_path: Path):
    refused(run("tune", LOG, "-m", "grpo"), "grpo has no field", "proxmo")
    log = small(tmp_path / "log.parquet")
    code, out, _ = run("tune", log, "-m", "proxmo", "--embedder", "tfidf")
    assert code == 0
    assert "recommended: none" in out
    assert "No group can be held out" in out


def test_without_a_terminal_each_stage_prints_a_line_with_its_time(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    code, _, err = run("run", log, "-o", "work", "--embedder", "tfidf")
    assert code == 0
    stages = [line.split(" s  ")[1] for line in err.splitlines() if " s  " in line]
    assert stages[0] == "read"
    assert {"score grpo", "score proxmo", "export"} <= set(stages)
    assert stages[-1] == "done"


def test_run_and_export_print_the_moments_of_the_advantages(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    code, out, _ = run("run", log, "-o", "work", "-m", "grpo")
    # Both groups are live, so no advantage is 0.
    assert code == 0
    row = next(line.split() for line in out.splitlines() if line.startswith("grpo "))
    assert row[-2:] == ["0", "0"]
    run("score", log, "-m", "grpo", "-o", "credit.parquet")
    code, out, _ = run("export", log, "--credit", "credit.parquet", "-o", "batch")
    assert code == 0
    # ±1/√2 (two values apart by 1 have the deviation 1/√2): mean (3 − 2)/5 · 1/√2.
    assert (
        "advantages of 5 trained steps: mean 0.1414, std 0.7746, -0.7071 to 0.7071, 0.0% zero"
        in out
    )
    manifest = json.loads(Path("batch/manifest.json").read_text(encoding="utf-8"))
    assert manifest["advantages"]["zero_share"] == 0.0
    assert manifest["notes"] == []


def test_rewards_to_a_hundred_are_said_by_score_run_and_export(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet", reward=pl.Series([0.0, 100.0, 0.0, 100.0, 0.0]))
    # Against the other rollout of two: ±100.
    said = "note: Rewards span 100 and the credit is in their unit: advantages reach ±100"
    _, _, err = run("score", log, "-m", "rloo", "-o", "credit.parquet")
    assert said in err
    assert said.replace("note:", "note (rloo):") in run("run", log, "-o", "w", "-m", "rloo")[1]
    _, out, _ = run("export", log, "--credit", "credit.parquet", "-o", "batch")
    assert said in out


def test_a_log_of_single_rollouts_is_said_by_validate_score_and_run(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    pl.read_parquet(log).with_columns(group_id=pl.col("trajectory_id")).write_parquet(log)
    said = "Every group has a single scored rollout (4 groups)"
    assert said in run("validate", log)[1]
    assert said in run("score", log, "-m", "grpo", "-o", "credit.parquet")[2]
    _, out, _ = run("run", log, "-o", "work", "-m", "grpo", "-m", "rloo")
    assert out.count(said) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("score", "-m", "gigpo", "-o", "other.parquet"),
        ("explain", "-m", "gigpo", "--step", "step12/5c5c8965aa7c/12:1:0"),
        ("run", "-m", "gigpo", "-o", "work"),
        ("audit", "--credit", "credit.parquet", "--no-controls"),
        ("tune", "-m", "gigpo", "--embedder", "tfidf"),
    ],
    ids=lambda command: command[0],
)
def test_unchained_logs_are_refused_unless_they_are_allowed(run: Run, command: tuple[str, ...]):
    log = SAMPLES / "verl-agent-bare"
    assert run("score", log, "-m", "gigpo", "-o", "credit.parquet", "--allow-unchained")[0] == 0
    name, *options = command
    refused(run(name, log, *options), "gigpo asks which steps follow", "--allow-unchained")
    code, out, err = run(name, log, *options, "--allow-unchained")
    assert code == 0, err
    if name in ("score", "run"):
        assert "unchained: the source does not say" in out + err


def test_explain_shows_the_texts_of_the_step_and_of_its_peers_and_sums(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    code, out, _ = run("explain", log, "-m", "gigpo", "-p", "norm=mean", "--step", "a:0")
    assert code == 0
    assert "observation  red door\naction       open\n" in out
    # Returns .95 and 0 of the two steps at the red door: .95 − .475; rewards 1 and 0: 1 − ½.
    table = [line.split() for line in out.splitlines() if line.startswith(("ep", "step ", "total"))]
    assert table[0] == ["episode", "1", "1", "0.5", "0.5"]
    assert table[1] == ["step", "1", "0.95", "0.475", "0.475"]
    assert table[2][-1] == "0.975"
    assert "score is the episode reward; baseline is the mean of 2 trajectories" in out
    assert "score is the return from here, discounted by 0.95 a step" in out
    assert "sum of weight · value over 2 peers: 0.475" in out
    peers = [line.split() for line in out.splitlines() if line.endswith(("open", "wait"))]
    assert peers[-1] == ["b", "0", "0.5", "0", "red", "door", "wait"]
    found = json.loads(run("explain", log, "-m", "gigpo", "--step", "a:0", "--json")[1])
    assert (found["observation"], found["action"]) == ("red door", "open")
    assert found["meanings"]["episode"]["score"] == "episode reward"


def test_explain_shows_the_messages_that_are_new_at_the_step(run: Run, tmp_path: Path):
    call = {"function": {"name": "open", "arguments": '{"door": 2}'}, "type": "function"}
    said = [
        {"role": "system", "content": "You open doors."},
        {"role": "assistant", "content": None, "reasoning_content": "so", "tool_calls": [call]},
    ]
    rows = [step(messages=said), step(trajectory_id="u", reward=0.0, messages=said)]
    log = write_lines(tmp_path / "steps.jsonl", rows)
    _, out, _ = run("explain", log, "-m", "grpo", "--step", "t:0")
    shown = out.splitlines()[2:5]
    assert shown[:2] == ["system       You open doors.", "thought      so"]
    assert shown[2].startswith("call         ")
    assert '"door": 2' in shown[2]


def test_explain_prints_whole_texts_where_asked(run: Run, tmp_path: Path):
    text = "a very long sight " * 20 + "the end"
    log = small(tmp_path / "log.parquet", observation=pl.lit(text))
    arguments = ("explain", log, "-m", "gigpo", "--step", "a:0")
    assert "the end" not in run(*arguments)[1]
    assert run(*arguments, "--full")[1].count("the end") == 1 + 3


def test_compare_shows_what_the_steps_saw_and_did(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    for method in ("grpo", "gigpo"):
        run("score", log, "-m", method, "-o", f"{method}.parquet")
    _, out, _ = run("compare", "grpo.parquet", "gigpo.parquet", "--log", log)
    assert out.count("red door") == 3
    assert "--log LOG shows" in run("compare", "grpo.parquet", "gigpo.parquet")[1]
    # In a workspace the log is found.
    run("run", log, "-o", "work", "-m", "grpo", "-m", "gigpo")
    credits = sorted(Path("work/credit").glob("*/credit.parquet"))
    assert run("compare", *credits)[1].count("red door") == 3


def test_keys_marks_the_words_in_which_merged_texts_differ(run: Run, tmp_path: Path):
    texts = ["go to room 1 now", "go to room 2 now", "x", "y", "z"]
    log = small(tmp_path / "log.parquet", observation=pl.Series(texts))
    _, out, _ = run("keys", log, "--state-key", "normalised:numbers=true")
    assert "go to room [1] now" in out
    assert "go to room [2] now" in out


def test_numbers_that_are_not_known_are_null_in_json():
    assert json.loads(as_json_text({"a": [float("nan"), 1.0], "b": float("inf")})) == {
        "a": [None, 1.0],
        "b": None,
    }


def test_who_votes_and_who_trains_is_chosen_wherever_a_log_is_read(run: Run, tmp_path: Path):
    reasons = ("length", "stop", "stop")
    rows = [
        step(
            trajectory_id=f"t{at}", reward=float(at == 0), finish_reason=reason, mask_sample=at == 2
        )
        for at, reason in enumerate(reasons)
    ]
    log = write_lines(tmp_path / "steps.jsonl", rows)
    asked = ("--untrained", "finish_reason=length")
    for command in (("import", log, "-o", tmp_path / "log.parquet"), ("validate", log)):
        code, out, err = run(*command, *asked)
        assert code == 0, err
        assert "masked in the log    1 trajectory" in out
        assert "untrained on request 1 trajectory" in out
        _, out, _ = run(*command, "--keep-masked")
        assert "kept though masked   1 trajectory" in out
    _, out, _ = run("facts", log, *asked)
    assert "1 not counted in their group, 2 not trained" in out
    code, _, err = run("score", log, "-m", "grpo", "-o", tmp_path / "c.parquet", *asked)
    assert code == 0, err
    # Of 1 and 0, the third does not count: ±.70711.
    found = pl.read_parquet(tmp_path / "c.parquet")["advantage"].to_list()
    assert found[:2] == pytest.approx([0.70711, -0.70711], abs=1e-4)
    code, out, err = run("run", log, "-o", tmp_path / "work", "-m", "grpo", *asked)
    assert code == 0, err
    code, _, err = run(
        "export", log, "--credit", tmp_path / "c.parquet", "-o", tmp_path / "batch", *asked
    )
    assert code == 0, err
    _, _, err = run("validate", log, "--untrained", "length")
    assert "untrained takes finish_reason=REASON" in err


def test_a_log_that_mixes_policies_says_so_first(run: Run, tmp_path: Path):
    rows = [step(trajectory_id=f"t{at}", reward=float(at), model=f"m{at}") for at in range(2)]
    log = write_lines(tmp_path / "steps.jsonl", rows)
    for command in ("validate", "facts"):
        assert run(command, log)[1].startswith("mixed policies")
    _, out, _ = run("import", log, "-o", tmp_path / "log.parquet")
    assert out.startswith("mixed policies")
    _, _, err = run("score", log, "-m", "grpo", "-o", tmp_path / "c.parquet")
    assert err.startswith("note: 1 of 1 group holds trajectories of several policies")
    _, out, _ = run("run", log, "-o", tmp_path / "work", "-m", "grpo")
    assert out.startswith("note: 1 of 1 group holds trajectories of several policies")


def talks(path: Path) -> Path:
    """Three rollouts of one task, of one step each, without a reward."""
    messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "ok"}]
    return write_lines(
        path, [{"messages": messages, "task_id": "a", "rollout": n} for n in range(3)]
    )


def test_every_command_tells_how_to_add_rewards_to_a_log_without(run: Run, tmp_path: Path):
    log = talks(tmp_path / "talks.jsonl")
    way = "--rewards FILE.csv adds them"
    code, out, _ = run("import", log, "-o", "log.parquet")
    assert code == 0
    assert way in out
    assert "next: workbench facts log.parquet" in out
    for source in (log, "log.parquet"):
        code, out, _ = run("validate", source)
        assert (code, out.count(way)) == (0, 1)
        code, _, err = run("facts", source)
        assert (code, err.count(way)) == (0, 1)
        for command in (("score", source, "-m", "grpo", "-o", "c"), ("run", source, "-o", "work")):
            code, _, err = run(*command)
            assert (code, err.count(way)) == (2, 1)


def test_rewards_are_taken_wherever_a_log_is_given(run: Run, tmp_path: Path):
    log, given = talks(tmp_path / "talks.jsonl"), tmp_path / "given.csv"
    given.write_text("trajectory_id,reward\na/0,1\na/1,0\na/2,0\nb/0,1\n")
    unknown = "trajectories of the rewards that are not in the log: 1 ('b/0')"
    rewards = ("--rewards", given)
    code, out, _ = run("import", log, "-o", "log.parquet", *rewards)
    assert code == 0
    assert f"rewards           0 null, 0 not finite, from {given}" in out
    assert unknown in out
    assert pl.read_parquet("log.parquet")["reward"].to_list() == [1.0, 0.0, 0.0]
    code, out, _ = run("validate", log, *rewards)
    assert code == 0
    assert unknown in out
    code, out, err = run("facts", log, *rewards)
    assert "excluded              none" in out
    assert unknown in err
    for name in ("grpo", "rloo"):
        code, _, err = run("score", log, "-m", name, "-o", f"{name}.parquet", *rewards)
        assert code == 0
        assert unknown in err
    for command in (
        ("keys", log, *rewards),
        ("explain", log, "-m", "grpo", "--step", "a/0:0", *rewards),
        ("neighbours", log, "--step", "a/0:0", "--embedder", "tfidf", *rewards),
        ("audit", log, "--credit", "grpo.parquet", *rewards),
        ("export", log, "--credit", "grpo.parquet", "-o", "batch", *rewards),
        ("compare", "grpo.parquet", "rloo.parquet", "--log", log, *rewards),
        ("run", log, "-o", "work", "-m", "grpo", *rewards),
    ):
        code, _, err = run(*command)
        assert code == 0, (command, err)
        # The rewards are a part of the log, so that the credits are of this one.
        assert "another file" not in err, command
    refused(run("audit", log, "--credit", "grpo.parquet"), "made from other rewards than the log")


def test_a_proposed_mapping_imports_the_file_without_an_edit(run: Run, tmp_path: Path):
    rows = [
        {"quest": "q", "game": f"g{game}", "turn": turn, "seen": "a door", "typed": "open"}
        for game in range(2)
        for turn in range(2)
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "odd.csv")
    refused(run("import", "odd.csv", "-o", "log.parquet"), "no reader recognises it", "odd.csv")
    code, out, _ = run("import", "odd.csv", "--propose-map", "map.json")
    assert code == 0
    assert "trajectory_id  game  (by its name)" in out
    assert not Path("log.parquet").exists()
    command = out.splitlines()[-1].removeprefix("next: workbench ")
    assert command == "import odd.csv --map map.json -o log.parquet"
    code, out, _ = run(*shlex.split(command))
    assert code == 0
    assert "group sizes       2 in 1 group" in out
    code, _, _ = run("validate", "odd.csv", "--map", "map.json")
    assert code == 0
    refused(run("import", "odd.csv"), "say where to write the log: -o log.parquet")
    refused(run("import", "log.parquet", "--propose-map", "log.parquet"), "would destroy it")


def test_a_mapping_is_proposed_for_a_compressed_file_and_behind_others(run: Run, tmp_path: Path):
    rows = [{"quest": "q", "game": "g", "turn": n, "seen": "a door", "typed": "open"} for n in "01"]
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.txt").write_text("nothing here\n")
    lines = "".join(json.dumps(row | {"turn": int(row["turn"])}) + "\n" for row in rows)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    code, out, _ = run("import", "logs", "--propose-map", "map.json")
    assert code == 0
    assert "JSON lines of steps" in out
    assert json.loads(Path("map.json").read_text())["columns"]["action"] == "typed"
    refused(run("import", "logs/a.txt", "--propose-map", "m.json"), "logs/a.txt takes no mapping")


READING = ("--format", "--map", "--rewards", "--skip-bad", "--untrained", "--keep-masked")
READERS = (
    *("import", "validate", "facts", "keys", "score", "explain", "neighbours", "compare"),
    *("decompose", "advise", "audit", "tune", "run", "export"),
)


@pytest.mark.parametrize("command", READERS)
def test_every_command_that_reads_a_log_has_all_options_of_reading(command: str):
    root = typer.main.get_command(app)
    known = {flag for one in root.commands[command].params for flag in one.opts}  # type: ignore[attr-defined]
    assert {*READING, "--max-unpacked", "--max-nesting"} <= known


def test_advise_reads_rewards_and_explain_reads_masks_as_score_does(run: Run, tmp_path: Path):
    log, given = talks(tmp_path / "talks.jsonl"), tmp_path / "given.csv"
    given.write_text("trajectory_id,reward\na/0,1\na/1,0\na/2,0\n")
    refused(run("advise", log, "--embedder", "tfidf"), "--rewards FILE")
    code, out, _ = run("advise", log, "--embedder", "tfidf", "--rewards", given)
    assert (code, "Train with grpo" in out) == (0, True)
    turns = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "ok"}]
    rows = [{"messages": turns, "task_id": "a", "rollout": n, "reward": n} for n in range(3)]
    rows[2] |= {"info": {"mask_sample": True}}
    masked = write_lines(tmp_path / "masked.jsonl", rows)
    said = []
    for options in ((), ("--keep-masked",)):
        code, out, err = run("explain", masked, "-m", "rloo", "--step", "a/0:0", *options)
        assert code == 0, err
        said.append(out.splitlines()[0])
    # Rewards 0, 1 and 2: against the mean of the others, which is 1 without the last, else 1.5.
    assert said == ["rloo gives a/0:0 the advantage -1", "rloo gives a/0:0 the advantage -1.5"]


def test_what_a_reader_left_out_is_said_once_by_every_command(run: Run, tmp_path: Path):
    ask, reply = {"role": "user", "content": "go"}, {"role": "assistant", "content": "ok"}
    rows = [{"messages": [ask, reply], "task_id": "a", "reward": n} for n in range(2)]
    rows += [{"messages": [ask], "task_id": "a", "reward": 0}, {"messages": "?", "task_id": "a"}]
    log = write_lines(tmp_path / "talks.jsonl", rows)
    commands = (
        ("facts", log), ("score", log, "-m", "grpo", "-o", "c.parquet"),
        ("explain", log, "-m", "grpo", "--step", "a#0:0"), ("run", log, "-o", "work", "-m", "grpo"),
        ("advise", log, "--embedder", "tfidf"), ("validate", log),
    )  # fmt: skip
    for command in commands:
        code, out, err = run(*command, "--skip-bad")
        assert code == 0, err
        for said in ("talks.jsonl:3", "talks.jsonl:4", "is a biased remainder: of groups not"):
            assert (out + err).count(said) == 1, (command, said, out, err)


def test_a_run_says_what_it_set_aside_and_where_it_is(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet", step_index=pl.Series([0, 2, 0, 0, 0]))
    code, out, _ = run("run", log, "-o", "work", "-m", "grpo", "--quarantine", "aside.parquet")
    assert code == 0
    assert "note: set aside 1 trajectory of 2 rows: step_index: has gaps" in out
    remainder = "without the 1 trajectory set aside what is left is a biased remainder: of 1 of 2"
    assert remainder in out
    (file,) = Path("work").glob("log/*/quarantined.parquet")
    assert f"note: what was set aside is in {file}" in out
    assert Path("aside.parquet").read_bytes() == file.read_bytes()
    for command in (("validate", log), ("import", log, "-o", "step.parquet")):
        assert run(*command, "--quarantine", "bad.parquet")[1].count(remainder) == 1


def test_a_run_prints_the_checks_that_are_not_fine(run: Run, tmp_path: Path):
    folder = tiny_policy.tokenizer(tmp_path / "tokenizer")
    call = {"type": "function", "function": {"name": "look", "arguments": "{}"}}
    reply = {"role": "assistant", "content": "ok", "tool_calls": [call]}
    turns = [{"role": "user", "content": "go"}, reply]
    rows = [{"messages": turns, "task_id": "a", "reward": n, "masked": not n} for n in range(3)]
    log = write_lines(tmp_path / "talks.jsonl", rows)
    code, out, err = run("run", log, "-o", "work", "-m", "grpo", "--to", "trl", "--tokenizer",
                         folder, "--template-loss", "allow")  # fmt: skip
    assert code == 0, err
    table = out.partition("Checks of the batch that are not fine\n")[2].partition("\n\n")[0]
    checks = {line.split()[0]: line for line in table.splitlines() if "  look  " in line}
    assert "does not show the call of 'look' (" in checks["Conversation"]
    assert "Alignment" not in checks


def test_a_credit_of_other_rewards_is_not_exported(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    run("score", log, "-m", "grpo", "-o", "credit.parquet")
    other = small(tmp_path / "other.parquet", reward=pl.Series([0.0, 100.0, 0.0, 1.0, 0.0]))
    found = run("export", other, "--credit", "credit.parquet", "-o", "batch")
    refused(found, "made from other rewards", "trajectory 'a' (100 in the log, 1 in the credit)")
    talk, given = talks(tmp_path / "talks.jsonl"), tmp_path / "given.csv"
    given.write_text("trajectory_id,reward\na/0,1\na/1,0\na/2,0\n")
    run("score", talk, "-m", "grpo", "-o", "talk.parquet", "--rewards", given)
    found = run("export", talk, "--credit", "talk.parquet", "-o", "batch")
    refused(found, "(– in the log, 1 in the credit)", "the same --rewards FILE")
    assert not Path("batch").exists()


def test_an_export_says_that_other_rollouts_train_than_were_scored(run: Run, tmp_path: Path):
    reasons = pl.Series([None, "length", "stop", "stop", "length"])
    log = small(tmp_path / "log.parquet", finish_reason=reasons)
    run("score", log, "-m", "grpo", "-o", "credit.parquet", "--untrained", "finish_reason=length")
    code, out, _ = run("export", log, "--credit", "credit.parquet", "-o", "batch")
    assert code == 0
    assert "2 trajectories are counted or trained differently from when the credit was" in out


def test_tune_names_all_that_the_log_was_read_with(run: Run, tmp_path: Path):
    code, out, err = run("tune", LOG, "-m", "proxmo", "--embedder", "tfidf", "--keep-masked",
                         "--format", "parquet")  # fmt: skip
    assert code == 0, err
    assert " --format parquet --keep-masked -o credit.parquet" in out.splitlines()[-1]


def test_decompose_says_where_a_credit_has_nothing_to_tell(run: Run):
    relay = DATA / "relay.parquet"
    for method, says in (("grpo", True), ("vineppo", False)):
        assert run("score", relay, "-m", method, "-o", "team.parquet", "--overwrite")[0] == 0
        code, out, _ = run("decompose", relay, "--credit", "team.parquet")
        assert code == 0
        assert ("Hint: score with a method that values single messages" in out) == says, method
        assert ("role 0.0%, round 0.0%" in out) == says, method


def test_score_says_what_reading_changed(run: Run):
    log = SAMPLES.parent / "samples_cases" / "lone_surrogate" / "chat.jsonl"
    code, _, err = run("score", log, "-m", "grpo", "-o", "credit.parquet")
    assert code == 0
    assert err.startswith("note: halves of surrogate pairs became U+FFFD, at ")


def test_what_is_asked_of_a_workspace_is_compared_as_there(run: Run, tmp_path: Path):
    said = "note: states are compared by tfidf, as in the workspace"
    run("run", LOG, "-m", "grpo", "-m", "proxmo", "--embedder", "tfidf", "-o", "work")
    code, _, errors = run("score", "work", "-m", "proxmo", "-o", "one.parquet")
    assert (code, said in errors) == (0, True)
    code, _, errors = run("score", "work", "-m", "proxmo", "--jobs", 1, "-o", "two.parquet")
    assert (code, said in errors) == (0, True)
    (there,) = (tmp_path / "work" / "credit").glob("proxmo-*/credit.parquet")
    advantage = read_credit(there).table["advantage"]
    for name in ("one.parquet", "two.parquet"):
        assert read_credit(tmp_path / name).table["advantage"].equals(advantage)
    code, out, errors = run("tune", "work", "-m", "proxmo")
    assert (code, said in errors, "--embedder tfidf" in out) == (0, True, True)
    # Of another embedder that was asked for nothing is said.
    assert said not in run("facts", "work")[2]


def test_a_workspace_is_audited_with_all_of_its_credits(run: Run):
    run("run", LOG, "-m", "grpo", "-m", "proxmo", "--embedder", "tfidf", "-o", "work")
    code, out, _ = run("audit", "work", "--no-controls", "--draws", 2, "--json")
    names = [name.split(" ")[0] for name in json.loads(out)["credits"]]
    assert (code, names) == (0, ["grpo", "proxmo"])
    refused(run("audit", LOG), "name a credit to audit")


def test_a_credit_of_a_workspace_is_of_the_file_that_was_run(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet")
    run("run", log, "-o", "work", "-m", "grpo")
    (credit,) = Path("work/credit").glob("grpo-*/credit.parquet")
    assert "another file" not in run("export", log, "--credit", credit, "-o", "batch")[2]
    changed = small(tmp_path / "changed.parquet", action=pl.lit("other"))
    err = run("export", changed, "--credit", credit, "-o", "other")[2]
    assert f"{credit} was made from another file than {changed}; texts are not compared" in err


def test_a_masked_step_is_called_so_and_is_not_the_one_to_look_at(run: Run, tmp_path: Path):
    log = small(tmp_path / "log.parquet", gradient_mask=pl.Series([False, True, True, True, True]))
    masked, group = pl.read_parquet(log).select("trajectory_id", "group_id").row(0)
    _, out, _ = run("explain", log, "-m", "grpo", "--step", f"{masked}:0")
    assert "The step is masked: it is not trained" in out
    code, out, _ = run("explain", log, "-m", "grpo", "--step", f"{masked}:0", "--json")
    assert code == 0
    assert json.loads(out)["trained"] is False
    for methods in (("-m", "grpo"), ("-m", "grpo", "-m", "rloo")):
        _, out, _ = run("run", log, "-o", "work", *methods)
        assert f"--step {masked}:0" not in out, group
