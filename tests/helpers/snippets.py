"""Code blocks and inline commands of the pages that users read."""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple


ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
ANY_FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:mtt|mtt-lorem|python|pip|bash|pytest|tox) [^`]+)`")
# Patterns in place of a word, or only a part of a message
PATTERN = re.compile(r"…|\.\.\.")


class Snippet(NamedTuple):
    """A block of code, or an inline command."""

    page: Path  # relative to the repository
    line: int
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Pages of the site, of the README and of the examples, as far as they are here."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for folder in ("docs", "examples", "benchmarks"):
        found += (ROOT / folder).rglob("*.md")
    return sorted(path for path in found if path.exists())


def blocks(language: str) -> list[Snippet]:
    """All blocks of a language, with the indentation taken off."""
    found: list[Snippet] = []
    for path in pages():
        text = path.read_text()
        for match in FENCE.finditer(text):
            if match.group(2) == language:
                line = text.count("\n", 0, match.start()) + 1
                code = textwrap.dedent(match.group(3))
                found.append(Snippet(path.relative_to(ROOT), line, code))
    return found


def inline_commands() -> list[Snippet]:
    """Commands within the text that are complete."""
    found: list[Snippet] = []
    for path in pages():
        text = ANY_FENCE.sub(
            lambda match: "\n" * match.group().count("\n"), path.read_text()
        )
        for match in INLINE.finditer(text):
            if PATTERN.search(match.group(1)) is None:
                line = text.count("\n", 0, match.start()) + 1
                command = " ".join(match.group(1).split())
                found.append(Snippet(path.relative_to(ROOT), line, command))
    return found
