"""The JavaScript of the components: its own tests, its imports, and that a wheel carries it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from places import ROOT, TESTS

from workbench.ui.viewer.bundle import ASSETS, MAP, PREVIEW, REPORT, STEPS, VIEWER, WHY, bundle

NODE = shutil.which("node") or ""
needs_node = pytest.mark.skipif(not NODE, reason="no Node.js: install Debian's nodejs")
COMPONENTS = {
    "viewer": VIEWER,
    "why": WHY,
    "steps": STEPS,
    "report": REPORT,
    "map": MAP,
    "preview": PREVIEW,
}


@needs_node
def test_the_model_holds_its_tests():
    files = sorted(str(path) for path in (TESTS / "app" / "js").glob("*.test.mjs"))
    done = subprocess.run([NODE, "--test", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_node
@pytest.mark.parametrize("name", COMPONENTS)
def test_the_joined_modules_are_one_module(name: str, tmp_path: Path):
    joined = tmp_path / f"{name}.mjs"
    joined.write_text(bundle(COMPONENTS[name]), encoding="utf-8")
    done = subprocess.run([NODE, "--check", joined], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMPONENTS)
def test_imports_name_what_an_earlier_module_exports(name: str):
    exported: dict[str, set[str]] = {}
    for module in COMPONENTS[name]:
        text = (ASSETS / module).read_text(encoding="utf-8")
        for names, source in re.findall(r'^import \{([^}]*)\} from "\./([\w.]+)";', text, re.M):
            assert {found.strip() for found in names.split(",")} <= exported[source], module
        whole = set(re.findall(r'^import \w+ from "./([\w.]+)";', text, re.M))
        assert all("export default" in (ASSETS / source).read_text() for source in whole), module
        assert len(re.findall(r"^import\b", text, re.M)) == len(whole) + len(
            re.findall(r"^import \{", text, re.M)
        )
        exported[module] = set(re.findall(r"^export (?:function|class|const) (\w+)", text, re.M))
    assert bundle(COMPONENTS[name]).count("export default") == 1
    assert "import " not in re.sub(r"//.*|/\*.*?\*/", "", bundle(COMPONENTS[name]), flags=re.S)


def test_nothing_is_loaded_from_elsewhere_or_read_as_html():
    for path in ASSETS.iterdir():
        text = path.read_text(encoding="utf-8")
        for word in ("http://", "https://", "innerHTML", "insertAdjacentHTML", "eval(", "@import"):
            assert word not in text, (path.name, word)


def test_a_wheel_carries_the_assets(tmp_path: Path):
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named hatchling" in built.stderr:
        pytest.skip("no hatchling here: pip install hatchling")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    carried = {Path(name).name for name in zipfile.ZipFile(wheel).namelist() if "/assets/" in name}
    assert carried == {path.name for path in ASSETS.iterdir()}
