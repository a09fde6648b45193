"""The command line: each command is a few lines over a function of the package.

Handlers import what they need, so that `workbench --help` and light commands start at once.
"""

from workbench.cli import bench, credit, decomposed, glossary, house, logs, quality, work
from workbench.cli.root import app, main

__all__ = [
    "app",
    "bench",
    "credit",
    "decomposed",
    "glossary",
    "house",
    "logs",
    "main",
    "quality",
    "work",
]
