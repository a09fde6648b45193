"""The app: `workbench app`, or `streamlit run app.py -- [LOG…]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import streamlit as st

from workbench.readers.bundled import bundled_logs
from workbench.ui import cache, frame, state
from workbench.workspace.opened import user_folder

PAGES = {
    "overview": ":material/dataset:",
    "rollouts": ":material/route:",
    "steps": ":material/table_rows:",
    "map": ":material/scatter_plot:",
    "tune": ":material/tune:",
    "compare": ":material/compare_arrows:",
    "audit": ":material/fact_check:",
    "export": ":material/output:",
}
"""The pages, each a module of `pages` that is loaded when somebody opens it, with their icons."""


def _shown(name: str) -> Callable[[], None]:
    """Function that draws a page."""

    def page() -> None:
        import_module(f"workbench.ui.pages.{name}").page()

    return page


def arguments() -> argparse.Namespace:
    """Arguments behind `--` on the command line of streamlit."""
    parser = argparse.ArgumentParser(prog="app.py")
    parser.add_argument("logs", nargs="*")
    parser.add_argument("--watch", type=Path)
    parser.add_argument("--embedder")
    parser.add_argument("--allow-path-input", action="store_true")
    parser.add_argument("--keep-uploads", type=int)
    parser.add_argument("--home", type=Path, default=user_folder() / "app")
    given = parser.parse_args(sys.argv[1:])
    given.logs = given.logs or [str(bundled_logs()["household"])]
    return given


def main() -> None:
    """The frame of every page, then the page."""
    st.set_page_config("Trajectory workbench", frame.ICON, layout="wide")
    st.html(f"<style>{frame.STYLE}</style>")
    given = arguments()
    pages = [
        st.Page(_shown(name), title=name.capitalize(), icon=icon, url_path=name)
        if name != frame.HOME
        else st.Page(_shown(name), title=name.capitalize(), icon=icon, default=True)
        for name, icon in PAGES.items()
    ]
    # The default page lives at the root; who types its name finds it too.
    home = frame.HOME
    named = st.Page(_shown(home), title=home.capitalize(), url_path=home, visibility="hidden")
    chosen = st.navigation([*pages, named], position="hidden")
    # A link to the page that is shown is to where one is, so that it shows as chosen.
    linked = [chosen if page.title == chosen.title else page for page in pages]
    frame.set_pages(linked, allow_paths=given.allow_path_input)
    logs, days = tuple(given.logs), given.keep_uploads
    frame.open_view(chosen.title, given.home, logs, given.embedder, keep_days=days)
    if given.watch is not None:
        st.session_state[state.WATCHED] = cache.watched(str(given.home), str(given.watch))
    chosen.run()


if __name__ == "__main__":
    main()
