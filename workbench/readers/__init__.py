"""Log files in, step rows out: one module a format, found by the content of the files."""

from workbench.readers.base import Diagnostics, Format, Part, Reader, reader
from workbench.readers.digests import source_digests
from workbench.readers.importing import Imported, RawLog, import_log, read
from workbench.readers.mapping import load_mapping, save_mapping
from workbench.readers.report import ImportReport
from workbench.readers.streaming import give_prefix_nodes, import_to

__all__ = [
    "Diagnostics",
    "Format",
    "ImportReport",
    "Imported",
    "Part",
    "RawLog",
    "Reader",
    "give_prefix_nodes",
    "import_log",
    "import_to",
    "load_mapping",
    "read",
    "reader",
    "save_mapping",
    "source_digests",
]
