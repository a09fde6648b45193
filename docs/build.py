"""Builds the documents as a site.

    python docs/build.py [FOLDER]        FOLDER/site is the site; `build` by default

Pages are the Markdown files of this folder and of `ELSEWHERE`. A line `<!-- generated: NAME -->`
becomes what `reference.PARTS[NAME]` makes of the code. Relative links are turned to where a page
lies in the site; a file that is no page is copied along. A broken link ends the build.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from reference import PARTS

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
ELSEWHERE = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "data.md",
    "skills/workbench/SKILL.md": "skill.md",
}
"""Pages that lie outside this folder: path in the repository -> path in the site."""


def main() -> None:
    """Assembles the pages and builds them; exits with 1 where a link is broken."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
    for old in ("pages", "site"):
        shutil.rmtree(folder / old, ignore_errors=True)
    assemble(folder / "pages")
    shutil.copy(DOCS / "zensical.toml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    sys.exit(subprocess.run(command, cwd=folder, check=False).returncode)


def assemble(pages: Path) -> None:
    """Writes every page, and every file that one links to.

    Raises:
        SystemExit: A link leads to a file that is not there.
    """
    places = {path: str(path.relative_to(DOCS)) for path in sorted(DOCS.rglob("*.md"))}
    places |= {ROOT / path: place for path, place in ELSEWHERE.items()}
    for source, place in places.items():
        text = re.sub(r"^---\n.*?\n---\n", "", source.read_text("utf-8"), flags=re.DOTALL)
        text = re.sub(r"<!-- generated: (\w+) -->", lambda found: PARTS[found[1]](), text)
        text = re.sub(
            r"(\]\()([^)#:\s]+)([)#])",
            lambda link, source=source, place=place: (
                link[1] + moved(link[2], source, place, places, pages) + link[3]
            ),
            text,
        )
        target = pages / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    shutil.copy(DOCS / "style.css", pages)


def moved(link: str, source: Path, place: str, places: dict[Path, str], pages: Path) -> str:
    """The link of a page as it is in the site; copies what it leads to if that is no page."""
    target = (source.parent / link).resolve()
    if not target.is_file() or ROOT not in target.parents:
        raise SystemExit(f"{source.relative_to(ROOT)} links to {link}, which is not there")
    if target not in places:
        own = DOCS in target.parents
        copied = target.relative_to(DOCS) if own else Path("files", target.relative_to(ROOT))
        (pages / copied).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target, pages / copied)
        return os.path.relpath(copied, Path(place).parent)
    return os.path.relpath(places[target], Path(place).parent)


if __name__ == "__main__":
    main()
