"""Weighted training batches: one module a trainer, found by name through a registry.

`targets()` lists what there is; `get(name)` gives one. A module of this package that registers
itself with `base.exporter` is a target; adding one is adding its file.
"""

from workbench.exporters.base import Exporter, exporter, get, targets
from workbench.exporters.batch import read_batch
from workbench.exporters.folder import read_manifest
from workbench.exporters.manifest import Manifest

__all__ = ["Exporter", "Manifest", "exporter", "get", "read_batch", "read_manifest", "targets"]
