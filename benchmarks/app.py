"""Times of the app against an empty Streamlit app: start, keys, filter, map, audit, τ; memory.

    python benchmarks/app.py [--steps 10000 100000] [--memory 100000 1000000] [--moves 15]

Each figure is a median in one headless Chromium; only the ratio is worth quoting, since both sides
share the machine and the run. Keys, clicks and filters are timed in the browser from the event to
the second frame after what they change has changed; a move of τ from the key press until the slider
shows the new value, the app has stopped running and two frames are drawn. An audit is timed from
the click on its page, with vectors made before, until its first findings and until it is whole.
"""

from __future__ import annotations

import argparse
import json
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

CHART = ".js-plotly-plot"
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


def first_paint(
    chrome: Browser, script: Path, home: Path, *, page_name: str = "", useful: str = CHART
) -> float:
    """Seconds from starting the server until a browser shows what a page is opened for."""
    began = time.perf_counter()
    arguments = [] if page_name == "" else ["--home", str(home / "app")]
    with served(script, *arguments, home=home) as address:
        context = chrome.new_context()
        page = context.new_page()
        page.goto(f"{address}/{page_name}")
        page.locator(useful).first.wait_for(timeout=120_000)
        spent = time.perf_counter() - began
        context.close()
        return spent


WATCH = """([event, target]) => {
    window.spent = [];
    window.addEventListener(event, begin => {
        if (event === 'keydown' && !['j', 'k', 'Enter'].includes(begin.key)) return;
        const t = performance.now();
        const seen = () => document.querySelector(target)?.innerText;
        const before = seen();
        const look = () => {
            if (seen() === before || seen() === undefined) return requestAnimationFrame(look);
            requestAnimationFrame(() => window.spent.push(performance.now() - t));
        };
        requestAnimationFrame(look);
    }, true);
}"""
COUNT = '[data-testid="stText"]'
FACTS = "text=/[0-9,]+ steps in [0-9,]+ trajectories/"
HERE = '.viewer [aria-current="step"] .num'
TOTAL = ".steps .peek p"


def watch(page: Page, event: str, target: str) -> None:
    """Times an event from before any listener of the app hears it; opens the page anew."""
    page.add_init_script(f"({WATCH})({json.dumps([event, target])})")
    page.reload()
    page.locator(target).first.wait_for(timeout=900_000)
    settled(page, 900)


def waited(page: Page, count: int) -> list[float]:
    """The milliseconds of so many changes, once they are there."""
    page.wait_for_function("n => window.spent.length >= n", arg=count, timeout=60_000)
    found: list[float] = page.evaluate("() => window.spent")
    return found


def clicks(page: Page, count: int) -> float:
    """Median milliseconds from a click on the empty app's button to its repaint."""
    watch(page, "click", COUNT)
    for number in range(count):
        page.get_by_role("button", name="Count").click()
        waited(page, number + 1)
        page.wait_for_timeout(150)
    return statistics.median(waited(page, count)[2:])


def keys(page: Page, count: int) -> tuple[float, int, int]:
    """Median milliseconds from j to its repaint; messages that the server sent before one.

    Returns:
        The median, those messages, and how many of ten presses at 60 ms each (fewer where the
        rollout ends before) were no step.
    """
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    received: list[float] = []
    session.on("Network.webSocketFrameReceived", lambda _: received.append(time.perf_counter()))
    watch(page, "keydown", HERE)
    early = 0
    for number in range(count):
        page.wait_for_timeout(900)  # until nothing of the last step is under way
        received.clear()
        page.keyboard.press("j" if number % 2 == 0 else "k")
        waited(page, number + 1)
        early += len(received)
    spent = statistics.median(waited(page, count)[2:])
    page.keyboard.press("Home")
    page.wait_for_timeout(900)
    before = int(page.locator(HERE).inner_text())
    for _ in range(10):
        page.keyboard.press("j")
        page.wait_for_timeout(60)
    page.wait_for_timeout(500)
    length = int(page.locator(".viewer .pos").first.inner_text().split()[-1].replace(",", ""))
    lost = min(before + 10, length) - int(page.locator(HERE).inner_text())
    return spent, early, lost


