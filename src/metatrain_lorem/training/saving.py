"""Checkpoints that a crash, a full disk or a kill cannot damage."""

import contextlib
import io
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


# Seconds of training that a crash may cost
INTERVAL = 600.0
# What is saved between the epochs that have files of their own
LATEST = "model_latest.ckpt"


def save_atomically(content: Any, path: str | Path) -> None:
    """``torch.save`` that leaves either the old file or the complete new one.

    The bytes go to a file beside, which replaces the old one once they are on the disk.
    Its name does not end in ``.ckpt``, so that ``--restart auto`` never picks it.

    :raises OSError: naming the file and the reason; the old file is then untouched
    """
    path = Path(path)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot save '{path}': {reason}") from error
    with contextlib.suppress(OSError):  # not every file system can sync a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Saver:
    """Saves the checkpoints of a run, and knows when the next one is due.

    :param folder: where the checkpoints go
    :param is_main: whether this is the process that saves
    """

    def __init__(self, folder: str | Path, is_main: bool = True) -> None:
        self.folder = Path(folder)
        self.is_main = is_main
        self.last = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last attempt was too long ago."""
        return self.is_main and time.monotonic() - self.last > INTERVAL

    def save(self, name: str, content: Callable[[], Any]) -> bool:
        """Save; a failure is told, and the training goes on.

        :param content: makes what is saved, in the process that saves only
        :return: whether the file was written
        """
        if not self.is_main:
            return False
        self.last = time.monotonic()
        try:
            save_atomically(content(), self.folder / name)
        except OSError as error:
            logging.warning(
                f"{error.strerror}. Older checkpoints are kept and the training goes on; "
                "make room, or what is learned from here on may be lost"
            )
            return False
        return True
