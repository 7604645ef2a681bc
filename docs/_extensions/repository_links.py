"""Links of pages to files of the repository.

Pages and the files that they include link to one another as in a file browser. Here, a
link becomes one to the page that shows the file, or to the page that shows the README of a
folder; other files are offered for download, other pages and folders are only named. A
link to nothing is an error.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError


INCLUDE = re.compile(r"^```\{include\} (\S+)", re.MULTILINE)
LINK = re.compile(r"(?P<text>\[[^\[\]]*)?\]\((?P<target>[^()\s]+)\)")
FENCE = re.compile(r"^ *(```|~~~)")
# What the site shows in another form
OTHERS = {
    "README.md": "/start/quickstart.md",
    "options/lorem.yaml": "/reference/options.rst",
    "src/metatrain_lorem/documentation.py": "/reference/options.rst",
}


def pages(root: Path, docs: Path) -> dict[Path, str]:
    """Files of the repository that a page includes, and this page."""
    shown = {root / name: page for name, page in OTHERS.items()}
    for page in sorted(docs.rglob("*.md")):
        for name in INCLUDE.findall(page.read_text()):
            shown[(page.parent / name).resolve()] = f"/{page.relative_to(docs)}"
    return shown


def rewritten(text: str, folder: Path, docs: Path, shown: dict[Path, str]) -> str:
    """Links that leave the documentation, as seen from ``folder``."""

    def replace(match: re.Match[str]) -> str:
        text = match["text"] or ""  # none if it began on the line before
        name, _, anchor = match["target"].partition("#")
        if not name or name.startswith("/") or ":" in name:
            return match.group(0)
        path = (folder / name).resolve()
        if not path.exists():
            raise ExtensionError(f"link to '{name}' in {folder}, which does not exist")
        if path.is_relative_to(docs) and path.suffix == ".md":
            return match.group(0)
        if path.is_dir():
            path, anchor = path / "README.md", ""
        if path in shown:
            page = shown[path]
            is_included = page not in OTHERS.values()
            return f"{text}]({page}{'#' + anchor if anchor and is_included else ''})"
        if text and (path.suffix == ".md" or not path.is_file()):
            return text.removeprefix("[")
        target = os.path.relpath(path, docs)
        return f"{text}](/{target}{'#' + anchor if anchor else ''})"

    lines, is_code = [], False
    for line in text.split("\n"):
        is_code ^= FENCE.match(line) is not None
        lines.append(line if is_code else LINK.sub(replace, line))
    return "\n".join(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    docs = Path(app.srcdir).resolve()
    shown = pages(docs.parent, docs)

    def on_page(_: Sphinx, page: str, content: list[str]) -> None:
        folder = (docs / page).parent
        if (docs / f"{page}.md").exists():
            content[0] = rewritten(content[0], folder, docs, shown)

    def on_include(_: Sphinx, path: Path, page: str, content: list[str]) -> None:
        folder = (docs / path).resolve().parent
        content[0] = rewritten(content[0], folder, docs, shown)

    app.connect("source-read", on_page)
    app.connect("include-read", on_include)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
