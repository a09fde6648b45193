"""The command line's root: the Typer app, its options, and what its errors look like."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from workbench.errors import LogError, WorkbenchError

ORDER = (
    "import", "validate", "facts", "run", "score", "advise", "tune", "audit", "compare",
    "explain", "neighbours", "decompose", "export", "report", "app", "methods", "keys", "formats",
    "glossary", "clean", "simulate", "bench",
)  # fmt: skip
"""Commands in the order of work: a log, its credit, a batch; then what there is to look up."""


class StoppedError(Exception):
    """A signal ended the command.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(
            f"stopped by {signal.Signals(number).name}; nothing unfinished bears a final name. "
            "Hint: the same command starts again, and what was finished is not made twice"
        )


class _SigtermKeyboardInterrupt(KeyboardInterrupt):
    """SIGTERM, which unwinds a command as an interruption by the keyboard does."""


def _signal_behind(error: BaseException) -> int | None:
    """Number of the signal that an error stands for, if it does.

    A library that was calling Python when it came names it in the text of an error of its own.
    """
    if not isinstance(error, KeyboardInterrupt) and type(error).__name__ != "PanicException":
        return None
    text = f"{type(error).__name__} {error} {error.__cause__}"
    if _SigtermKeyboardInterrupt.__name__ in text:
        return signal.SIGTERM
    return signal.SIGINT if "KeyboardInterrupt" in text else None


class InOrder(TyperGroup):
    """A group that lists its commands in the order of work."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an interruption is reported by `main`, not by click."""
        try:
            return super().invoke(ctx)
        except BaseException as error:
            ended = _signal_behind(error)
            if ended is None:
                raise
            raise StoppedError(ended) from error

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
        "workbench glossary                  step, group, credit, peer and other words",
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
    """Read the project's defaults before any command runs."""
    from workbench.cli.defaults import project_defaults

    del version
    context.default_map = project_defaults(context.command)


_PACKAGES = {"PIL": "pillow", "faiss": "faiss-cpu", "sklearn": "scikit-learn"}
"""Modules that have another name than their package."""

_HINTS = {
    errno.ENOSPC: "free some space, also in the folder of TMPDIR, and run the same command again",
    errno.EDQUOT: "your quota is used up; free some space and run the same command again",
    errno.EFBIG: "a limit on the size of files is reached; see `ulimit -f`",
    errno.EROFS: "the place is read-only; name another one",
}
"""Hints for errors of the system."""

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Base class of what is wrong with a command's arguments; Typer exports only this one of them."""


_LATER = 0.01
"""Seconds after which a signal that came at a bad moment comes again."""


@contextmanager
def _unwound_by_signals() -> Iterator[None]:
    """SIGTERM and SIGINT raise in the main thread meanwhile, so that temporary files are removed.

    Not inside polars, which calls its own Python and panics where that raises.
    """

    def end(number: int, frame: FrameType | None) -> None:
        module = "" if frame is None else frame.f_globals.get("__name__", "")
        if module.partition(".")[0] == "polars":
            again = threading.Timer(_LATER, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        raise _SigtermKeyboardInterrupt if number == signal.SIGTERM else KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # One that is ignored, as SIGINT in the background of a shell, stays so.
    before = {
        number: signal.signal(number, end)
        for number in (signal.SIGTERM, signal.SIGINT)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> None:
    """Run the command line and exit.

    What the user can put right exits with 2 and one message on standard error: text that begins
    with `error: `, or with `--json` a last line that is a JSON object.
    """
    try:
        with _unwound_by_signals():
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
    except StoppedError as error:
        _refuse(error, str(error))
        code = 128 + error.number
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
        hint = _HINTS.get(error.errno or 0)
        if error.filename is None and hint is None:
            raise
        place = "a temporary file" if error.filename is None else error.filename
        code = _refuse(error, f"{place}: {error.strerror}" + (f". Hint: {hint}" if hint else ""))
    sys.exit(code if isinstance(code, int) else 0)


def _as_json() -> bool:
    return "--json" in sys.argv


def _refuse(error: Exception, message: str) -> int:
    """Say what is wrong on standard error; the exit code."""
    if not _as_json():
        print(f"error: {message}", file=sys.stderr)
        return 2
    found: dict[str, Any] = {"type": type(error).__name__, "message": message}
    if isinstance(error, LogError):
        found["problems"] = [vars(problem) for problem in error.problems]
    print(json.dumps({"error": found}, ensure_ascii=False, default=list), file=sys.stderr)
    return 2