def filters(page: Page, count: int) -> float:
    """Median milliseconds from Enter in the filter to the list that it leaves."""
    box = page.get_by_label("Filter", exact=True)
    watch(page, "keydown", TOTAL)
    for number in range(count):
        terms = (f'"room {number + 1}"', f"proxmo>0.{number + 1:02}", f"depth<{number % 8 + 3}")
        box.fill(terms[number % 3])
        box.press("Enter")
        waited(page, number + 1)
        page.wait_for_timeout(400)
    return statistics.median(waited(page, count)[2:])


SHOWN = ".map .count"
DRAW = """() => {
    const map = document.querySelector('.map');
    const times = [];
    for (let k = 0; k < 9; k++) {
        window.dispatchEvent(new Event('resize'));
        times.push(Number(map.dataset.ms));
    }
    return times.sort((a, b) => a - b)[4];
}"""


def selections(page: Page, count: int) -> float:
    """Median milliseconds from the end of a box on the map to the steps that it leaves."""
    watch(page, "pointerup", SHOWN)
    box = page.locator(".map .over").bounding_box()
    assert box is not None
    for number in range(count):
        x, y = box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.1
        page.mouse.move(x, y)
        page.mouse.down()
        reach = 0.3 + 0.5 * number / count
        page.mouse.move(x + box["width"] * reach, y + box["height"] * reach, steps=4)
        page.mouse.up()
        waited(page, number + 1)
        page.wait_for_timeout(400)
    return statistics.median(waited(page, count)[2:])


def mapped(chrome: Browser, log: Path, home: Path, floor: float, count: int) -> None:
    """Measures a selection and a redraw of the map of a log, and prints."""
    arguments = [str(log), "--home", str(home / f"read-{log.stem}")]
    with (
        served(ROOT / "app.py", *arguments, home=home / f"server-{log.stem}") as address,
        opened(chrome, f"{address}/map") as page,
    ):
        page.locator(SHOWN).wait_for(timeout=900_000)
        settled(page, 900)
        spent = selections(page, count)
        print(f"map selection: {spent:.0f} ms, ratio {spent / floor:.2f} of an empty rerun")
        print(f"  redraw of the map: {page.evaluate(DRAW):.1f} ms")


