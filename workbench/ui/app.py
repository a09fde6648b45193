"""The app: `workbench app`, or `streamlit run app.py -- [LOG…]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import streamlit as st

from workbench.readers.bundled import bundled_logs
from workbench.ui import frame
from workbench.ui.pages import audit, compare, export, overview, rollouts, steps, tune
from workbench.workspace.opened import user_folder


def arguments() -> argparse.Namespace:
    """What stands behind `--` on the command line of streamlit."""
    parser = argparse.ArgumentParser(prog="app.py")
    parser.add_argument("logs", nargs="*", default=[str(bundled_logs()["household"])])
    parser.add_argument("--embedder")
    parser.add_argument("--allow-path-input", action="store_true")
    parser.add_argument("--home", type=Path, default=user_folder() / "app")
    return parser.parse_args(sys.argv[1:])


def main() -> None:
    """The frame of every page, then the page."""
    st.set_page_config("Trajectory workbench", frame.ICON, layout="wide")
    st.html(f"<style>{frame.STYLE}</style>")
    given = arguments()
    page = st.Page
    pages = [
        page(overview.page, title="Overview", icon=":material/dataset:", default=True),
        page(rollouts.page, title="Rollouts", icon=":material/route:", url_path="rollouts"),
        page(steps.page, title="Steps", icon=":material/table_rows:", url_path="steps"),
        page(tune.page, title="Tune", icon=":material/tune:", url_path="tune"),
        page(compare.page, title="Compare", icon=":material/compare_arrows:", url_path="compare"),
        page(audit.page, title="Audit", icon=":material/fact_check:", url_path="audit"),
        page(export.page, title="Export", icon=":material/output:", url_path="export"),
    ]
    # The default page lives at the root; who types its name finds it too.
    named = page(overview.page, title="Overview", url_path="overview", visibility="hidden")
    chosen = st.navigation([*pages, named], position="hidden")
    frame.set_pages(pages, allow_paths=given.allow_path_input)
    frame.open_view(chosen.title, given.home, tuple(given.logs), given.embedder)
    chosen.run()


if __name__ == "__main__":
    main()
