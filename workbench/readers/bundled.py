"""Files that come with the workbench: sample logs, the app's script and theme.

A checkout has them at its top, where `data/` and `app.py` belong; a wheel carries them inside the
package.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_CHECKOUT = _PACKAGE.parent


def _folder() -> Path:
    inside = _PACKAGE / "data"
    return inside if inside.is_dir() else _CHECKOUT / "data"


def bundled_logs() -> dict[str, Path]:
    """The sample logs by name, such as `household`."""
    return {path.stem: path for path in sorted(_folder().glob("*.parquet"))}


def app_script() -> Path:
    """The script of the app, with its theme in `.streamlit` next to it."""
    inside = _PACKAGE / "ui" / "app.py"
    return inside if (inside.parent / ".streamlit").is_dir() else _CHECKOUT / "app.py"
