"""Card of an export: its README.md, which the Hugging Face Hub shows next to a dataset."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.exporters.checklist import balance, checklist, not_written, size
from workbench.exporters.manifest import Manifest
from workbench.wording import number, number_of

CARD = "README.md"

_VERDICTS = {"holds": "fine", "look": "look", "n/a": "n/a"}

_FRONT = """\
---
configs:
- config_name: default
  data_files: {file}
tags:
- trajectories
- credit-assignment
---

"""

_TEMPLATE = """\
# {title}

{description} Written by Trajectory Workbench; `manifest.json` says all of this for programs, with
the digest of every file. Before you publish it: name the licence and where the rollouts are from,
and look for what must not leave your house, for prompts and replies stand here as they were logged.

| what | value |
| --- | --- |
{facts}

What came in and what is here:

{balance}

Checks:

{checks}
{notes}"""

_DATASET = """
## Load

```python
from datasets import load_dataset

rows = load_dataset("OWNER/NAME", split="train")
```

A path to this folder does in place of `OWNER/NAME`.

## Publish

```python
from huggingface_hub import HfApi

hub = HfApi()
hub.create_repo("OWNER/NAME", repo_type="dataset", private=True, exist_ok=True)
hub.upload_folder(folder_path="THIS_FOLDER", repo_id="OWNER/NAME", repo_type="dataset")
```
"""


_LOADER = """
## Load

`{module}.py` in this folder loads it for {trainer}, and begins with:

```text
{says}
```
"""

_PACKED = """
## Messages

Keys of a message that are null say nothing: drop them before a chat template. Where `content_type`
is "parts", `content` is JSON text of a list of parts, such as an image, which a template would
print as it stands; `extra` is JSON of keys that have no column, and so is `tools` of the tools.
This gives the messages of a row as they were logged:

```python
from workbench.exporters import unpacked

row = rows[0]
messages = [unpacked(message) for message in {columns}]
```
"""


def card(
    manifest: Manifest,
    *,
    name: str,
    description: str,
    file: str | None,
    packed: Sequence[str] = (),
    loader: Path | None = None,
) -> str:
    """The card of an export.

    Args:
        manifest: Its manifest.
        name: The target's name.
        description: One line on the target.
        file: The file that `datasets` loads, if there is one.
        packed: Columns of packed messages in the rows of a batch of messages.
        loader: The module that is written next to the files as `workbench_<name>.py`.

    Returns:
        Markdown; of a dataset with the front matter that tells the Hub which file holds the rows. A
        card names no licence, because the log does not.
    """
    method = manifest.method
    fields = json.dumps(method.get("fields") or {}, ensure_ascii=False, sort_keys=True)
    dialect = f":{method['dialect']}" if method.get("dialect") else ""
    said = manifest.advantages
    facts = [
        {"what": "credit", "value": f"`{method.get('name')}{dialect}` with `{fields}`"},
        {"what": "log", "value": f"{manifest.source.get('rows')} steps, sha256 "
                                 f"`{manifest.source.get('sha256')}`"},
        {"what": "policy", "value": ", ".join(manifest.policy["models"]) or "not named in the log"},
        {"what": "a row is", "value": f"{manifest.unit}, of "
                                      f"{'token ids' if manifest.token_level else 'messages'}"},
        {"what": "rows", "value": size(manifest)},
        {"what": "advantages", "value": f"mean {number(said['mean'])}, std {number(said['std'])}, "
                                        f"{number(said['minimum'])} to {number(said['maximum'])}"},
        *({"what": f"for {who}", "value": what} for who, what in manifest.turn_off.items()),
    ]  # fmt: skip
    checks = [
        {"check": each.check, "verdict": _VERDICTS[each.verdict], "what was found": each.says}
        for each in checklist(manifest)
    ]
    steps = manifest.counts["steps"] - not_written(manifest)["steps"]
    notes = "".join(f"- {note}\n" for note in manifest.notes)
    text = _TEMPLATE.format(
        title=f"{name} of {number_of(steps, 'step')}, credited by {method.get('name')}",
        description=description,
        facts="\n".join(f"| {entry['what']} | {_cell(entry['value'])} |" for entry in facts),
        balance=_markdown(balance(manifest).to_dicts()),
        checks=_markdown(checks),
        notes=f"\nNotes on the credit:\n\n{notes}" if notes else "",
    )
    if file is not None:
        text = _FRONT.format(file=file) + text + _DATASET
    if packed and not manifest.token_level:
        text += _PACKED.format(columns=" + ".join(f'row["{column}"]' for column in packed))
    if loader is not None:
        says = ast.get_docstring(ast.parse(loader.read_text(encoding="utf-8")))
        trainer = ", ".join(manifest.turn_off)
        text += _LOADER.format(module=loader_name(name), trainer=trainer, says=says)
    return text


def loader_name(name: str) -> str:
    """The module that loads the files of a target, next to which it is written."""
    return f"workbench_{name}"


def _markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as a Markdown table."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([str(row[name]) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
