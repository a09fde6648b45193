"""How long a move of τ and the start of the app take, against an empty Streamlit app.

    python benchmarks/app.py [--steps 10000 100000] [--moves 15]

Each figure is a median over moves in one headless Chromium; only the ratio is worth quoting, since
both sides share the machine and the run. A move is timed from the key press until the slider shows
the new value, the app has stopped running and two frames are drawn.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import browser, opened, served, settled  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

VALUE = """() => {
    const slider = document.querySelector('[role=slider], input[type=range]');
    return slider && (slider.getAttribute('aria-valuetext') ?? slider.value);
}"""
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
STOPPED = (
    "() => document.querySelector('[data-testid=\"stApp\"]')"
    "?.getAttribute('data-test-script-state') === 'notRunning'"
)


def synthetic(steps: int, path: Path) -> Path:
    """A log of groups of 8 rollouts of 10 steps, some 26 % of the states of a group distinct."""
    rng = np.random.default_rng(0)
    trajectories = steps // 10
    trajectory = np.repeat(np.arange(trajectories), 10)
    group = trajectory // 8
    state = rng.integers(0, 21, steps)
    won = rng.random(trajectories) < 0.5
    index = np.tile(np.arange(10), trajectories)
    words = np.array(["door", "mug", "shelf", "sink", "drawer", "table", "key", "lamp"])
    text = [
        f"You are at the {words[s % 8]} {s} of room {g % 97}. You see a {words[(s + g) % 8]}."
        for s, g in zip(state, group, strict=True)
    ]
    frame = pl.DataFrame(
        {
            "group_id": [f"task-{g:05d}" for g in group],
            "trajectory_id": [f"task-{t // 8:05d}/rollout-{t % 8}" for t in trajectory],
            "step_index": index,
            "observation": text,
            "action": ["go"] * steps,
            "reward": ((index == 9) & won[trajectory]).astype(np.float64),
        }
    )
    frame.write_parquet(path)
    return path


def moves(page: Page, count: int) -> float:
    """Median seconds from a key press on the slider to the repaint."""
    slider = page.get_by_role("slider").first
    slider.focus()
    spent = []
    for number in range(count + 3):
        before = page.evaluate(VALUE)
        began = time.perf_counter()
        slider.press("ArrowRight" if number % 2 else "ArrowLeft")
        page.wait_for_function(f"before => ({VALUE})() !== before", arg=before)
        page.wait_for_timeout(30)  # the message to the server leaves after the slider has moved
        page.wait_for_function(STOPPED)
        page.evaluate(DRAWN)
        spent.append(time.perf_counter() - began)
        page.wait_for_timeout(150)
    return statistics.median(spent[3:])


def first_paint(chrome: Browser, script: Path, arguments: list[str], home: Path) -> float:
    """Seconds from starting the server until a browser shows the first page, run to its end."""
    began = time.perf_counter()
    with served(script, *arguments, home=home) as address, opened(chrome, address) as page:
        settled(page)
        page.locator(".js-plotly-plot").first.wait_for()
        return time.perf_counter() - began


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--moves", type=int, default=15)
    asked = parser.parse_args()
    empty, app = ROOT / "benchmarks" / "empty_app.py", ROOT / "app.py"
    with tempfile.TemporaryDirectory() as folder, browser() as chrome:
        home = Path(folder)
        starts: dict[str, list[float]] = {"empty": [], "app": []}
        for turn in range(3):
            starts["empty"].append(first_paint(chrome, empty, [], home / f"e{turn}"))
            own = ["--home", str(home / f"a{turn}")]
            starts["app"].append(first_paint(chrome, app, own, home / f"s{turn}"))
        start = {name: statistics.median(values) for name, values in starts.items()}
        ratio = start["app"] / start["empty"]
        seconds = ", ".join(f"{name} {value:.2f} s" for name, value in start.items())
        print(f"start to first useful paint: {seconds}, ratio {ratio:.2f}")
        with served(empty, home=home / "empty") as address, opened(chrome, address) as page:
            floor = moves(page, asked.moves)
        print(f"move of an empty slider with two charts: {floor * 1000:.0f} ms")
        for steps in asked.steps:
            log = synthetic(steps, home / f"{steps}.parquet")
            arguments = [str(log), "--home", str(home / f"app{steps}")]
            with (
                served(app, *arguments, home=home / f"server{steps}") as address,
                opened(chrome, f"{address}/temperature") as page,
            ):
                page.get_by_role("slider").first.wait_for(timeout=300_000)
                settled(page, 300)
                spent = moves(page, asked.moves)
            print(f"move of τ at {steps:,} steps: {spent * 1000:.0f} ms, ratio {spent / floor:.2f}")


main()
