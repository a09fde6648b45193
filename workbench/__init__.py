"""Offline trajectory analysis and credit assignment for LLM agents trained with RL.

    import workbench as wb

    space = wb.open_log("household", embedder="tfidf")
    grpo, proxmo = wb.score(space, "grpo"), wb.score(space, "proxmo", temperature=0.05)
    wb.compare(grpo, proxmo).pairs

Everything is imported when it is first asked for.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.errors import LogError, MissingInputError, ParameterError, WorkbenchError
    from workbench.exporters import read_batch
    from workbench.log.credit import Credit, Provenance, ScoredCredit, read_credit, write_credit
    from workbench.methods import Method, MethodInfo
    from workbench.readers import import_log, import_to
    from workbench.states.space import Space
    from workbench.workspace.api import (
        audit,
        compare,
        export,
        facts,
        formats,
        list_methods,
        score,
        tune,
    )
    from workbench.workspace.audit_files import audit_files
    from workbench.workspace.export_to import export_to
    from workbench.workspace.opened import open_log
    from workbench.workspace.pipeline import run
    from workbench.workspace.score_to import score_to

    __version__: str

__all__ = [
    "Credit",
    "LogError",
    "Method",
    "MethodInfo",
    "MissingInputError",
    "ParameterError",
    "Provenance",
    "ScoredCredit",
    "Space",
    "WorkbenchError",
    "__version__",
    "audit",
    "audit_files",
    "compare",
    "export",
    "export_to",
    "facts",
    "formats",
    "import_log",
    "import_to",
    "list_methods",
    "open_log",
    "read_batch",
    "read_credit",
    "run",
    "score",
    "score_to",
    "tune",
    "write_credit",
]

_HOMES = {
    "workbench.errors": ("LogError", "MissingInputError", "ParameterError", "WorkbenchError"),
    "workbench.exporters": ("read_batch",),
    "workbench.log.credit": (
        "Credit",
        "Provenance",
        "ScoredCredit",
        "read_credit",
        "write_credit",
    ),
    "workbench.methods": ("Method", "MethodInfo"),
    "workbench.readers": ("import_log", "import_to"),
    "workbench.states.space": ("Space",),
    "workbench.workspace.api": (
        "audit",
        "compare",
        "export",
        "facts",
        "formats",
        "list_methods",
        "score",
        "tune",
    ),
    "workbench.workspace.audit_files": ("audit_files",),
    "workbench.workspace.export_to": ("export_to",),
    "workbench.workspace.opened": ("open_log",),
    "workbench.workspace.pipeline": ("run",),
    "workbench.workspace.score_to": ("score_to",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

# The hub's client reads it when it is imported: a model is asked for without saying by whom.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from workbench.files import package_version

        value: Any = package_version()
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
