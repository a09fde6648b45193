"""A run makes everything once, in order, and never half."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import tiny_policy
from narrow import some

from workbench.errors import ArtefactError, MissingInputError, ParameterError, UnknownNameError
from workbench.exporters import Exporter, read_batch, read_manifest
from workbench.files import file_digest
from workbench.log import credit as credit_files
from workbench.simulate import Household, simulate
from workbench.states.embedders.sentence_transformer import SentenceEmbedder
from workbench.workspace import artefacts
from workbench.workspace.pipeline import run


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "small.parquet"
    simulate(Household(), tasks=2, rollouts=4, seed=1).write_parquet(path)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_main_job_with_a_real_model(log: Path, tmp_path: Path):
    stages = []
    result = run([log], tmp_path / "work", progress=lambda stage, done, total: stages.append(stage))
    first = list(dict.fromkeys(stages))
    assert first == [
        "read",
        "index",
        "embed",
        "score grpo",
        "score gigpo",
        "score proxmo",
        "compare",
        "export",
    ]
    kinds = {path.parts[0] for path in map(Path, files(tmp_path / "work"))}
    assert kinds == {"log", "embeddings", "index", "credit", "exports"}
    assert set(result.credits) == {"grpo", "gigpo", "proxmo"}
    manifest = read_manifest(some(result.exported))
    assert manifest.method["name"] == "proxmo"
    batch = read_batch(some(result.exported))
    assert batch.height == 8
    # Every step's advantage of the credit is in the batch.
    credit = pl.read_parquet(result.credits["proxmo"])
    advantages = credit.sort("group_id", "trajectory_id", "step_index")["advantage"]
    exported = batch.sort("group_id", "trajectory_id")["step_advantages"].explode()
    assert exported.to_list() == pytest.approx(advantages.to_list(), abs=1e-6)


def test_a_second_run_does_no_work_twice(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = run([log], tmp_path)
    before = files(tmp_path)

    def forbidden(*arguments: object, **more: object) -> None:
        raise AssertionError("work was done twice")

    monkeypatch.setattr(artefacts, "import_to", forbidden)
    monkeypatch.setattr(credit_files, "write_credit", forbidden)
    monkeypatch.setattr(Exporter, "__call__", forbidden)
    monkeypatch.setattr(SentenceEmbedder, "encode", forbidden)
    second = run([log], tmp_path)
    assert second.built == ()
    assert len(first.built) == 6
    assert files(tmp_path) == before


def test_another_spelling_of_a_path_is_the_same_log(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run([log], tmp_path, embedder="tfidf")
    monkeypatch.chdir(log.parent)
    assert run([log.name], tmp_path, embedder="tfidf").built == ()


def test_two_workspaces_hold_the_same_bytes(log: Path, tmp_path: Path):
    for name in ("one", "two"):
        run([log], tmp_path / name, embedder="tfidf")
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_changed_parameter_makes_one_credit_and_one_batch(log: Path, tmp_path: Path):
    run([log], tmp_path, embedder="tfidf")
    second = run([log], tmp_path, embedder="tfidf", params={"proxmo": {"temperature": 0.2}})
    assert [path.parts[0] for path in second.built] == ["credit", "exports"]


def test_an_option_of_the_export_makes_one_batch(log: Path, tmp_path: Path):
    run([log], tmp_path, embedder="tfidf")
    options = {"clip": 0.5, "positive_only": True}
    second = run([log], tmp_path, embedder="tfidf", export_options=options)
    assert [path.parts[0] for path in second.built] == ["exports"]
    recorded = read_manifest(some(second.exported)).options
    assert (recorded["clip"], recorded["positive_only"]) == (0.5, True)
    assert run([log], tmp_path, embedder="tfidf", export_options=options).built == ()


def test_a_changed_tokenizer_makes_another_batch(log: Path, tmp_path: Path):
    def built() -> list[str]:
        result = run(
            [log],
            tmp_path / "work",
            methods=["grpo"],
            target="verl",
            export_options={"tokenizer": str(tmp_path / "tokenizer")},
        )
        return [path.parts[0] for path in result.built]

    tiny_policy.tokenizer(tmp_path / "tokenizer")
    assert built() == ["log", "credit", "exports"]
    assert built() == []
    other = tiny_policy.TEMPLATE.replace("<|im_end|> {% endfor", "<|im_end|> . {% endfor")
    tiny_policy.tokenizer(tmp_path / "tokenizer", template=other)
    assert built() == ["exports"]


@pytest.mark.parametrize(
    ("target", "options", "refusal"),
    [
        ("verk", {}, (UnknownNameError, "did you mean 'verl'")),
        ("verl", {"clip": -1}, (ParameterError, "clip must be in")),
        ("rllm", {"unit": "trajectory"}, (ParameterError, "unit must be one of")),
        ("verl", {"overwrite": True}, (ParameterError, "overwrite says nothing in a run")),
        ("verl", {}, (MissingInputError, "step 0 .*--tokenizer")),
        ("verl", {"tokenizer": "./nowhere"}, (ParameterError, "there is no such folder")),
        ("verl", {"groups": ["nope"]}, (ParameterError, "no group 'nope'")),
        ("prime-rl", {}, (ParameterError, "is not text")),
    ],
)
def test_what_no_credit_could_put_right_is_refused_before_the_long_part(
    log: Path,
    tmp_path: Path,
    target: str,
    options: dict[str, object],
    refusal: tuple[type[Exception], str],
):
    with pytest.raises(refusal[0], match=refusal[1]):
        run([log], tmp_path / "work", target=target, export_options=options, embedder="no-such")
    kinds = {path.parts[0] for path in map(Path, files(tmp_path / "work"))}
    assert kinds <= {"log"}


def test_a_log_of_dead_groups_gives_everything_but_a_batch(log: Path, tmp_path: Path):
    dead = tmp_path / "dead.parquet"
    pl.read_parquet(log).with_columns(reward=pl.lit(0.0)).write_parquet(dead)
    result = run([dead], tmp_path / "work", embedder="tfidf")
    assert result.exported is None
    assert result.no_batch is not None
    assert "none of its" in result.no_batch
    assert {path.parts[0] for path in result.built} == {"log", "index", "credit"}
    assert not (tmp_path / "work" / "exports").exists()


def test_an_interrupted_run_leaves_nothing_half_and_goes_on(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write = credit_files.write_credit

    def interrupted(path: Path, *arguments: object) -> None:
        path.write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(credit_files, "write_credit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run([log], tmp_path, embedder="tfidf")
    assert not list((tmp_path / "credit").iterdir())
    monkeypatch.setattr(credit_files, "write_credit", write)
    second = run([log], tmp_path, embedder="tfidf")
    assert "log" not in {path.parts[0] for path in second.built}
    run([log], tmp_path / "undisturbed", embedder="tfidf")
    undisturbed = files(tmp_path / "undisturbed")
    disturbed = {k: v for k, v in files(tmp_path).items() if not k.startswith("undisturbed")}
    assert disturbed == undisturbed


@pytest.mark.parametrize("kind", ["log", "index", "credit", "exports"])
def test_a_damaged_artefact_is_named_and_not_used(log: Path, tmp_path: Path, kind: str):
    run([log], tmp_path, embedder="tfidf")
    largest = max((tmp_path / kind).rglob("*.*"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(bytes(content))
    with pytest.raises(ArtefactError, match=largest.name):
        run([log], tmp_path, embedder="tfidf")
    assert largest.read_bytes() == bytes(content)


def test_two_logs_in_one_workspace_have_their_own_indices(log: Path, tmp_path: Path):
    # Equal texts that count differently have other TF-IDF vectors.
    frame = pl.read_parquet(log)
    first = frame["trajectory_id"][0]
    other = tmp_path / "other.parquet"
    frame.with_columns(in_group_statistics=pl.col("trajectory_id") != first).write_parquet(other)
    run([log], tmp_path / "work", embedder="tfidf")
    second = run([other], tmp_path / "work", embedder="tfidf")
    assert "index" in {path.parts[0] for path in second.built}


def test_a_run_without_methods_or_with_fields_for_none_is_refused(log: Path, tmp_path: Path):
    with pytest.raises(ParameterError, match="at least one method"):
        run([log], tmp_path, methods=[])
    with pytest.raises(ParameterError, match="proxmo"):
        run([log], tmp_path, methods=["grpo"], params={"proxmo": {"temperature": 0.2}})


def test_a_method_is_refused_before_any_work(log: Path, tmp_path: Path):
    with pytest.raises(ParameterError, match="temperature"):
        run([log], tmp_path / "work", params={"proxmo": {"temperature": -1}})
    assert not (tmp_path / "work").exists()


def test_methods_without_similarity_need_no_embedder(log: Path, tmp_path: Path):
    run([log], tmp_path, methods=["grpo", "gigpo"], embedder="no-such-model")
    assert not (tmp_path / "embeddings").exists()


def test_the_manifest_leads_back_to_log_and_method(log: Path, tmp_path: Path):
    result = run([log], tmp_path, embedder="tfidf")
    manifest = read_manifest(some(result.exported))
    log_file = next((tmp_path / "log").glob("*/log.parquet"))
    assert manifest.source["sha256"] == file_digest(log_file)
    credit = json.loads(pl.read_parquet_metadata(result.credits["proxmo"])["workbench"])
    assert manifest.method["fields"] == credit["method"]["fields"]
