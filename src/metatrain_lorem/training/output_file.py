"""The file of ``mtt train -o``, checked before the training instead of after it.

metatrain does not tell an architecture where the model will be written, but the command
line of the process does.
"""

import argparse
import logging
import os
import sys
from pathlib import Path


def output_of_command(arguments: list[str]) -> Path | None:
    """Where ``mtt train`` is going to write the model.

    :param arguments: those of the process, the first being its name
    :return: ``None`` for other programs
    """
    program = Path(arguments[0]).parts[-2:] if arguments else ()
    is_mtt = bool(program) and (
        program[-1] in ("mtt", "mtt.exe") or program == ("metatrain", "__main__.py")
    )
    if not is_mtt or "train" not in arguments[1:3]:
        return None
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=True, exit_on_error=False)
    parser.add_argument("-o", "--output", default="model.pt")
    known, _ = parser.parse_known_args(arguments[1:])
    return Path(known.output)


def check_output(path: Path, is_main: bool = True) -> None:
    """Refuse a place where the model cannot be written; warn if something else is there.

    :param is_main: whether this process is the one that writes
    :raises ValueError: naming path and reason
    """
    folder = path.parent
    if not folder.is_dir():
        raise ValueError(
            f"the trained model cannot be written to '{path}' (-o): there is no folder "
            f"'{folder}'. Make it first"
        )
    if path.is_dir() or not os.access(folder, os.W_OK):
        reason = "it is a folder" if path.is_dir() else f"'{folder}' is read-only"
        raise ValueError(
            f"the trained model cannot be written to '{path}' (-o): {reason}. Choose "
            "another file"
        )
    if not is_main:
        return
    if not _lock(folder):
        logging.warning(
            f"Another training writes to '{folder.absolute()}', too, and each replaces "
            f"'{path.name}' of the other unless they have different -o. Checkpoints are "
            "kept apart in `outputs`"
        )
    elif path.exists():
        logging.warning(f"'{path}' exists, and will be replaced at the end (-o)")


def check_own_output(is_main: bool) -> None:
    """The same for the command line of this process; nothing if it is not ``mtt train``.

    :param is_main: whether this process is the one that writes
    :raises ValueError: see :func:`check_output`
    """
    path = output_of_command(sys.argv)
    if path is not None:
        check_output(path.with_suffix(".pt"), is_main)


def _lock(folder: Path) -> bool:
    """Hold a lock on the folder until this process ends.

    :return: whether no other process of this machine holds it; true if that is unknown
    """
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)  # open until the process ends
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # Windows; file systems without locks
        return True
    return True
