"""Contents of the reference pages, made from the code: `PARTS` has a function per part."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import typer

import workbench
from workbench import cli
from workbench.exporters import TARGETS
from workbench.glossary import GLOSSARY
from workbench.log.columns import column_table
from workbench.methods.base import METHODS, TRAITS, methods_table
from workbench.parameters import FieldSpec, fields
from workbench.readers.base import FORMATS
from workbench.states.keys import ACTION_KEYS, STATE_KEYS


def table(rows: Iterable[Mapping[str, str]]) -> str:
    """Rows as a Markdown table."""
    rows = list(rows)
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    escaped = ([cell.replace("\n", " ").replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in escaped)


def in_code(names: Iterable[str]) -> str:
    """Names as code, separated by commas; a dash where there is none."""
    return ", ".join(f"`{name}`" for name in names) or "–"


def glossary() -> str:
    """The table of words."""
    return table({"word": f"**{word}**", "meaning": meaning} for word, meaning in GLOSSARY.items())


def methods() -> str:
    """The table of methods."""
    rows = methods_table().to_dicts()
    return table({**row, "method": f"[`{row['method']}`](#{row['method']})"} for row in rows)


def method_pages() -> str:
    """A section per method: formula, conventions, fields and dialects."""
    parts = []
    for method in METHODS.values():
        parts += [
            f"## {method.name} {{ #{method.name} }}",
            f"`{method.summary}`",
            prose(method.about),
            f"Traits: {in_code(method.traits)}",
            field_table(fields(method.cls)),
        ]
        if method.dialects:
            parts.append(
                table(
                    {
                        "dialect": f"`{method.name}:{dialect.name}`",
                        "fields": in_code(f"{k}={v}" for k, v in dialect.fields.items()),
                        "traits": in_code(dialect.traits),
                        "source": dialect.source,
                    }
                    for dialect in method.dialects.values()
                )
            )
    return "\n\n".join(part for part in parts if part)


def field_table(found: Mapping[str, FieldSpec]) -> str:
    """The fields of a method, a key or a target; empty where it has none."""
    if not found:
        return ""
    return table(
        {
            "field": f"`{name}`",
            "default": f"`{spec.default}`",
            "values": in_code(map(str, spec.choices)) if spec.choices else spec.type.__name__,
            "meaning": spec.metadata["help"],
        }
        for name, spec in found.items()
    )


def traits() -> str:
    """The table of traits, with what each holds for."""
    holders = {
        name: entry.traits
        for method in METHODS.values()
        for name, entry in (
            (method.name, method),
            *((f"{method.name}:{dialect.name}", dialect) for dialect in method.dialects.values()),
        )
    }
    return table(
        {
            "trait": f"`{trait}`",
            "meaning": meaning,
            "holds for": in_code(name for name in holders if trait in holders[name]),
        }
        for trait, meaning in TRAITS.items()
    )


def columns() -> str:
    """The table of the step log's columns; required ones are bold."""
    rows = []
    for column in column_table():
        name = f"`{column['column']}`"
        default = "" if column["default"] is None else f" Default {str(column['default']).lower()}."
        rows.append(
            {
                "column": f"**{name}**" if column["required"] else name,
                "type": column["type"],
                "meaning": column["meaning"] + default,
                "aliases": ", ".join(column["aliases"]),
            }
        )
    return table(rows)


def formats() -> str:
    """The formats that are read."""
    return table(
        {"format": f"`{name}`", "what it is": entry.description} for name, entry in FORMATS.items()
    )


def targets() -> str:
    """A section per export target: what it writes, its options, what the trainer turns off."""
    parts = []
    for name, target in TARGETS.items():
        parts += [f"## {name}", target.description]
        if target.layout.turn_off:
            parts.append(f"For {target.layout.trainer}: {target.layout.turn_off}.")
        parts.append(
            table(
                {"option": f"`{key}`", "default": f"`{value}`", "meaning": target.helps[key]}
                for key, value in target.options.items()
            )
        )
    return "\n\n".join(parts)


def keys() -> str:
    """State and action keys, with their fields."""
    parts = []
    for title, registry in (("State keys", STATE_KEYS), ("Action keys", ACTION_KEYS)):
        parts.append(f"## {title}")
        for name, entry in registry.items():
            parts += [f"### {name}", prose(inspect.getdoc(entry) or ""), field_table(fields(entry))]
    return "\n\n".join(part for part in parts if part)


def commands() -> str:
    """The help of every command, as it is printed."""
    group: Any = typer.main.get_command(cli.app)
    context = typer.Context(group, info_name="workbench", terminal_width=92, max_content_width=92)
    return "\n\n".join(helps(group, context))


def helps(command: Any, context: Any) -> list[str]:
    """The help of a command and of those below it."""
    found = [f"## {context.command_path}\n\n```text\n{command.get_help(context).strip()}\n```"]
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            found += helps(below, typer.Context(below, info_name=name, parent=context))
    return found


def python() -> str:
    """The public names of `import workbench as wb`, with signatures and docstrings."""
    parts = []
    for name in workbench.__all__:
        entry = getattr(workbench, name)
        if callable(entry):
            parts += [f"## {name}", signature(name, entry), prose(inspect.getdoc(entry) or "")]
    return "\n\n".join(part for part in parts if part)


def signature(name: str, entry: Any) -> str:
    """Signature of a function; nothing for a class, whose docstring lists its arguments."""
    if inspect.isclass(entry):
        return ""
    arguments = [re.sub(r"(: )?'?(typing\.)?", r"\1", str(p)) for p in
                 inspect.signature(entry).parameters.values()]  # fmt: skip
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return f"```python\nwb.{name}(\n{lines})\n```"


SECTION = re.compile(r"(Args|Returns|Yields|Raises|Attributes|Example):")


def prose(docstring: str) -> str:
    """A Google docstring as Markdown: its sections become lists."""
    lines, section = [], ""
    for line in docstring.splitlines():
        entry = re.fullmatch(r"    (\S[^:]*): (.*)", line)
        if heading := SECTION.fullmatch(line):
            section = heading[1]
            lines += [f"**{section}**", ""]
        elif not section or not line.startswith("    "):
            section = section if not line else ""
            lines.append(line)
        elif section == "Example":
            lines.append(line)
        elif entry and section != "Returns":
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        else:
            lines.append(line[2:] if section != "Returns" else line.strip())
    return "\n".join(lines)


PARTS: Mapping[str, Callable[[], str]] = {
    "methods": methods,
    "method_pages": method_pages,
    "traits": traits,
    "glossary": glossary,
    "columns": columns,
    "formats": formats,
    "targets": targets,
    "keys": keys,
    "commands": commands,
    "python": python,
}
