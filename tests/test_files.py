"""Files and folders that appear whole, with the digests of what is in them."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from folders import names

from workbench.errors import ArtefactError, StorageError
from workbench.files import (
    MANIFEST,
    atomic_file,
    atomic_folder,
    canonical_json,
    digest,
    file_digest,
    read_artefact_manifest,
    remove_folder,
    write_artefact_manifest,
)


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    """Sets the process's mask for new files, and sets it back."""
    before = os.umask(0o022)

    def mask_by(mask: int) -> None:
        os.umask(mask)

    yield mask_by
    os.umask(before)


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


def test_a_folder_is_removed_with_all_in_it(tmp_path: Path) -> None:
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "sub" / "file").write_text("x")
    remove_folder(tmp_path / "folder")
    remove_folder(tmp_path / "folder")
    assert names(tmp_path) == []


def test_what_a_kill_leaves_of_a_folder_does_not_bear_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".credit.parts"
    (path / "log").mkdir(parents=True)
    (path / "log" / MANIFEST).write_text("{}")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(path)
    (left,) = tmp_path.iterdir()
    assert re.fullmatch(rf"\.credit\.parts\.{os.getpid()}-[\w-]+\.part", left.name)
    # A search for artefacts, two levels below a workspace, does not find it.
    assert list(tmp_path.glob(f"*/*/{MANIFEST}")) == []


def test_a_folder_that_cannot_be_removed_is_named_or_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder"
    path.mkdir()

    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(StorageError, match="folder: Permission denied"):
        remove_folder(path)
    remove_folder(path, ignore_errors=True)
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
        f"its manifest says {expected}. Hint: remove {folder} and run again to have it rebuilt"
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
