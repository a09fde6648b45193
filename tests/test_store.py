from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from workbench.errors import ArtefactError
from workbench.files import (
    MANIFEST,
    atomic_file,
    atomic_folder,
    canonical_json,
    digest,
    file_digest,
    package_version,
    read_artefact_manifest,
    write_artefact_manifest,
)
from workbench.log.credit import Provenance, ScoredCredit, read_credit, write_credit
from workbench.workspace.store import Workspace

TABLE = pl.DataFrame(
    {"trajectory_id": ["t", "t", "u"], "step_index": [0, 1, 0], "advantage": [0.5, -0.5, None]}
)


def credit(**method: Any) -> ScoredCredit:
    return ScoredCredit(TABLE, Provenance(method=method))


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    """Sets the process's mask for new files, and sets it back."""
    before = os.umask(0o022)
    yield lambda mask: [None, os.umask(mask)][0]
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def half() -> None:
        with atomic_file(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_file_is_replaced_in_one_move(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with path.open() as reader, atomic_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    # Who had it open reads on in the old one.
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file.txt"]
    assert reader.closed


@pytest.mark.parametrize(("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_files_and_folders_have_the_usual_permissions(
    tmp_path: Path, umask: Callable[[int], None], mask: int, file: int, folder: int
) -> None:
    umask(mask)
    with atomic_file(tmp_path / "file") as temporary:
        temporary.write_text("x")
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "inside").write_text("x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == file
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == folder
    assert stat.S_IMODE((tmp_path / "folder" / "inside").stat().st_mode) == file
    # Asking for the mask has not changed it.
    assert os.umask(mask) == mask


def test_a_folder_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "file").write_text("x")
        assert not path.exists()
    assert (path / "sub" / "file").read_text() == "x"
    assert names(path.parent) == ["folder"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_no_folder(tmp_path: Path, error: type[BaseException]) -> None:
    def half() -> None:
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "file").write_text("half")
            raise error

    with pytest.raises(error):
        half()
    assert names(tmp_path) == []


def test_a_folder_that_another_process_finished_first_stays(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "file").write_text("ours")
        path.mkdir()
        (path / "file").write_text("theirs")
    assert (path / "file").read_text() == "theirs"
    assert names(tmp_path) == ["folder"]


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.write_text("a file")

    def build() -> None:
        with atomic_folder(path) as temporary:
            (temporary / "file").write_text("ours")

    with pytest.raises(OSError, match="folder"):
        build()
    assert path.read_text() == "a file"
    assert names(tmp_path) == ["folder"]


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'
    assert canonical_json({"a": "é", "b": (1, 2.5, None)}) == '{"a":"é","b":[1,2.5,null]}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_digests_are_sha_256(tmp_path: Path) -> None:
    # Of the text {} and of nothing, as any other tool gives them.
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    (tmp_path / "empty").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert file_digest(tmp_path / "empty") == empty


def made(tmp_path: Path) -> Path:
    """A folder with two files and its manifest."""
    folder = tmp_path / "artefact"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "b.txt").write_text("b")
    write_artefact_manifest(folder, {"inputs": {"gamma": 0.95}, "note": "é"})
    return folder


def test_a_manifest_reads_back_with_the_digest_of_every_file(tmp_path: Path) -> None:
    folder = made(tmp_path)
    assert read_artefact_manifest(folder) == {
        "inputs": {"gamma": 0.95},
        "note": "é",
        "files": {
            "a.txt": file_digest(folder / "a.txt"),
            "sub/b.txt": file_digest(folder / "sub" / "b.txt"),
        },
    }


def test_a_manifest_has_the_same_bytes_on_every_run(tmp_path: Path) -> None:
    one, two = made(tmp_path / "1"), made(tmp_path / "2")
    assert (one / MANIFEST).read_bytes() == (two / MANIFEST).read_bytes()


def test_a_changed_file_is_named_with_both_digests(tmp_path: Path) -> None:
    folder = made(tmp_path)
    expected = file_digest(folder / "sub" / "b.txt")
    (folder / "sub" / "b.txt").write_text("B")
    found = file_digest(folder / "sub" / "b.txt")
    with pytest.raises(ArtefactError) as caught:
        read_artefact_manifest(folder)
    assert str(caught.value) == (
        f"{folder / 'sub' / 'b.txt'} is damaged: its SHA-256 is {found}, "
        f"its manifest says {expected}. Hint: remove {folder} and run again to have it made anew"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / "a.txt").unlink()
    with pytest.raises(ArtefactError, match=re.escape(f"{folder / 'a.txt'} is missing. Hint:")):
        read_artefact_manifest(folder)


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "[]", "null", "3", "{}", '{"files": []}', '{"files": null}', b"\xff\xfe"],
)
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str | bytes | None) -> None:
    folder = made(tmp_path)
    path = folder / MANIFEST
    path.unlink()
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ArtefactError, match=re.escape(f"{path} is missing or damaged: ")):
        read_artefact_manifest(folder)


