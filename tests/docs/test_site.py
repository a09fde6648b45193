"""The documents are built as a site; a broken link ends the build; the reference is whole."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html import unescape
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from conftest import not_here
from places import ROOT

import workbench
from workbench import cli
from workbench.exporters import TARGETS
from workbench.log.columns import column_table
from workbench.methods.base import METHODS, TRAITS
from workbench.readers.base import FORMATS
from workbench.states.keys import ACTION_KEYS, STATE_KEYS


def build(root: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    if find_spec("zensical") is None:
        not_here("no zensical: it comes with the extra test")
    return subprocess.run(
        [sys.executable, str(root / "docs" / "build.py"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def words(site: Path, page: str) -> str:
    """The text of a page, its tags taken out."""
    html = (site / page / "index.html").read_text(encoding="utf-8")
    return unescape(re.sub(r"<[^>]+>", "", html))


def test_every_document_is_a_page_of_the_menu(site: Path):
    menu = (ROOT / "docs" / "zensical.toml").read_text(encoding="utf-8")
    for path in (ROOT / "docs").rglob("*.md"):
        place = path.relative_to(ROOT / "docs")
        assert f'"{place}"' in menu, place
        assert (
            site / ("" if place.stem == "index" else place.with_suffix("")) / "index.html"
        ).exists()


def test_the_reference_has_all_that_the_code_has(site: Path):
    dialects = [f"{m.name}:{name}" for m in METHODS.values() for name in m.dialects]
    group = typer.main.get_group(cli.app)
    for page, names in (
        ("methods", [*METHODS, *dialects]),
        ("traits", TRAITS),
        ("columns", [column["column"] for column in column_table()]),
        ("keys", [*STATE_KEYS, *ACTION_KEYS]),
        ("formats", FORMATS),
        ("targets", TARGETS),
        ("commands", [f"workbench {name}" for name in group.commands]),
        ("python", [f"wb.{n}(" for n in workbench.__all__ if n.islower() and n[0] != "_"]),
    ):
        text = words(site, f"reference/{page}")
        assert [name for name in names if name not in text] == [], page
        assert "generated:" not in text


def test_a_method_s_formula_conventions_and_fields_are_on_its_page(site: Path):
    text = words(site, "reference/methods")
    for method in METHODS.values():
        assert "Source: " in method.about
        assert method.summary in text
    assert "S_i   = G_i − Σ_j softmax_j(sim(o_i, o_j)/τ) · G_j" in text
    assert "τ, how fast weight falls with distance" in text


def test_no_page_asks_another_server_for_anything(site: Path):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'(?:src|srcset)="?https?:', text) == [], page
        for tag in re.findall(r"<link[^>]+>", text):
            assert "://" not in tag, tag


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ("[x](nowhere.md)", "docs/limits.md links to nowhere.md, which is not there"),
        ("[x](concepts.md#nowhere)", "anchor does not exist"),
    ],
)
def test_a_broken_link_ends_the_build(tmp_path: Path, link: str, says: str):
    for name in ("docs", "data", "skills", "examples", "tests/samples/verl-agent"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for path in ROOT.glob("*.md"):
        shutil.copy(path, tmp_path)
    with (tmp_path / "docs" / "limits.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{link}\n")
    done = build(tmp_path, tmp_path / "build")
    assert done.returncode == 1
    assert says in done.stdout + done.stderr
