"""Hints of messages in the words of the app.

A message is made once, where the fault is found, and names what to set in the notation of the
command line: `-p field=value`, `--option VALUE`, `workbench command`. That notation is regular, so
it is read here and shown in the pages' words; "Command" shows the command itself.
"""

from __future__ import annotations

import re

OPTIONS = {
    "--allow-unchained": "“Take the guessed order anyway”",
    "--embedder": "State similarity",
    "--format": "Format",
    "--group": "“Groups” on the page Export",
    "--keep-masked": "“Count and train”",
    "--map": "a mapping (“Add a log”)",
    "--marks": "the workspace",
    "--max-nesting": "“Records may nest to” (“Add a log”)",
    "--max-unpacked": "“Compressed files may unpack to” (“Add a log”)",
    "--propose-map": "a mapping (“Add a log”)",
    "--quarantine": "“Set broken trajectories aside” (“Add a log”)",
    "--redact likely": "“Redact” on the page Export",
    "--redact": "“Redact” on the page Export",
    "--rewards": "“Rewards from a file”",
    "--skip-bad": "“Leave out unreadable lines” (“Add a log”)",
    "--task": "“Tasks” on the page Export",
    "--template-loss": "Template loss",
    "--to": "the target",
    "--tokenizer": "“Tokenizer” on the page Export",
    "--tree": "an import that joins equal beginnings",
    "--untrained": "“do not train”",
}
"""Option of the command line -> what the app calls it."""

COMMANDS = {
    "advise": "the page Overview",
    "explain": "the page Rollouts",
    "facts": "the page Overview",
    "formats": "Format (“Add a log”)",
    "import": "“Add a log”",
    "score": "the page Rollouts",
    "tune": "the page Tune",
    "validate": "“Import report” on the page Overview",
}
"""Command -> where the app does it."""

_IN_PYTHON = re.compile(r" \(\w+(?:=[^()\s]+)? in Python\)")
_ONLY_THERE = re.compile(r" \(--last-actions[^)]*\)")
_COMMAND = re.compile(
    r"(?:\b(?P<way>by|with) )?`?\bworkbench (?P<verb>" + "|".join(COMMANDS) + r")\b"
    r"(?P<rest>[^`\n]*`|(?: \S+)? --[a-z-]+(?: [A-Z]{4,}\b| map\.json\b)?| \S+ -o \S+)?"
)
_FIELD = re.compile(r"-p (?P<name>[a-z_]+)(?:=(?P<value>[^\s,;)]*[^\s,;).]))?")
_FOLDERS = re.compile(r"(?<![\w.:/~*-])/(?:[^\s/'\"<>|,;:()]+/)+")
_OPTION = re.compile(
    # The longest first: of two that begin alike the other would never be found.
    r"(?<![\w-])(?P<option>"
    + "|".join(sorted(OPTIONS, reverse=True))
    + r")\b(?: [A-Z]{4,}\b(?:\.csv)?)?"
)


def in_words(message: str) -> str:
    """A message with its hints in the words of the app.

    Example:
        >>> in_words("Hint: -p gamma=1 or -p step_weight=0 gives 0 there.")
        'Hint: gamma = 1 or step weight = 0 gives 0 there.'
        >>> in_words("choose τ by `workbench tune`, or export the others alone (--group)")
        'choose τ on the page Tune, or export the others alone (“Groups” on the page Export)'
    """
    message = _ONLY_THERE.sub("", _IN_PYTHON.sub("", message))
    message = _FIELD.sub(_field, _COMMAND.sub(_command, message))
    return _OPTION.sub(lambda found: OPTIONS[found["option"]], message)


def of_error(error: object) -> str:
    """An error in the words of the app, without the folders of the machine that runs it.

    Example:
        >>> of_error("/srv/logs/a.jsonl: not JSON, at /srv/logs/a.jsonl:3")
        'a.jsonl: not JSON, at a.jsonl:3'
    """
    return in_words(_FOLDERS.sub("", str(error)))


def _command(found: re.Match[str]) -> str:
    verb, way = found["verb"], found["way"]
    options = re.findall(r"--[a-z-]+", found["rest"] or "")
    if verb == "import" and options:
        return f"{way} {options[0]}" if way else str(options[0])
    return f"on {COMMANDS[verb]}" if way else COMMANDS[verb]


def _field(found: re.Match[str]) -> str:
    said = (part.replace("_", " ") for part in found.groups() if part)
    return " = ".join(said)
