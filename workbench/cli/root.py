"""The command line's root: the Typer app and what its errors look like."""

from __future__ import annotations

import sys

import typer

from workbench.errors import WorkbenchError

app = typer.Typer(
    name="workbench",
    help="Trajectory analysis and credit assignment for LLM agents: rollout logs in, "
    "per-step advantages compared, weighted batches out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help starts twice as fast
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PACKAGES = {"PIL": "pillow", "faiss": "faiss-cpu", "sklearn": "scikit-learn"}
"""Modules that have another name than their package."""


def main() -> None:
    """Runs the command line; what the user can put right exits with 2 and one message."""
    try:
        app()
    except WorkbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module in {"", "workbench"}:
            raise
        package = _PACKAGES.get(module, module)
        print(
            f"error: `workbench {' '.join(sys.argv[1:2])}` needs the package {package}, which is "
            f"not installed. Hint: pip install {package}",
            file=sys.stderr,
        )
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