class Builder:
    """Writes one file, and counts how often."""

    def __init__(self, text: str = "built") -> None:
        self.text = text
        self.times = 0

    def __call__(self, folder: Path) -> None:
        self.times += 1
        (folder / "file.txt").write_text(self.text)


def test_an_artefact_is_built_once_and_then_used_again(tmp_path: Path) -> None:
    workspace, build = Workspace(tmp_path / "ws"), Builder()
    folder, built = workspace.artefact("credit", "grpo", {"gamma": 0.95}, build)
    assert built
    assert (folder / "file.txt").read_text() == "built"
    again, built = workspace.artefact("credit", "grpo", {"gamma": 0.95}, build)
    assert (again, built, build.times) == (folder, False, 1)
    # Another process finds it by the same name.
    other, built = Workspace(tmp_path / "ws").artefact("credit", "grpo", {"gamma": 0.95}, build)
    assert (other, built) == (folder, False)


def test_an_artefact_is_named_by_what_made_it(tmp_path: Path) -> None:
    workspace, build = Workspace(tmp_path), Builder()
    inputs = {"gamma": 0.95, "tau": 0.1}
    folder, _ = workspace.artefact("credit", "grpo", inputs, build)
    expected = digest({"inputs": inputs, "version": package_version()})[:16]
    assert folder == tmp_path / "credit" / f"grpo-{expected}"
    assert workspace.artefact("log", "", inputs, build)[0] == tmp_path / "log" / expected
    other, built = workspace.artefact("credit", "grpo", {**inputs, "tau": 0.2}, build)
    assert built
    assert other != folder
    swapped, built = workspace.artefact("credit", "grpo", {"tau": 0.1, "gamma": 0.95}, build)
    assert (swapped, built) == (folder, False)


def test_an_artefact_carries_what_made_it(tmp_path: Path) -> None:
    folder, _ = Workspace(tmp_path).artefact("index", "", {"embedder": "tfidf"}, Builder())
    assert read_artefact_manifest(folder) == {
        "inputs": {"embedder": "tfidf"},
        "version": package_version(),
        "files": {"file.txt": file_digest(folder / "file.txt")},
    }


def test_another_version_of_the_workbench_builds_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, build = Workspace(tmp_path), Builder()
    old, _ = workspace.artefact("log", "", {}, build)
    monkeypatch.setattr("workbench.files.version", lambda package: "99.0")
    new, built = workspace.artefact("log", "", {}, build)
    assert built
    assert new != old


def test_a_damaged_artefact_is_named_and_neither_read_nor_rebuilt(tmp_path: Path) -> None:
    workspace, build = Workspace(tmp_path), Builder()
    folder, _ = workspace.artefact("log", "", {}, build)
    (folder / "file.txt").write_text("spoilt")
    with pytest.raises(ArtefactError, match=re.escape(f"{folder / 'file.txt'} is damaged")):
        workspace.artefact("log", "", {}, build)
    assert build.times == 1
    assert (folder / "file.txt").read_text() == "spoilt"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_build_that_fails_leaves_nothing_and_can_be_run_again(
    tmp_path: Path, error: type[BaseException]
) -> None:
    workspace = Workspace(tmp_path)

    def broken(folder: Path) -> None:
        (folder / "file.txt").write_text("half")
        raise error

    with pytest.raises(error):
        workspace.artefact("log", "", {}, broken)
    assert names(tmp_path / "log") == []
    folder, built = workspace.artefact("log", "", {}, Builder())
    assert built
    assert (folder / "file.txt").read_text() == "built"


