"""Commands on the pages: their files, options and sub-commands exist."""

from pathlib import Path

import pytest
from helpers.shell import check
from helpers.snippets import ROOT, Snippet, blocks, inline_commands


pytestmark = pytest.mark.skipif(
    not (ROOT / ".ci").exists(), reason="the source distribution lacks some of the files"
)
SNIPPETS = [*blocks("bash"), *inline_commands()]


def folder_of(snippet: Snippet) -> Path:
    """Commands are for the clone; those of benchmarks and data, for their own folder."""
    page = snippet.page
    is_inside = page.parts[0] == "benchmarks" or page.parts[:2] == ("examples", "data")
    if is_inside and "benchmarks/" not in snippet.text:
        return ROOT / page.parent
    return ROOT


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.name)
def test_commands(snippet: Snippet):
    check(snippet.text, folder_of(snippet))


def test_there_are_commands():
    assert len(SNIPPETS) > 60


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("mtt train options/missing.yaml", "missing"),
        ("mtt train options/lorem.yaml --restarts auto", "restarts"),
        ("mtt train options.yaml -r architecture.training.epochs=3", "epochs"),
        ("mtt training options.yaml", "training"),
        ("mtt-lorem information model.pt", "information"),
        ("mtt-lorem info model.pt structure.xyz --chek", "chek"),
        ("python examples/run_asse.py model.pt", "run_asse"),
        ("python examples/run_ase.py model.pt --shorter", "shorter"),
        ('pip install -e ".[example]"', "example"),
        ("bash .ci/run lints", "lints"),
        ("conda install lorem", "conda"),
    ],
)
def test_wrong_commands_are_found(command, message):
    with pytest.raises(AssertionError, match=message):
        check(command, ROOT)
