"""The same inputs, options, JSON and refusals at every command."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from commands import Run, refused, small
from places import DATA, ROOT

from workbench.cli.root import ORDER, app
from workbench.glossary import GLOSSARY

LOG = str(DATA / "household.parquet")
GROUP = typer.main.get_command(app)
COMMANDS: dict[str, Any] = GROUP.commands  # type: ignore[attr-defined]  # a group's
OPTIONS = {
    name: {flag for each in command.params for flag in each.opts}
    for name, command in COMMANDS.items()
}
PRINTS_A_RESULT = set(COMMANDS) - {"app", "bench"}
READS_A_LOG = {name for name, flags in OPTIONS.items() if "--skip-bad" in flags}


@pytest.mark.parametrize("name", sorted(PRINTS_A_RESULT))
def test_every_command_that_prints_a_result_can_print_json(name: str):
    assert "--json" in OPTIONS[name]


@pytest.mark.parametrize("name", sorted(READS_A_LOG))
def test_every_command_that_reads_a_log_takes_several_and_sets_aside(name: str):
    assert {"--quarantine", "--skip-bad", "--rewards", "--map"} <= OPTIONS[name]
    positional = [each for each in COMMANDS[name].params if each.param_type_name == "argument"]
    assert [each.nargs for each in positional] == [-1]


def test_the_help_lists_commands_in_the_order_of_work(run: Run):
    _, out, _ = run("-h")
    listed = re.findall(r"^  ([a-z]+)  ", out.partition("Commands:")[2], re.MULTILINE)
    assert tuple(listed) == ORDER


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"bench"}))
def test_every_help_ends_with_examples_that_can_be_typed(name: str, run: Run):
    _, out, _ = run(name, "-h")
    lines = out.partition("Examples:\n")[2].splitlines()
    assert lines
    for line in lines:
        start, command, *arguments = shlex.split(line)
        assert (start, command) == ("workbench", name)
        COMMANDS[name].make_context(name, list(arguments))


def test_the_root_help_leads_to_the_glossary(run: Run):
    _, out, _ = run("-h")
    assert "workbench glossary" in out.partition("Examples:")[2]
    _, out, _ = run("glossary", "peer", "--json")
    assert json.loads(out) == [{"word": "peer", "meaning": GLOSSARY["peer"]}]
    _, out, _ = run("glossary")
    assert [word for word in GLOSSARY if f"\n{word} " not in out] == []
    refused(run("glossary", "pear"), "unknown word 'pear'", "did you mean 'peer'?")


def test_the_version_is_printed(run: Run):
    code, out, _ = run("--version")
    assert code == 0
    assert re.fullmatch(r"workbench \d+\.\d+\S*\n", out)


def test_a_shell_completes_commands():
    done = subprocess.run(
        [Path(sys.executable).parent / "workbench"],
        env={"_WORKBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "workbench exp",
             "COMP_CWORD": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["explain", "export"] or done.stdout.split() == ["export"]


STEP = ("--step", "household-s0/task-18/rollout-1:12")
TFIDF = ("--embedder", "tfidf")
CALLS: dict[str, tuple[str, ...]] = {
    "import": ("import", LOG, "-o", "own.parquet"),
    "import --propose-map": ("import", LOG, "--propose-map", "map.json"),
    "validate": ("validate", LOG),
    "facts": ("facts", LOG),
    "run": ("run", LOG, "-m", "grpo", "-m", "gigpo", "-o", "work"),
    "score": ("score", LOG, "-m", "grpo", "-o", "other.parquet"),
    "advise": ("advise", LOG, *TFIDF),
    "tune": ("tune", LOG, "-m", "proxmo", *TFIDF),
    "audit": ("audit", LOG, "--credit", "c.parquet", "--draws", "5"),
    "compare": ("compare", "c.parquet", "d.parquet"),
    "explain": ("explain", LOG, "-m", "gigpo", *STEP),
    "neighbours": ("neighbours", LOG, *STEP, *TFIDF),
    "decompose": ("decompose", str(DATA / "relay.parquet"), "--credit", "team.parquet"),
    "export": ("export", LOG, "--credit", "c.parquet", "-o", "batch"),
    "report": ("report", LOG, "-m", "grpo", *TFIDF, "-o", "report.html"),
    "methods": ("methods", "grpo"),
    "keys": ("keys",),
    "keys LOG": ("keys", LOG),
    "formats": ("formats",),
    "glossary": ("glossary",),
    "clean": ("clean",),
    "simulate": ("simulate", "household", "--tasks", "2", "-o", "world.parquet"),
}


def documented_shapes() -> dict[str, str]:
    """Command -> keys as docs/command_line.md has them."""
    text = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    part = text.partition("<!-- shapes -->")[2].partition("<!-- /shapes -->")[0]
    return dict(re.findall(r"^\| `(.+?)` \| (.+) \|$", part, re.MULTILINE))


def shape(name: str, value: Any) -> str:
    """The keys of a document as the table has them."""
    if isinstance(value, list):
        return "a list of: " + ", ".join(value[0])
    if name == "methods":
        return "a method's name: " + ", ".join(value["grpo"])
    return ", ".join(value)


def test_every_command_that_prints_json_has_a_documented_shape():
    assert set(documented_shapes()) == set(CALLS)
    assert {call[0] for call in CALLS.values()} == PRINTS_A_RESULT


def test_json_is_alone_on_the_output_and_has_the_documented_shape(run: Run):
    for method, place in (("grpo", "c.parquet"), ("gigpo", "d.parquet")):
        assert run("score", LOG, "-m", method, "-o", place)[0] == 0
    relay = str(DATA / "relay.parquet")
    assert run("score", relay, "-m", "vineppo", "-o", "team.parquet")[0] == 0
    found = {}
    for name, call in CALLS.items():
        code, out, err = run(*call, "--json")
        assert code == 0, err
        found[name] = shape(name, json.loads(out))
    assert found == documented_shapes()


def test_errors_are_a_json_object_in_the_last_line_where_json_is_asked_for(
    run: Run,
    tmp_path: Path,
):
    log = small(tmp_path / "log.parquet", step_index=pl_gaps())
    for arguments, kind in (
        (("validate", log, "--json"), "LogError"),
        (("score", LOG, "-m", "gipgo", "-o", "c.parquet", "--json"), "UnknownNameError"),
        (("score", LOG, "--json"), "MissingParameter"),
        (("facts", LOG, "--jason", "--json"), "NoSuchOption"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        found = json.loads(err.splitlines()[-1])["error"]
        assert found["type"] == kind
        assert found["message"]
    assert json.loads(run("validate", log, "--json")[2].splitlines()[-1])["error"]["problems"]


def pl_gaps() -> Any:
    import polars as pl

    return pl.Series([0, 2, 0, 0, 0])


def test_several_logs_are_one_at_every_command(run: Run, tmp_path: Path):
    import polars as pl

    whole = pl.read_parquet(small(tmp_path / "log.parquet"))
    for group in ("g", "h"):
        whole.filter(pl.col("group_id") == group).write_parquet(tmp_path / f"{group}.parquet")
    one, both = (json.loads(run("facts", *logs, "--json")[1]) for logs in
                 (("log.parquet",), ("g.parquet", "h.parquet")))  # fmt: skip
    assert both == one
    score = ("g.parquet", "h.parquet", "-m", "grpo", "-o", "c.parquet", "--json")
    assert json.loads(run("score", *score)[1])["advantages"]["scored"] == 5
    code, out, _ = run("export", "g.parquet", "h.parquet", "--credit", "c.parquet", "-o", "batch")
    assert code == 0
    assert "5 steps" in out


def test_fields_are_set_with_or_without_the_one_method_before_them(run: Run):
    for number, pair in enumerate(("eps=0.5", "grpo.eps=0.5")):
        place = f"{number}.parquet"
        code, out, _ = run("score", LOG, "-m", "grpo", "-p", pair, "-o", place, "--json")
        assert code == 0
        assert json.loads(out)["provenance"]["method"]["fields"]["eps"] == 0.5


def test_what_was_made_from_something_else_is_not_replaced(run: Run, tmp_path: Path):
    small(tmp_path / "log.parquet")
    small(tmp_path / "other.parquet", task=None)
    score = ("score", "log.parquet", "-o", "c.parquet", "-m")
    assert run(*score, "grpo")[0] == 0
    assert run(*score, "grpo", "-p", "eps=1")[0] == 0
    refused(run(*score, "gigpo"), "is the credit of grpo", "--overwrite")
    assert run(*score, "gigpo", "--overwrite")[0] == 0
    Path("notes.txt").write_text("mine")
    refused(run("score", "log.parquet", "-m", "grpo", "-o", "notes.txt"), "is no credit")
    refused(run("import", "log.parquet", "-o", "notes.txt"), "is no imported log")
    assert Path("notes.txt").read_text() == "mine"
    assert run("import", "log.parquet", "-o", "own.parquet")[0] == 0
    assert run("import", "log.parquet", "-o", "own.parquet")[0] == 0
    refused(run("import", LOG, "-o", "own.parquet"), "imported from other files", "log.parquet")
    assert run("import", LOG, "-o", "own.parquet", "--overwrite")[0] == 0
    refused(run("score", "own.parquet", "-m", "gigpo", "-o", "c.parquet"), "of another log")


def test_a_project_has_its_defaults(run: Run, tmp_path: Path):
    small(tmp_path / "log.parquet")
    Path("workbench.toml").write_text('m = "grpo"\n[score]\no = "c.parquet"\np = ["eps=0.5"]\n')
    code, out, err = run("score", "log.parquet", "--json")
    assert code == 0, err
    assert json.loads(out)["provenance"]["method"]["fields"]["eps"] == 0.5
    assert "note: workbench.toml sets m, score.o, score.p" in err
    # What is typed wins.
    assert (
        json.loads(run("score", "log.parquet", "-p", "eps=1", "--json")[1])["provenance"]["method"][
            "fields"
        ]["eps"]
        == 1.0
    )
    for text, words in (
        ('[score]\nembeder = "x"', ("option of score in workbench.toml", "'embedder'")),
        ('embeder = "x"', ("option in workbench.toml 'embeder'", "'embedder'")),
        ("[scor]\no = 1", ("command in workbench.toml 'scor'", "'score'")),
        ("[score]\no = 1979-01-01", ("o must be a text",)),
        ("[score", ("workbench.toml cannot be read",)),
    ):
        Path("workbench.toml").write_text(text)
        refused(run("facts", "log.parquet"), *words)


def test_a_name_near_to_an_embedder_is_answered_with_it(run: Run):
    refused(run("advise", LOG, "--embedder", "tf-idf"), "unknown embedder 'tf-idf'", "'tfidf'")


@pytest.mark.parametrize(
    ("name", "words"),
    [("ppo", ("turn-gae", "history-gae")), ("gspo", ("grpo",)), ("PPO", ("turn-gae",))],
)
def test_what_is_a_loss_and_no_credit_says_so(
    name: str,
    words: tuple[str, ...],
    run: Run,
):
    refused(run("score", LOG, "-m", name, "-o", "c.parquet"), "is no credit", *words)
    refused(run("methods", name), "is no credit", *words)


def audited(run: Run, *options: str) -> tuple[int, str, str]:
    """An audit of GRPO's credit on the bundled log, whose dead groups are 6 of 20."""
    if not Path("grpo.parquet").exists():
        assert run("score", LOG, "-m", "grpo", "-o", "grpo.parquet")[0] == 0
    return run("audit", LOG, "--credit", "grpo.parquet", "--draws", "5", "--no-controls", *options)


