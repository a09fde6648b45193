"""Minari datasets: a folder with `metadata.json` and the episodes in HDF5 or Arrow files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.log.conversation import canonical_json
from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.bounds import BeyondBoundError
from workbench.readers.hdf5 import groups_of, plain
from workbench.readers.jsonfiles import Record, json_object, leading_keys
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn
from workbench.readers.rows import StepRows
from workbench.readers.systems import folder_above

_HDF5 = b"\x89HDF\r\n\x1a\n"
_DATA = "main_data.hdf5"
_OPTIONS = "options/"  # what HDF5 keeps of options is flat
_STEPS = ("actions", "rewards", "terminations", "truncations")


@reader("minari", description="Minari datasets, HDF5 or Arrow", run=folder_above)
class Minari:
    """Trajectories are episodes, grouped by their options or else by their seed.

    Episodes without either are one group, which is reported. Rewards are those of the steps. Text
    stays text; other observations and actions become JSON, so only equal ones are equal states.
    HDF5 needs the extra `minari`; Arrow does not. `source_line` is the step of the episode,
    from 1, and `source_file` the file that holds it.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """An HDF5 file of episodes, or the metadata of a dataset in Arrow files."""
        if head.startswith(_HDF5):
            return b"episode_0" in head or path.with_name("metadata.json").is_file()
        return {"total_episodes", "data_format"} <= leading_keys(head)

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The steps of all episodes; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "Minari datasets")
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        for place, episode in _episodes(path, diagnostics):
            try:
                _add(rows, episode, place, diagnostics)
            except ValueError as error:
                diagnostics.problem("episode", str(error), place)
            if rows.is_full:
                yield Part(frame=rows.frame(), diagnostics=Diagnostics(), done=0.5)
                rows = StepRows(diagnostics)
        yield Part(frame=rows.frame(), diagnostics=diagnostics)


def _episodes(path: Path, diagnostics: Diagnostics) -> Iterator[tuple[str, Record]]:
    with path.open("rb") as file:
        is_hdf5 = file.read(len(_HDF5)) == _HDF5
    if is_hdf5:
        yield from _hdf5_episodes(path, diagnostics)
        return
    metadata = json_object(path, diagnostics) or {}
    if metadata.get("data_format") == "hdf5":
        if not path.with_name(_DATA).is_file():
            diagnostics.problem("file", f"{_DATA} does not lie next to the metadata", str(path))
        return
    yield from _arrow_episodes(path.parent, diagnostics)


def _hdf5_episodes(path: Path, diagnostics: Diagnostics) -> Iterator[tuple[str, Record]]:
    try:
        for name, attributes, members in groups_of(path, "episode_", "infos"):
            options = {
                key.removeprefix(_OPTIONS): value
                for key, value in attributes.items()
                if key.startswith(_OPTIONS)
            }
            told = {"seed": attributes.get("seed"), "options": options or None}
            yield f"{path} {name}", {"name": name, **told, **members}
    except BeyondBoundError as error:
        diagnostics.problem("file", str(error), str(path), error.hint)
    except OSError as error:
        diagnostics.problem("file", f"cannot be read as HDF5 ({error})", str(path))


def _arrow_episodes(folder: Path, diagnostics: Diagnostics) -> Iterator[tuple[str, Record]]:
    import pyarrow as pa
    import pyarrow.dataset as ds

    folders = [item for item in folder.iterdir() if item.is_dir() and item.name.isdecimal()]
    for item in sorted(folders, key=lambda item: int(item.name)):
        try:
            table = ds.dataset(str(item), format="arrow", exclude_invalid_files=True).to_table()
            metadata = json_object(item / "metadata.json", diagnostics) or {}
            columns: dict[str, Any] = {
                name: table[name].to_pylist() for name in table.column_names if name != "infos"
            }
        except (pa.ArrowException, OSError) as error:
            diagnostics.problem("file", f"cannot be read as Arrow ({error})", str(item))
            continue
        count = len(columns.get("rewards", ())) - 1
        # The last row holds only the observation that the episode ended with.
        cut = {name: values[:count] for name, values in columns.items() if name in _STEPS}
        yield str(item), {**metadata, "name": f"episode_{item.name}", **columns, **cut}


def _add(rows: StepRows, episode: Record, place: str, diagnostics: Diagnostics) -> None:
    missing = [name for name in ("observations", *_STEPS) if name not in episode]
    if missing:
        raise ValueError(f"lacks {missing}")
    rewards = _numbers(episode, "rewards").tolist()
    count = len(rewards)
    actions, observations = (_values(episode[key]) for key in ("actions", "observations"))
    if len(actions) != count or len(observations) != count + 1:
        raise ValueError(
            f"has {len(observations)} observations, {len(actions)} actions and {count} rewards; "
            "expected one observation more than actions"
        )
    if not count:
        diagnostics.drop("episode", "has no step", place)
        return
    rows.add(
        [
            Turn(
                observation=observations[at],
                action=actions[at],
                next_observation=observations[at + 1],
                messages=None,
            )
            for at in range(count)
        ],
        rewards=rewards,
        fields={
            "group_id": _group(episode, diagnostics, place),
            "trajectory_id": f"{_group(episode, diagnostics, place)}/{episode['name']}",
        },
        step_fields={
            "done": _numbers(episode, "terminations", count).astype(bool).tolist(),
            "truncated": _numbers(episode, "truncations", count).astype(bool).tolist(),
            "source_line": range(1, count + 1),
        },
    )


def _numbers(episode: Record, name: str, count: int = -1) -> NDArray[np.float64]:
    """One number per step; a number in a list of its own counts as one.

    Raises:
        ValueError: They are something else, or not so many.
    """
    try:
        return np.asarray(episode[name], dtype=np.float64).reshape(count)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} are not one number per step ({error})") from None


def _group(episode: Record, diagnostics: Diagnostics, place: str) -> str:
    options, seed = episode.get("options"), episode.get("seed")
    if options is not None:
        return f"options {_text(options)}"
    if seed is not None:
        return f"seed {_text(seed)}"
    diagnostics.notice("episodes with neither options nor seed are one group", place)
    return "no seed"


def _values(values: Any) -> list[str]:
    """One text per step; the parts of a composed space are joined again."""
    if isinstance(values, dict):
        parts = {key: _values(part) for key, part in values.items()}
        if not parts:
            raise ValueError("has a space without parts")
        count = len(next(iter(parts.values())))
        return [
            canonical_json({key: part[at] for key, part in parts.items()}) for at in range(count)
        ]
    return [_text(value) for value in values]


def _text(value: Any) -> str:
    found = plain(value)
    return found if isinstance(found, str) else canonical_json(found)
