"""TensorBoard: event files in a folder."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.errors import MissingDependencyError
from workbench.workspace.trackers import tracker


@tracker("tensorboard", description="Event files; the place is a folder.")
class TensorBoard:
    """Event files that `tensorboard --logdir FOLDER` shows.

    Args:
        place: The folder; made where there is none. Each call adds a file.

    Raises:
        MissingDependencyError: The package tensorboard is not installed.
    """

    def __init__(self, place: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"--log-to tensorboard needs the package {error.name}, which is not installed. "
                "Hint: pip install tensorboard"
            ) from error
        self._writer = SummaryWriter(place)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One scalar for each number."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write the file to its end."""
        self._writer.close()
