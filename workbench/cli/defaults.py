"""A project's defaults: options that `workbench.toml` of the current folder sets."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import ParameterError, UnknownNameError

FILE = "workbench.toml"


def project_defaults(group: Any) -> dict[str, Any]:
    """Defaults by command, as click takes them.

    A key is the name of an option without its dashes: at the top it is for every command that has
    the option, in a table for the command of that name. What stands on the command line wins.

    Args:
        group: The root command.

    Returns:
        Command -> parameter -> value; empty where there is no such file.

    Raises:
        ParameterError: It is no TOML, or a value is of a type that no option takes.
        UnknownNameError: There is no such command or option, with the nearest that there is.
    """
    path = Path(FILE)
    if not path.is_file():
        return {}
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} cannot be read: {error}") from error
    known = {name: _options(command) for name, command in group.commands.items()}
    everywhere = {key: value for key, value in given.items() if not isinstance(value, Mapping)}
    tables = {key: value for key, value in given.items() if isinstance(value, Mapping)}
    every = {key for options in known.values() for key in options}
    for key in everywhere:
        _require(key, every, f"option in {path}")
    for name, table in tables.items():
        _require(name, known, f"command in {path}")
        for key in table:
            _require(key, known[name], f"option of {name} in {path}")
    found = {}
    for name, options in known.items():
        chosen = {**everywhere, **tables.get(name, {})}
        found[name] = {
            options[key]: _value(key, value) for key, value in chosen.items() if key in options
        }
    if given:
        said = ", ".join(
            [*everywhere, *(f"{name}.{key}" for name in tables for key in tables[name])]
        )
        print(f"note: {path} sets {said}", file=sys.stderr)
    return found


def _options(command: Any) -> dict[str, str]:
    """Name of each option without its dashes -> the parameter it sets."""
    return {
        flag.lstrip("-"): parameter.name
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name != "help"
        for flag in parameter.opts
    }


def _require(key: str, known: Any, kind: str) -> None:
    if key not in known:
        raise UnknownNameError(kind, key, known)


def _value(key: str, value: Any) -> Any:
    """A value as click takes it: what is typed as text, repeated options as a list of texts."""
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        return [str(one) for one in value]
    if isinstance(value, bool | int | float | str):
        return value
    raise ParameterError(
        f"{FILE}: {key} must be a text, a number, true, false or a list of those, got {value!r}"
    )
