"""Smoke test of the built wheel: outside the checkout it runs a bundled log and shows the app.

python .ci/wheel.py        in an environment that has what the workbench depends on
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

HEADING = "32px"  # 2rem, as .streamlit/config.toml has it; Streamlit's own is larger


def main() -> None:
    """Builds the wheel, installs it apart, and runs it in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        wheels, site, here = home / "wheels", home / "site", home / "here"
        here.mkdir()
        pip = [sys.executable, "-m", "pip", "-q"]
        subprocess.run([*pip, "wheel", "--no-deps", "-w", str(wheels), str(ROOT)], check=True)
        (wheel,) = wheels.glob("*.whl")
        install = ["install", "--no-deps", "--target", str(site), str(wheel)]
        subprocess.run([*pip, *install], check=True)
        # Goes before the checkout that the environment may have.
        environment = os.environ | {"PYTHONPATH": str(site), "XDG_CACHE_HOME": str(home / "cache")}

        def python(*arguments: str) -> str:
            command = [sys.executable, *arguments]
            done = subprocess.run(
                command, cwd=here, env=environment, check=True, capture_output=True, text=True
            )
            return done.stdout

        found = Path(python("-c", "import workbench; print(workbench.__file__)").strip())
        if site not in found.parents:
            raise SystemExit(f"not the wheel's package was imported but {found}")
        workbench = str(site / "bin" / "workbench")
        ran = python(workbench, "run", "household", "--embedder", "tfidf", "-o", "work")
        if "3,732 steps" not in ran or not list((here / "work").glob("credit/*/credit.parquet")):
            raise SystemExit(f"`workbench run household` printed:\n{ran}")
        show(workbench, here, environment)
    print("the wheel runs a bundled log and shows the app with its theme")


def show(workbench: str, here: Path, environment: dict[str, str]) -> None:
    """Starts the app and looks at it in a browser."""
    from browser import browser, free_port, opened

    port = free_port()
    command = [sys.executable, workbench, "app", "--port", str(port), "--headless"]
    # Streamlit is a child of the command, so both go by their group.
    server = subprocess.Popen(command, cwd=here, env=environment, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        with browser() as chromium, opened(chromium, address) as page:
            shown = page.inner_text("body")
            size = page.evaluate("() => getComputedStyle(document.querySelector('h1')).fontSize")
    finally:
        os.killpg(server.pid, 15)
        server.wait(20)
    if "household" not in shown:
        raise SystemExit(f"the app does not show the bundled log:\n{shown}")
    if size != HEADING:
        raise SystemExit(f"the app is not in its theme: a title is {size} high, not {HEADING}")


if __name__ == "__main__":
    main()
