"""The messages that the documentation explains are those of the package."""

import ast
import re
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"
CODE = re.compile(r"`(.+?)`(?=,| \||$| \()")


def messages() -> list[str]:
    """Those of the first columns of all tables, but not those of other packages."""
    found: list[str] = []
    for line in PAGE.read_text().splitlines():
        if line.startswith("| `"):
            cell = line.split(" | ")[0].removeprefix("| ")
            if "(metatomic)" not in cell:
                found += CODE.findall(cell)
    return found


def strings() -> str:
    """All strings of the sources; what is formatted into them is left out."""
    texts: list[str] = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    n.value if isinstance(n, ast.Constant) else "\0" for n in node.values
                ]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


SOURCES = strings()


def test_there_are_messages():
    assert len(messages()) > 50


@pytest.mark.parametrize("message", messages())
def test_message(message):
    for part in message.split("…"):
        assert part.strip(" '(") in SOURCES, part
