"""Weighted training batches: scored logs in the formats that trainers load.

A module of `targets` that registers an `Exporter` is an export target.
"""

from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import TARGETS, Exporter, register
from workbench.exporters.conversations import unpacked
from workbench.exporters.folder import read_manifest
from workbench.exporters.manifest import Manifest
from workbench.exporters.options import Options
from workbench.exporters.targets.weighted_batch import read_batch

__all__ = [
    "TARGETS",
    "Batch",
    "Exporter",
    "Layout",
    "Manifest",
    "Options",
    "read_batch",
    "read_manifest",
    "register",
    "unpacked",
]
