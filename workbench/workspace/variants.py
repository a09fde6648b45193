"""Named variants: what-ifs that people keep in a workspace, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import ArtefactError, WorkbenchError
from workbench.files import atomic_file, canonical_json, locked
from workbench.methods.what_if import keep


@dataclass(frozen=True)
class Variants:
    """The named variants of a workspace.

    Args:
        root: The workspace.
    """

    root: Path

    @property
    def path(self) -> Path:
        """`variants.json`: the name that people gave -> fields of the what-if."""
        return self.root / "variants.json"

    @property
    def version(self) -> str:
        """Another text after each change."""
        if not self.path.exists():
            return ""
        found = self.path.stat()
        return f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"

    def table(self) -> dict[str, dict[str, Any]]:
        """Name -> fields, as they were kept.

        Raises:
            ArtefactError: The file is damaged or holds something else.
        """
        if not self.path.exists():
            return {}
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise ArtefactError(f"{self.path} cannot be read: {error}") from error
        if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
            raise ArtefactError(f"{self.path} is no table of variants. Hint: remove it")
        return found

    def put(self, name: str, values: Mapping[str, Any]) -> str:
        """Keep a what-if; return the name of the method that it is from now on.

        Raises:
            ParameterError: It cannot be.
        """
        method = keep(name, values)
        with locked(self.path):
            kept = {**self.table(), method: dict(values)}
            with atomic_file(self.path) as temporary:
                temporary.write_text(canonical_json(kept) + "\n", encoding="utf-8")
        return method

    def load(self) -> list[str]:
        """Make the methods of all that are kept; return what is wrong with those that fail."""
        problems = []
        for name, values in self.table().items():
            own = name.partition(":")[2].rpartition("-")[0]
            try:
                keep(own, values)
            except (WorkbenchError, TypeError) as error:
                problems.append(f"The variant {name} of this workspace cannot be loaded: {error}")
        return problems
