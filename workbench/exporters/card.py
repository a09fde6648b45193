"""Dataset card of an export: the README.md that the Hugging Face Hub shows next to the data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from workbench.exporters.checklist import balance, checklist, not_written, size
from workbench.exporters.manifest import Manifest
from workbench.wording import number, number_of

CARD = "README.md"

_VERDICTS = {"holds": "fine", "look": "look", "n/a": "n/a"}

_TEMPLATE = """\
---
configs:
- config_name: default
  data_files: {file}
tags:
- trajectories
- credit-assignment
---

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
{notes}
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


def card(manifest: Manifest, *, name: str, description: str, file: str) -> str:
    """The card of an export.

    Args:
        manifest: Its manifest.
        name: The target's name.
        description: One line on the target.
        file: The file that `datasets` loads.

    Returns:
        Markdown with the front matter that tells the Hub which file holds the rows. A card names no
        licence, because the log does not.
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
    return _TEMPLATE.format(
        file=file,
        title=f"{name} of {number_of(steps, 'step')}, credited by {method.get('name')}",
        description=description,
        facts="\n".join(f"| {entry['what']} | {_cell(entry['value'])} |" for entry in facts),
        balance=_markdown(balance(manifest).to_dicts()),
        checks=_markdown(checks),
        notes=f"\nNotes on the credit:\n\n{notes}" if notes else "",
    )


def _markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as a Markdown table."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([str(row[name]) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
