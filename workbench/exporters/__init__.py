"""Weighted training batches: one module a trainer, found by name through a registry.

`targets()` lists what there is; `get(name)` gives one. A module of this package that registers an
`Exporter` is a target; adding one is adding its file.
"""

from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, get, register
from workbench.exporters.folder import read_manifest
from workbench.exporters.manifest import Manifest
from workbench.exporters.options import Options
from workbench.exporters.targets.weighted_batch import read_batch

__all__ = [
    "Batch",
    "Exporter",
    "Layout",
    "Manifest",
    "Options",
    "get",
    "read_batch",
    "read_manifest",
    "register",
]