def test_a_killed_build_leaves_nothing_under_a_final_name(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from workbench.workspace.store import Workspace\n"
        "def killed(folder):\n"
        "    (folder / 'file.txt').write_text('half')\n"
        "    os._exit(9)\n"
        "Workspace(Path(sys.argv[1])).artefact('log', '', {}, killed)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert ended.returncode == 9
    # What was begun is hidden and says that it is a part.
    assert all(re.fullmatch(r"\..*\.part", name) for name in names(tmp_path / "log"))
    folder, built = Workspace(tmp_path).artefact("log", "", {}, Builder())
    assert built
    assert names(folder) == ["file.txt", MANIFEST]


def test_a_workspace_is_made_when_first_written_to(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "a" / "b")
    assert not workspace.root.exists()
    workspace.artefact("log", "", {}, Builder())
    assert workspace.root.is_dir()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.none() | st.floats(allow_nan=False), max_size=5),
    st.dictionaries(st.text(st.characters(codec="utf-8")), JSON, max_size=3),
    st.lists(st.text(st.characters(codec="utf-8")), max_size=2),
)
def test_a_credit_file_reads_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    advantage: list[float | None],
    method: dict[str, Any],
    notes: list[str],
) -> None:
    path = tmp_path_factory.mktemp("credit") / "credit.parquet"
    table = pl.DataFrame({"advantage": pl.Series(advantage, dtype=pl.Float64)})
    credit = ScoredCredit(table, Provenance(method=method, notes=notes, version="1"))
    write_credit(path, credit)
    found = read_credit(path)
    assert_frame_equal(found.table, table)
    assert found.provenance.to_dict() == json.loads(json.dumps(credit.provenance.to_dict()))


def test_a_credit_file_has_the_same_bytes_on_every_run(tmp_path: Path) -> None:
    write_credit(tmp_path / "one", credit(name="grpo", fields={"a": 1, "b": 2}))
    write_credit(tmp_path / "two", credit(fields={"b": 2, "a": 1}, name="grpo"))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    write_credit(tmp_path / "two", credit(name="gigpo"))
    assert (tmp_path / "one").read_bytes() != (tmp_path / "two").read_bytes()
    assert names(tmp_path) == ["one", "two"]


def test_any_parquet_reader_reads_a_credit_file(tmp_path: Path) -> None:
    path = tmp_path / "credit.parquet"
    write_credit(path, credit(name="grpo"))
    assert_frame_equal(pl.read_parquet(path), TABLE)
    assert json.loads(pl.read_parquet_metadata(path)["workbench"])["method"] == {"name": "grpo"}


def test_a_file_without_provenance_is_no_credit_file(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    TABLE.write_parquet(path)
    with pytest.raises(ArtefactError, match=re.escape(f"{path} is no credit file. Hint:")):
        read_credit(path)


def test_a_file_without_advantages_is_no_credit_file(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_credit(path, ScoredCredit(TABLE.drop("advantage")))
    with pytest.raises(ArtefactError, match=re.escape(f"{path} is no credit file. Hint:")):
        read_credit(path)


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "folder"])
def test_a_credit_file_that_cannot_be_read_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "credit.parquet"
    write_credit(path, credit(name="grpo"))
    whole = path.read_bytes()
    path.unlink()
    contents = {"empty": b"", "text": b"advantage\n0.5\n", "cut": whole[:-20]}
    if damage == "folder":
        path.mkdir()
    elif damage in contents:
        path.write_bytes(contents[damage])
    with pytest.raises(ArtefactError, match=re.escape(f"{path} cannot be read as a credit file")):
        read_credit(path)
