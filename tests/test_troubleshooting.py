"""The messages that the documentation explains are those of the packages."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "docs" / "troubleshooting.md",
    ROOT / "docs" / "reference" / "more_messages.md",
]
OTHERS = ("metatrain", "metatomic")
CODE = re.compile(r"`+ ?(.+?)`+(?=,| \||$| \()")


def messages() -> list[tuple[str, str]]:
    """Those of the first columns of all tables, with the package that has them."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        for line in page.read_text().splitlines():
            if not line.startswith("| `"):
                continue
            cell = line.split(" | ")[0].removeprefix("| ")
            names = [name for name in OTHERS if cell.endswith(f"({name})")]
            package = names[0] if names else "metatrain_lorem"
            found += [(message, package) for message in CODE.findall(cell)]
    return found


def strings(*folders: Path) -> str:
    """All strings of the sources; what is formatted into them is left out."""
    texts: list[str] = []
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    n.value if isinstance(n, ast.Constant) else "\0" for n in node.values
                ]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def installed(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def compiled(folder: Path) -> str:
    """Bytes of the libraries, which hold their strings."""
    files = sorted(folder.rglob("lib*metatomic*"))[:1]
    return "".join(path.read_bytes().decode("latin-1") for path in files)


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    metatomic, metatrain = installed("metatomic.torch"), installed("metatrain")
    return {
        "metatrain_lorem": strings(ROOT / "src"),
        "metatrain": strings(metatrain / "cli", metatrain / "utils"),
        "metatomic": strings(metatomic) + compiled(metatomic),
    }


def test_there_are_messages():
    assert len(messages()) > 100
    assert {package for _, package in messages()} == {"metatrain_lorem", *OTHERS}


@pytest.mark.parametrize(("message", "package"), messages())
def test_message(message: str, package: str, sources: dict[str, str]):
    for part in message.split("…"):
        assert part.strip(" '(`") in sources[package], part