def memory(page: Page) -> tuple[float, float]:
    """Megabytes of the server that this process has started, and of the page's JavaScript."""
    children = Path("/proc/self/task").glob("*/children")
    pids = [pid for path in children for pid in path.read_text().split()]
    servers = [pid for pid in pids if b"streamlit" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    (status,) = (Path(f"/proc/{pid}/status").read_text() for pid in servers)
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    return int(line.split()[1]) / 1e3, used / 1e6


def reading(chrome: Browser, log: Path, home: Path, floor: float, count: int) -> None:
    """Measures keys and filters on a log against an empty button, and prints."""
    app, arguments = ROOT / "app.py", [str(log), "--home", str(home / f"read-{log.stem}")]
    with (
        served(app, *arguments, home=home / f"server-{log.stem}") as address,
        opened(chrome, f"{address}/rollouts") as page,
    ):
        page.locator(HERE).wait_for(timeout=600_000)
        spent, early, lost = keys(page, count)
        print(f"j to repaint: {spent:.0f} ms, ratio {spent / floor:.2f} of an empty button;")
        print(f"  messages of the server before a repaint: {early} in {count} presses")
        print(f"  of ten presses at 60 ms lost: {lost}")
    with (
        served(app, *arguments, home=home / f"server-{log.stem}") as address,
        opened(chrome, f"{address}/steps") as page,
    ):
        page.locator(TOTAL).first.wait_for(timeout=600_000)
        spent = filters(page, count)
        print(f"a filter to its list: {spent:.0f} ms, ratio {spent / floor:.2f} of an empty rerun")


def held(chrome: Browser, steps: int, home: Path) -> None:
    """Measures the memory of server and browser while a log is read, and prints."""
    log = synthetic(steps, home / f"held-{steps}.parquet")
    arguments = [str(log), "--home", str(home / f"memory{steps}")]
    with (
        served(ROOT / "app.py", *arguments, home=home / f"memory-server{steps}") as address,
        opened(chrome, f"{address}/overview") as page,
    ):
        page.goto(f"{address}/rollouts")
        page.locator(HERE).wait_for(timeout=900_000)
        settled(page, 900)
        for key in ("j", "Shift+J", "g", "j"):
            page.keyboard.press(key)
            page.wait_for_timeout(1500)
        server, browser_heap = memory(page)
        print(f"memory at {steps:,} steps: server {server:,.0f} MB, browser {browser_heap:.0f} MB")


def audited(chrome: Browser, log: Path, home: Path) -> None:
    """Measures how long the first findings of an audit take, and all of it, and prints."""
    app, arguments = ROOT / "app.py", [str(log), "--home", str(home / f"audit-{log.stem}")]
    with (
        served(app, *arguments, home=home / f"audit-server-{log.stem}") as address,
        opened(chrome, f"{address}/rollouts") as page,
    ):
        page.locator(HERE).wait_for(timeout=900_000)
        settled(page, 900)
        began = time.perf_counter()
        page.get_by_role("link", name="Audit").click()
        page.get_by_text("What is wrong?").wait_for(timeout=900_000)
        first = time.perf_counter() - began
        page.get_by_role("tab").first.wait_for(timeout=900_000)
        whole = time.perf_counter() - began
    print(f"audit of {log.stem}: first findings {first:.2f} s of {whole:.2f} s, ", end="")
    print(f"ratio {first / whole:.2f}")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--moves", type=int, default=15)
    parser.add_argument("--memory", type=int, nargs="*", default=[100_000, 1_000_000])
    asked = parser.parse_args()
    empty, app = ROOT / "benchmarks" / "empty_app.py", ROOT / "app.py"
    with tempfile.TemporaryDirectory() as folder, browser() as chrome:
        home = Path(folder)
        shown = {"overview": FACTS, "overview with charts": CHART, "rollouts": HERE}
        starts: dict[str, list[float]] = {name: [] for name in ("empty", *shown)}
        for turn in range(3):
            starts["empty"].append(first_paint(chrome, empty, home / f"e{turn}"))
            for name, useful in shown.items():
                place, page_name = home / f"{name}{turn}", name.partition(" ")[0]
                spent = first_paint(chrome, app, place, page_name=page_name, useful=useful)
                starts[name].append(spent)
        start = {name: statistics.median(values) for name, values in starts.items()}
        for name in shown:
            seconds = f"empty {start['empty']:.2f} s, {name} {start[name]:.2f} s"
            ratio = start[name] / start["empty"]
            print(f"start to first useful paint: {seconds}, ratio {ratio:.2f}")
        button = ROOT / "benchmarks" / "empty_button.py"
        with served(button, home=home / "button") as address, opened(chrome, address) as page:
            pressed = clicks(page, asked.moves)
        print(f"click on an empty button: {pressed:.0f} ms")
        for log in (
            ROOT / "data" / "household.parquet",
            *(synthetic(steps, home / f"read{steps}.parquet") for steps in asked.steps[-1:]),
        ):
            print(f"{log.stem}:")
            reading(chrome, log, home, pressed, asked.moves)
            audited(chrome, log, home)
            mapped(chrome, log, home, pressed, asked.moves)
        for steps in asked.memory:
            held(chrome, steps, home)
        with served(empty, home=home / "empty") as address, opened(chrome, address) as page:
            floor = moves(page, asked.moves)
        print(f"move of an empty slider with two charts: {floor * 1000:.0f} ms")
        for steps in asked.steps:
            log = synthetic(steps, home / f"{steps}.parquet")
            arguments = [str(log), "--home", str(home / f"app{steps}")]
            with (
                served(app, *arguments, home=home / f"server{steps}") as address,
                opened(chrome, f"{address}/tune") as page,
            ):
                page.get_by_role("slider").first.wait_for(timeout=300_000)
                settled(page, 300)
                spent = moves(page, asked.moves)
            print(f"move of τ at {steps:,} steps: {spent * 1000:.0f} ms, ratio {spent / floor:.2f}")


main()