def test_an_audit_fails_on_a_bound_that_is_passed_and_on_no_other(run: Run):
    assert audited(run, "--fail-on", "dead_groups>0.3", "--fail-on", "any")[0] == 0
    code, out, _ = audited(run, "--fail-on", "dead_groups>=0.3")
    assert code == 1
    assert out.partition("\nFAILED\n")[2] == "dead_groups >= 0.3 (log): it is 0.3\n"
    code, out, _ = audited(run, "--fail-on", "dead_groups > 0.1", "--json")
    assert code == 1
    assert json.loads(out)["failed"] == ["dead_groups > 0.1 (log): it is 0.3"]


def test_what_an_audit_cannot_fail_on_is_bad_input(run: Run):
    refused(audited(run, "--fail-on", "dead-grups"), "unknown finding", "'dead-groups'")
    refused(audited(run, "--fail-on", "dead_grups>1"), "unknown measure", "'dead_groups'")
    refused(audited(run, "--fail-on", "dead_groups>much"), "'much' is no number")


def test_an_unknown_tracker_is_refused_before_the_log_is_read(run: Run):
    refused(run("score", "no.parquet", "-m", "grpo", "-o", "c", "--log-to", "tensorbord:x"),
            "unknown tracker", "'tensorboard'")  # fmt: skip
    refused(run("score", "no.parquet", "-m", "grpo", "-o", "c", "--log-to", "tensorboard"),
            "TRACKER:PLACE")  # fmt: skip


