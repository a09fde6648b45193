"""The contract of every reader, held to the samples of its format.

A format without a sample is refused here, and one with a sample is held to every rule: a new format
adds `tests/samples/<format>` and no line of this file.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from containers import CONTAINERS
from engine_tasks import Elsewhere
from log_files import read_in_tiny_parts
from narrow import number
from polars.testing import assert_frame_equal
from samples_of import formats_with_samples, samples_of

from workbench.engines import Engine
from workbench.errors import LogError, MissingDependencyError, WorkbenchError
from workbench.log.schema import validate
from workbench.readers import import_log, import_to, read
from workbench.readers.base import FORMATS, HEAD_BYTES, Diagnostics, matching
from workbench.readers.containers import records_of
from workbench.readers.importing import Imported

ALL = [(name, sample) for name in FORMATS for sample in samples_of(name)]
each_sample = pytest.mark.parametrize(
    ("name", "sample"), ALL, ids=[f"{name}/{sample.name}" for name, sample in ALL]
)
PLACED = ("source_file", "source_line", "step_index", "observation", "action")
OF_OTHER_TYPES: tuple[Any, ...] = (7, "text", [1], {"a": 1}, None)
ODD: tuple[Any, ...] = (
    *OF_OTHER_TYPES,
    0.5,
    -1,
    10**400,
    math.nan,
    "",
    "\ud83d",
    True,
    [],
    {},
    [None],
    [{}],
    [["a"]],
)
ONE_TALK = {"claude-code", "codex", "pi", "session-trace", "spans"}
"""Formats whose lines go on from one another, so that a lost one changes what follows."""

DRAWN = 30
"""Odd values at drawn places of each file, besides the other types at the top level."""


def files_in(path: Path) -> list[Path]:
    """The files of a log, which may be one itself."""
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


@functools.cache
def whole(name: str, sample: Path) -> Imported:
    """The log of a sample; the test is skipped where its format needs what is not installed."""
    try:
        return import_log([sample])
    except MissingDependencyError as error:
        pytest.skip(str(error))


def is_text(file: Path) -> bool:
    try:
        return "\0" not in file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False


def records_in(file: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines; none of another."""
    try:
        found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except ValueError:
        return []
    return found if all(isinstance(record, dict) for record in found) else []


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A copy of a sample, of which one file is to be changed.

    Args:
        root: The copy.
        file: The file.
        taken: The files that the format reads.
        log: What the sample holds, with the places of the copy.
    """

    root: Path
    file: Path
    taken: tuple[Path, ...]
    log: pl.DataFrame


def copies(
    name: str, sample: Path, folder: Path, wanted: Callable[[Path], bool] = lambda file: True
) -> Iterator[Copied]:
    """The copy of a sample again and again, each time for another of its files.

    Of files that are called the same the first stands for all.
    """
    imported = whole(name, sample)
    root = folder / sample.name
    places = pl.col("source_file").str.replace(str(sample), str(root), literal=True)
    taken = tuple(root / Path(file).relative_to(sample) for file in imported.report.files)
    named = {file.name: file for file in reversed(files_in(sample))}
    for file in sorted(named.values()):
        if wanted(file):
            shutil.copytree(sample, root) if sample.is_dir() else shutil.copy(sample, root)
            yield Copied(
                root=root,
                file=root / file.relative_to(sample),
                taken=taken,
                log=imported.validated.log.with_columns(places),
            )
            shutil.rmtree(root) if sample.is_dir() else root.unlink()


def same(one: pl.DataFrame, other: pl.DataFrame) -> None:
    """Both frames are the same to the last bit; the order of their columns is free."""
    assert_frame_equal(one, other.select(one.columns), check_exact=True)


def steps_in(rows: pl.DataFrame) -> set[tuple[Any, ...]]:
    """Steps with their places; their trajectories may be numbered otherwise than in the whole."""
    return set(rows.with_columns(pl.col("step_index").cast(pl.Int32)).select(PLACED).iter_rows())


# Samples


def test_every_format_has_a_sample_and_every_sample_a_format():
    assert formats_with_samples() == set(FORMATS)
    assert {name for name, _ in ALL} == set(FORMATS)


# Which format it is


@each_sample
def test_a_sample_is_of_its_format_and_of_no_other(name: str, sample: Path):
    for file in map(Path, whole(name, sample).report.files):
        head = file.read_bytes()[:HEAD_BYTES]
        claimed = {entry.name for entry in FORMATS.values() if entry.reader.sniff(file, head)}
        specific = {other for other in claimed if not FORMATS[other].generic}
        assert name in claimed
        assert specific <= {name}
        assert [entry.name for entry in matching(file, head)] == [name]


@each_sample
def test_a_log_is_the_same_whether_its_format_is_told_or_found(name: str, sample: Path):
    imported = whole(name, sample)
    told = import_log([sample], format=name)
    assert imported.report.format == told.report.format == name
    same(told.validated.log, imported.validated.log)


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_log_of_another_format_is_read_or_refused_in_words(name: str):
    for sample in [sample for other, sample in ALL if other != name]:
        with suppress(WorkbenchError):
            import_log([sample], format=name)


# What a sound log is


@each_sample
def test_reading_twice_gives_the_same_and_touches_no_file(name: str, sample: Path):
    before = [(file, file.stat().st_mtime_ns, file.read_bytes()) for file in files_in(sample)]
    first, second = whole(name, sample), import_log([sample])
    same(second.validated.log, first.validated.log)
    assert second.report == first.report
    assert before == [
        (file, file.stat().st_mtime_ns, file.read_bytes()) for file in files_in(sample)
    ]


@each_sample
def test_every_row_leads_to_its_file_and_line(name: str, sample: Path):
    imported = whole(name, sample)
    log = imported.validated.log
    assert {Path(file) for file in log["source_file"]} <= set(files_in(sample))
    assert number(log["source_line"].min()) >= 1
    for file, line in log.select("source_file", "source_line").unique().iter_rows():
        if len(records_in(Path(file))) > 1:
            assert line <= len(records_in(Path(file)))


@each_sample
def test_a_log_is_valid_and_names_each_trajectory_once(name: str, sample: Path):
    imported = whole(name, sample)
    log = imported.validated.log
    names = log.select("group_id", "trajectory_id").unique()
    assert not imported.validated.problems
    assert not imported.validated.quarantined.height
    assert names["trajectory_id"].is_unique().all()
    assert names.height == imported.report.trajectories
    assert log.select("trajectory_id", "step_index").is_unique().all()
    same(validate(read([sample]).frame).log, log)


@each_sample
def test_values_of_tokens_are_as_many_as_the_tokens(name: str, sample: Path):
    log = whole(name, sample).validated.log
    of_tokens = {"response_mask", "response_logprobs", "logged_token_advantage"} & set(log.columns)
    assert not of_tokens or "response_ids" in log.columns
    for column in of_tokens:
        both = log.filter(pl.col(column).is_not_null())
        assert both["response_ids"].null_count() == 0
        assert (both[column].list.len() == both["response_ids"].list.len()).all()
    if "response_mask" in of_tokens:
        assert set(log["response_mask"].explode().drop_nulls()) <= {0, 1}


# Parts


@each_sample
@pytest.mark.parametrize("tiny", [False, True], ids=["large parts", "tiny parts"])
def test_in_parts_a_log_is_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sample: Path, tiny: bool
):
    imported = whole(name, sample)
    if tiny:
        read_in_tiny_parts(monkeypatch)
    report = import_to(tmp_path / "log.parquet", [sample])
    same(pl.read_parquet(tmp_path / "log.parquet"), imported.validated.log)
    assert report == imported.report
    if tiny:
        parted = import_log([sample])
        same(parted.validated.log, imported.validated.log)
        assert parted.report == imported.report


# Containers

OF_RECORDS = [
    (name, sample)
    for name, sample in ALL
    if {"records_of", "parts_of_records"}
    & vars(inspect.getmodule(type(FORMATS[name].reader))).keys()
]
"""Samples of the readers that are given records one by one, whatever contains them."""

TABLES_OF_STEPS = {
    ("steps", "CSV"): "csv",
    ("steps", "Parquet of JSON texts"): "parquet",
    ("steps", "Parquet of structures"): "parquet",
}
"""Tables of steps are formats of their own."""

NOT_OF_THE_RECORDS = ("source_file", "source_line")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("name", "sample"), OF_RECORDS, ids=[f"{name}/{sample.name}" for name, sample in OF_RECORDS]
)
def test_records_are_the_same_log_in_every_container(
    tmp_path: Path, name: str, sample: Path, container: str
):
    for copied in copies(name, sample, tmp_path):
        if copied.file not in copied.taken:
            continue
        records = [record for _, record in records_of(copied.file, Diagnostics())]
        copied.file.write_bytes(CONTAINERS[container](records))
        imported = import_log([copied.root])
        assert imported.report.format == TABLES_OF_STEPS.get((name, container), name)
        # A table may have as JSON text what a list or an object of a record is not kept of.
        same(without_places(copied.log), without_places(imported.validated.log))


def without_places(log: pl.DataFrame) -> pl.DataFrame:
    """A log without what says where its records were; an inferred trajectory is called by it."""
    first = pl.col("source_row").min().over("trajectory_id").alias("trajectory_id")
    return log.with_columns(first).drop(NOT_OF_THE_RECORDS).sort("source_row")


# Lines


@each_sample
def test_ends_of_lines_make_no_difference(tmp_path: Path, name: str, sample: Path):
    for copied in copies(name, sample, tmp_path, is_text):
        copied.file.write_bytes(copied.file.read_bytes().replace(b"\n", b"\r\n"))
        same(import_log([copied.root]).validated.log, copied.log)


@each_sample
def test_a_broken_line_in_front_hides_no_other(tmp_path: Path, name: str, sample: Path):
    for copied in copies(name, sample, tmp_path, lambda file: len(records_in(file)) > 1):
        copied.file.write_bytes(b'{"damaged\n' + copied.file.read_bytes())
        with pytest.raises(LogError, match=r"line: is not JSON") as caught:
            read([copied.file])
        assert f"{copied.file}:1" in str(caught.value)
        raw = read([copied.file], skip_bad=True)
        assert raw.format == name
        own = copied.log.filter(pl.col("source_file") == str(copied.file))
        assert steps_in(raw.frame.with_columns(pl.col("source_line") - 1)) == steps_in(own)


# Damage


def damages(copied: Copied, name: str) -> Iterator[tuple[str, bytes, pl.Expr]]:
    """Ways to damage a file, its bytes then, and which of its rows do not depend on that.

    A file of records, one per line, and a table of text lose the lines that are hit; any other file
    may be lost as a whole.
    """
    content = copied.file.read_bytes()
    line, none = pl.col("source_line"), pl.lit(False)
    is_lined = copied.file.suffix == ".csv" or len(records_in(copied.file)) > 1
    is_lined &= name not in ONE_TALK
    yield "empty", b"", none
    yield "blank", b" \n\n", none
    for share in (0.05, 0.2, 0.45, 0.7, 0.9, 1.0):
        end = max(1, int(len(content.rstrip()) * share) - 1)
        while b"\n" in content[end - 1 : end + 1]:  # a cut between two lines cannot be seen
            end -= 1
        hit = content.count(b"\n", 0, end) + 1
        yield f"cut at {end}", content[:end], (line < hit) if is_lined else none
    if not is_text(copied.file):
        yield "random bytes", random.Random(0).randbytes(len(content)), none
        return
    for share in (0.3, 0.6):
        at = next(
            at for at in range(int(len(content) * share), 0, -1) if chr(content[at]).isalpha()
        )
        hit = content.count(b"\n", 0, at) + 1
        broken = content[:at] + b"\xff" + content[at + 1 :]
        yield f"no UTF-8 at {at}", broken, (line != hit) if is_lined else none


@each_sample
def test_a_damaged_file_is_named_and_what_is_whole_is_read(tmp_path: Path, name: str, sample: Path):
    for copied in copies(name, sample, tmp_path):
        for way, content, spared in damages(copied, name):
            copied.file.write_bytes(content)
            for form in (None, name):
                said = refusal(copied.taken, format=form)
                if copied.file not in copied.taken:  # it only says more of one that is
                    assert not said or str(copied.file) in said, way
                    continue
                assert str(copied.file) in said, way
                others = pl.col("source_file") != str(copied.file)
                rest = copied.log.filter(others | spared)
                assert_rest_is_read(copied, rest, form, way)


def refusal(paths: Sequence[Path], **options: Any) -> str:
    """The words with which files are refused; none where they are read."""
    try:
        import_log(paths, **options)
    except LogError as error:
        return str(error)
    return ""


def assert_rest_is_read(copied: Copied, rest: pl.DataFrame, form: str | None, way: str) -> None:
    """The rows that damage has spared are read, and what is lost is counted with its file."""
    said = refusal(copied.taken, format=form, skip_bad=True, quarantine=True)
    assert not said or str(copied.file) in said, way
    if said and rest.is_empty():
        return
    raw = read(copied.taken, format=form, skip_bad=True)
    told = [problem for problem in raw.problems if str(copied.file) in str(problem)]
    assert sum(problem.count for problem in told) >= 1, way
    assert steps_in(rest) <= steps_in(raw.frame), way


# Values of a wrong type


def first_record(file: Path) -> tuple[Any, Callable[[Any], bytes]] | None:
    """The first record of a JSON file, and what makes the file of another one; None of others."""
    lines = records_in(file)
    try:
        given = lines or json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return None
    rest = given[1:] if isinstance(given, list) else []

    def content(record: Any) -> bytes:
        if lines:
            return "".join(f"{json.dumps(item)}\n" for item in [record, *rest]).encode()
        return json.dumps([record, *rest] if isinstance(given, list) else record).encode()

    return (given[0] if isinstance(given, list) else given), content


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        yield (*way, key)
        if isinstance(item, dict | list):
            yield from places(item, (*way, key))


def put(record: Any, way: tuple[Any, ...], value: Any) -> Any:
    """A copy of a record with another value at a place."""
    changed = json.loads(json.dumps(record))
    *outer, last = way
    functools.reduce(lambda holder, key: holder[key], outer, changed)[last] = value
    return changed


@each_sample
def test_a_value_of_another_type_is_read_or_refused_with_its_file(
    tmp_path: Path, name: str, sample: Path
):
    for copied in copies(name, sample, tmp_path, is_text):
        if (found := first_record(copied.file)) is None:
            continue
        record, content = found
        draw = random.Random(f"{name} {copied.file.name}")
        changes: list[tuple[tuple[Any, ...], Any]] = [
            ((key,), value) for key in record for value in OF_OTHER_TYPES
        ]
        ways = list(places(record))
        changes += [(draw.choice(ways), draw.choice(ODD)) for _ in range(DRAWN)]
        for way, value in changes:
            copied.file.write_bytes(content(put(record, way, value)))
            said = refusal([copied.root], format=name)
            assert not said or str(copied.root) in said.partition("\n")[2], (way, value)


@pytest.mark.parametrize("name", FORMATS)
def test_files_that_others_read_make_the_same_log(name: str, tmp_path: Path):
    def made(output: Path, engine: Engine | None) -> tuple[dict[str, Any] | str, bytes]:
        """Report or refusal of an import of all samples of the format, and its bytes."""
        samples = [path for sample in samples_of(name) for path in files_in(sample)]
        try:
            report = import_to(output, samples, format=name, skip_bad=True, engine=engine)
        except LogError as error:
            return str(error), b""
        except MissingDependencyError as error:
            pytest.skip(str(error))
        return report.to_dict(), output.read_bytes()

    assert made(tmp_path / "here.parquet", None) == made(tmp_path / "there.parquet", Elsewhere())
