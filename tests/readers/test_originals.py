"""Parquet files that stay at their address and are read in places."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
from log_files import step

from workbench.errors import LogError
from workbench.readers import import_log, import_to, originals, source_digests
from workbench.readers.originals import AddressError, original_of

ADDRESS = "memory://run/steps.parquet"


@pytest.fixture
def store() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


def steps(path: Path, groups: int = 6) -> Path:
    """A step log of so many row groups, which says where its rows are from."""
    draw = random.Random(0)
    rows = [
        step(
            group_id=f"g{at // 8}",
            trajectory_id=f"t{at // 2}",
            step_index=at % 2,
            observation=draw.randbytes(1000).hex(),
            source_file="rollouts.jsonl",
            source_line=at + 1,
        )
        for at in range(groups * 100)
    ]
    pl.DataFrame(rows).write_parquet(path, row_group_size=100)
    return path


def test_a_parquet_file_at_an_address_gives_the_same_log_and_no_copy(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = steps(tmp_path / "steps.parquet")
    store.pipe("/run/steps.parquet", here.read_bytes())

    def refuse(*_: Any) -> None:
        raise AssertionError("the file is copied")

    monkeypatch.setattr(type(store), "get_file", refuse)
    monkeypatch.setattr(originals, "_HELD", 1)
    for name, source in (("here", str(here)), ("there", ADDRESS)):
        import_to(tmp_path / name, [source])
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


def test_only_what_is_no_parquet_file_is_copied(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    content = steps(tmp_path / "steps.parquet").read_bytes()
    store.pipe("/run/README.md", b"# A card\n")
    store.pipe("/run/deep/steps.parquet", content)
    copied = []
    get = type(store).get_file

    def counted(self: Any, item: str, path: str) -> None:
        copied.append(item)
        get(self, item, path)

    monkeypatch.setattr(type(store), "get_file", counted)
    for address in ("memory://run", "memory://run/deep/*.parquet"):
        log = import_log([address]).validated.log
        assert (log.height, log["source_file"].unique().to_list()) == (600, ["rollouts.jsonl"])
    assert copied == ["/run/README.md"]


def test_damage_in_a_file_at_an_address_is_told_as_that_of_one_here(store: Any, tmp_path: Path):
    here = steps(tmp_path / "steps.parquet")
    content = here.read_bytes()
    middle = len(content) // 2
    for damaged, rule in (
        (content[:middle] + bytes(9_000) + content[middle + 9_000 :], "cannot be read as Parquet"),
        (content[:middle], "cannot be read as Parquet"),  # without its end: copied
    ):
        store.pipe("/run/steps.parquet", damaged)
        with pytest.raises(LogError, match=rule) as told:
            import_log([ADDRESS])
        assert "memory:///run/steps.parquet" in str(told.value)


@pytest.mark.parametrize("row_group", [1, 4])
def test_a_read_that_fails_stops_and_names_the_row_group(
    row_group: int, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import pyarrow.parquet as pq

    here = steps(tmp_path / "steps.parquet")
    metadata = pq.read_metadata(here)
    columns = [metadata.row_group(row_group - 1).column(at) for at in range(metadata.num_columns)]
    first, end = columns[0].dictionary_page_offset, columns[-1].data_page_offset
    store.pipe("/run/steps.parquet", here.read_bytes())
    opened = type(store)._open

    def breaking(self: Any, *arguments: Any, **options: Any) -> Any:
        file = opened(self, *arguments, **options)

        class Breaking:
            seek, close = file.seek, file.close

            def read(self, length: int) -> bytes:
                if first <= file.tell() <= end and length > 4:
                    raise ConnectionResetError("reset by https://me:secret@host/?token=abc")
                return bytes(file.read(length))

        return Breaking()

    monkeypatch.setattr(type(store), "_open", breaking)
    monkeypatch.setattr(originals, "_LEAST", 1)
    for skip_bad in (False, True):
        with pytest.raises(AddressError) as told:
            import_to(tmp_path / "log", [ADDRESS], skip_bad=skip_bad, format="parquet")
        assert str(told.value).startswith(
            "memory:///run/steps.parquet could not be read any further while "
            f"row group {row_group} of 6 was read (ConnectionResetError: reset by https://***@host"
        )
        assert "secret" not in str(told.value)
        assert "abc" not in str(told.value)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("groups", [6, 7])
def test_a_file_that_changes_while_it_is_read_is_refused(
    groups: int, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = steps(tmp_path / "steps.parquet").read_bytes()
    after = steps(tmp_path / "other.parquet", groups).read_bytes()
    store.pipe("/run/steps.parquet", before)
    fetched, parts = originals.Places._fetched, []

    def change(self: Any, wanted: int) -> bytes:
        parts.append(wanted)
        if len(parts) == 5:
            store.pipe("/run/steps.parquet", after)
        return fetched(self, wanted)

    monkeypatch.setattr(originals.Places, "_fetched", change)
    with pytest.raises(AddressError, match=rf"changed while it was read: {len(before)} bytes, ver"):
        import_log([ADDRESS], skip_bad=True)


def test_a_path_stands_for_a_file_elsewhere_only_below_its_folder(store: Any, tmp_path: Path):
    store.pipe("/run/steps.parquet", steps(tmp_path / "steps.parquet").read_bytes())
    (tmp_path / "made-originals").mkdir()
    (tmp_path / "made").mkdir()
    (tmp_path / "made-originals/x").write_text('{"item": "/run/steps.parquet"}', encoding="utf-8")
    assert original_of(tmp_path / "made/x") is None


def test_the_digest_of_a_file_at_an_address_changes_with_its_version(store: Any, tmp_path: Path):
    path = steps(tmp_path / "steps.parquet")
    store.pipe("/run/steps.parquet", path.read_bytes())
    first = source_digests([ADDRESS, path])
    assert [name for name, _ in first] == ["memory:///run/steps.parquet", "steps.parquet"]
    assert source_digests([ADDRESS, ADDRESS, path]) == first
    store.pipe("/run/steps.parquet", path.read_bytes())
    again = source_digests([ADDRESS, path])
    assert again[0] != first[0]
    assert again[1] == first[1]


class Afresh:
    """An engine that does each task as a process would that knows nothing of this one."""

    def map(self, function: Any, tasks: Any) -> Iterator[tuple[int, Any]]:
        for number, task in enumerate(tasks):
            sent = pickle.dumps(task)
            originals._STORES.clear()
            yield number, function(pickle.loads(sent))


def test_a_worker_finds_the_files_next_to_its_own_at_the_address_too(store: Any, tmp_path: Path):
    draw = random.Random(0)
    rows = [
        {"prompt": f"task {at // 4}", "completion": draw.randbytes(1000).hex(), "r": 1.0 * (at % 2)}
        for at in range(200)
    ]
    # The second step logs the rollouts of the first once more, which its reader sees in that file.
    for number in (1, 2):
        path = tmp_path / f"completions_0000{number}.parquet"
        table = pl.DataFrame([{"step": number, **row, "advantage": 0.0} for row in rows])
        table.write_parquet(path)
        store.pipe(f"/run/{path.name}", path.read_bytes())
    here = import_to(tmp_path / "here", [tmp_path / "completions_*.parquet"])
    there = import_to(tmp_path / "there", ["memory://run"], engine=Afresh())
    assert "one generation that several steps trained on" in str(here)
    assert "one generation that several steps trained on" in str(there)
    logs = [pl.read_parquet(tmp_path / name).drop("source_file") for name in ("here", "there")]
    assert logs[0].equals(logs[1])


def test_an_interrupt_while_a_file_is_fetched_comes_out(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store.pipe("/run/steps.parquet", steps(tmp_path / "steps.parquet").read_bytes())
    fetched, parts = originals.Places._fetched, []

    def interrupt(self: Any, wanted: int) -> bytes:
        parts.append(wanted)
        if len(parts) == 7:
            raise KeyboardInterrupt
        return fetched(self, wanted)

    monkeypatch.setattr(originals.Places, "_fetched", interrupt)
    with pytest.raises(KeyboardInterrupt):
        import_log([ADDRESS], skip_bad=True)
