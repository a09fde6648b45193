"""Ways in which stores differ: their errors, and how they tell the version of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from workbench.files import digest
from workbench.readers.addresses import without_secrets

_MARKS = (
    "ETag", "etag", "generation", "md5Hash", "Content-MD5", "blob_id",
    "Last-Modified", "LastModified", "last_modified", "last_write_time", "modified", "mtime",
    "updated", "created",
)  # fmt: skip
"""Names that stores have for a mark that changes with a file's content, the surest first."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Make an OSError of what goes wrong in a store: each store's package has its own errors.

    Its text has no secret of an address.
    """
    try:
        yield
    except OSError as error:
        if (text := without_secrets(str(error))) != str(error):
            raise OSError(text) from None
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        told = without_secrets(text)
        if told == text:
            raise OSError(text) from error
        raise OSError(told) from None


def version_of(system: Any, item: str) -> dict[str, Any]:
    """The size of a file at an address, and a mark that changes with its content.

    Either is None where the store does not tell it. What a folder's list told is not asked again.
    """
    info = system.info(item)
    mark = next((str(info[name]) for name in _MARKS if info.get(name) is not None), None)
    return {"size": info.get("size"), "mark": mark and mark.strip('"')}


def version_digest(name: str, version: Mapping[str, Any]) -> str | None:
    """A digest of address and version, which stands for the content of a file at an address.

    None where its store tells no mark, so that a later version would not be noticed.
    """
    return None if version["mark"] is None else digest([name, dict(version)])


def open_file(system: Any, item: str) -> Any:
    """A file at an address, of which each read fetches what it asks for and no more."""
    return system.open(item, "rb", cache_type="none")
