"""metatrain's command line, without the seconds that a new process takes to import."""

import logging
import sys
import warnings
from pathlib import Path

import pytest
from metatrain.__main__ import main


def mtt(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> None:
    """Run ``mtt`` in a folder.

    :raises SystemExit: of its exit status, if it fails
    """
    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in a process that tests do not watch
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["mtt", *arguments])
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        try:
            main()
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
            logging.captureWarnings(False)
