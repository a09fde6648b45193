"""A benchmark measures again where code is written differently, however far it is off."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from workbench.bench import code
from workbench.bench.code import code_digest, imported
from workbench.bench.identity import identity
from workbench.methods import create
from workbench.methods.backup.soft_crbc import SoftCRBC


def written(folder: Path, **modules: str) -> Path:
    folder.mkdir()
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder / "method.py"


@pytest.mark.parametrize(
    ("changed", "again"), [("method", True), ("near", True), ("far", True), ("other", False)]
)
def test_a_change_counts_where_a_module_imports_it_however_far_off(
    changed: str, again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {
        "method": "from workbench.near import number",
        "near": "def number():\n    from workbench import far\n    return far.ONE",
        "far": "from workbench.method import nothing\nONE = 1",
        "other": "ONE = 1",
    }
    digests = []
    for place, texts in (
        (tmp_path / "before", modules),
        (tmp_path / "after", {**modules, changed: modules[changed] + "\n# otherwise"}),
    ):
        monkeypatch.setattr(code, "ROOT", place)
        digests.append(code_digest({written(place, **texts)}))
    assert (digests[0] != digests[1]) == again


def test_the_kernel_of_soft_crbc_is_part_of_what_it_is() -> None:
    names = {file.name for file in imported(Path(inspect.getfile(SoftCRBC)))}
    assert {"kernel.py", "transitions.py", "crbc.py"} <= names
    assert "hgpo.py" not in names


def test_a_wrapper_is_another_with_another_method_in_it() -> None:
    of_grpo, of_rloo = (create("salt", {"of": name}) for name in ("grpo", "rloo"))
    one, other = (identity("salt", method, "tfidf")["of"] for method in (of_grpo, of_rloo))
    assert one == identity("grpo", create("grpo"), "tfidf")
    assert one != other
