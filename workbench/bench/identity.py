"""Identity of a method: the part of a result's key that is about it."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from typing import Any

from workbench.bench.code import code_digest
from workbench.bench.tuned import Tuned
from workbench.methods import Method, create
from workbench.methods.capabilities import Wraps
from workbench.states.embedders.registry import Embedder, resolve


def identity(name: str, method: Method | Tuned | None, embedder: str) -> dict[str, Any]:
    """Name, fields, code and representation of a method; the name of an oracle, which is None.

    Of a tuned one the same before it is tuned, and how it is.
    """
    if method is None:
        return {"oracle": name}
    if isinstance(method, Tuned):
        untuned = identity(name, method.method, embedder)
        return {"tuned": untuned, "choice": Tuned.code(), "embedder": resolve(embedder).key}
    wrapped = method.of if isinstance(method, Wraps) else None
    return {
        "name": method.info.name,
        "fields": dict(vars(method)),
        "code": _code(type(method)),
        "of": None if wrapped is None else identity(wrapped, create(wrapped), embedder),
        "embedder": resolve(embedder).key if depends_on_texts(method) else None,
    }


def depends_on_texts(method: Method | Tuned | None) -> bool:
    """True if a method depends on the embedder."""
    return method is not None and "similarity" in method.needs()


@cache
def embedder_named(name: str) -> Embedder:
    """The embedder of a name, loaded once per process."""
    return resolve(name)


@cache
def _code(method: type[Method]) -> str:
    """Digest of the files in which a method is written, and of what they import."""
    classes = [base for base in method.__mro__ if base.__module__.startswith("workbench.")]
    return code_digest({Path(inspect.getfile(base)) for base in classes})