def test_clean_says_what_lies_where_and_removes_only_what_is_asked(run: Run, tmp_path: Path):
    small(tmp_path / "log.parquet")
    assert run("run", "log.parquet", "-m", "proxmo", "--embedder", "tfidf", "-o", "work")[0] == 0
    (tmp_path / "work" / "embeddings").mkdir(exist_ok=True)
    (tmp_path / "work" / "embeddings" / "v.npy").write_bytes(b"12345")
    found = json.loads(run("clean", "work", "--json")[1])
    kinds = {place["kind"] for place in found["places"]}
    assert {"embeddings", "log", "credit", "exports"} <= kinds
    assert found["removed_bytes"] == 0
    code, out, _ = run("clean", "work", "--remove", "embeddings")
    assert code == 0
    assert "removed " in out
    assert not (tmp_path / "work" / "embeddings").exists()
    assert list((tmp_path / "work").glob("log/*/log.parquet"))
    refused(run("clean", "--remove", "log"), "unknown kind to remove 'log'", "embeddings")
    refused(run("clean", "wrk"), "unknown workspace 'wrk'", "'work'")


def test_a_workspace_that_is_not_there_is_answered_with_workspaces_alone(run: Run, tmp_path: Path):
    for folder in ("work/log", "batch"):
        (tmp_path / folder).mkdir(parents=True)
    result = run("clean", tmp_path / "wrk")
    refused(result, "did you mean", "work'")
    assert "batch" not in result[2]
