"""What makes a method the same method: the part of a result's key that is about it."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from typing import Any

from workbench.bench.tuned import Tuned
from workbench.embed import Embedder, resolve
from workbench.estimators import Estimator
from workbench.store import digest, file_digest


def identity(name: str, method: Estimator | Tuned | None, embedder: str) -> dict[str, Any]:
    """Name, fields, code and representation of a method; the name of an oracle, which is None.

    Of a tuned one the same before it is tuned, and how it is.
    """
    if method is None:
        return {"oracle": name}
    if isinstance(method, Tuned):
        untuned = identity(name, method.method, embedder)
        return {"tuned": untuned, "choice": Tuned.code(), "embedder": resolve(embedder).key}
    return {
        "name": method.method.name,
        "fields": dict(vars(method)),
        "code": code_digest(type(method)),
        "embedder": resolve(embedder).key if compares_texts(method) else None,
    }


def compares_texts(method: Estimator | Tuned | None) -> bool:
    """Whether a method depends on the embedder."""
    return method is not None and "similarity" in method.needs()


@cache
def embedder_named(name: str) -> Embedder:
    """The embedder of a name, loaded once a process."""
    return resolve(name)


@cache
def code_digest(method: type[Estimator]) -> str:
    """Digest of the files in which a method and what it derives from are written.

    A changed method is measured again; what its file imports counts by the package's version.
    """
    classes = [base for base in method.__mro__ if base.__module__.startswith("workbench.")]
    files = sorted({Path(inspect.getfile(base)) for base in classes})
    return digest([file_digest(file) for file in files])
