"""The command line's root: the Typer app, its options, and what its errors look like."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from workbench.errors import LogError, WorkbenchError

ORDER = (
    "import", "validate", "facts", "run", "score", "advise", "tune", "audit", "compare",
    "explain", "neighbours", "decompose", "export", "report", "app", "methods", "keys", "formats",
    "clean", "simulate", "bench",
)  # fmt: skip
"""Commands in the order of work: a log, its credit, a batch; then what there is to look up."""


class InOrder(TyperGroup):
    """A group that lists its commands in the order of work."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names in the order of `ORDER`, those of others after them."""
        place = {name: number for number, name in enumerate(ORDER)}
        return sorted(super().list_commands(ctx), key=lambda name: place.get(name, len(place)))


def examples(*lines: str) -> str:
    """The end of a command's help; every line is a command that can be typed."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


app = typer.Typer(
    name="workbench",
    cls=InOrder,
    help="Trajectory analysis and credit assignment for LLM agents: rollout logs in, "
    "per-step advantages compared, weighted batches out.",
    epilog=examples(
        "workbench run household -o work/    the whole way on the bundled log",
        "workbench COMMAND -h                options and examples of a command",
    ),
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help starts twice as fast
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(*, asked: bool) -> None:
    if asked:
        from workbench.files import package_version

        print(f"workbench {package_version()}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda value: _print_version(asked=value),
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Reads the project's defaults before any command runs."""
    from workbench.cli.defaults import project_defaults

    del version
    context.default_map = project_defaults(context.command)


_PACKAGES = {"PIL": "pillow", "faiss": "faiss-cpu", "sklearn": "scikit-learn"}
"""Modules that have another name than their package."""

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Base class of what is wrong with a command's arguments; Typer exports only this one of them."""


def main() -> None:
    """Runs the command line and exits.

    What the user can put right exits with 2 and one message on standard error: text that begins
    with `error: `, or with `--json` a last line that is a JSON object.
    """
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        if not _as_json():
            error.show()  # type: ignore[attr-defined]  # click's
        else:
            _refuse(error, error.format_message())  # type: ignore[attr-defined]  # click's
        code = 2
    except typer.Abort:
        print("aborted", file=sys.stderr)
        code = 1
    except WorkbenchError as error:
        code = _refuse(error, str(error))
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module in {"", "workbench"}:
            raise
        package = _PACKAGES.get(module, module)
        code = _refuse(
            error,
            f"`workbench {' '.join(sys.argv[1:2])}` needs the package {package}, which is "
            f"not installed. Hint: pip install {package}",
        )
    except OSError as error:
        if error.filename is None:
            raise
        code = _refuse(error, f"{error.filename}: {error.strerror}")
    sys.exit(code if isinstance(code, int) else 0)


def _as_json() -> bool:
    return "--json" in sys.argv


def _refuse(error: Exception, message: str) -> int:
    """Says what is wrong on standard error; the exit code."""
    if not _as_json():
        print(f"error: {message}", file=sys.stderr)
        return 2
    found: dict[str, Any] = {"type": type(error).__name__, "message": message}
    if isinstance(error, LogError):
        found["problems"] = [vars(problem) for problem in error.problems]
    print(json.dumps({"error": found}, ensure_ascii=False, default=list), file=sys.stderr)
    return 2
