"""Files that commands read, with errors that say what is wrong."""

from pathlib import Path
from typing import Any

import ase
import ase.io
from metatomic.torch import AtomisticModel, load_atomistic_model

from ..exported_files import has_extensions
from ..structure_checks import check_structure


def load_without_extensions(path: str) -> AtomisticModel:
    """An exported model, to be run: TorchScript, but no code from elsewhere.

    :raises ValueError: if it needs compiled extensions
    """
    if has_extensions(path):
        raise ValueError(f"'{path}' needs compiled extensions, as no LOREM model does")
    return load_atomistic_model(path)


def read_frame(path: str | Path, index: str) -> ase.Atoms:
    """One frame of any file that ASE reads.

    :param index: of the frame, in ASE's notation
    :raises FileNotFoundError: if there is no such file
    :raises ValueError: if it has no such frame, or one that no model can treat
    """
    atoms = _read(path, index)
    if not isinstance(atoms, ase.Atoms):
        raise ValueError(f"'{index}' is more than one frame of '{path}'")
    check_structure(atoms.positions, atoms.cell.array, atoms.pbc)
    return atoms


def read_frames(path: str | Path, index: str) -> list[ase.Atoms]:
    """The same for one or several frames; errors have the number of the frame."""
    result = _read(path, index)
    frames = [result] if isinstance(result, ase.Atoms) else list(result)
    if len(frames) == 0:
        raise ValueError(f"'{path}' has no frame '{index}'")
    for number, atoms in enumerate(frames):
        try:
            check_structure(atoms.positions, atoms.cell.array, atoms.pbc)
        except ValueError as error:
            raise ValueError(f"frame {number} (from 0) of '{path}': {error}") from None
    return frames


def _read(path: str | Path, index: str) -> Any:
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no structure file '{path}'")
    try:
        return ase.io.read(path, index=index)
    except (IndexError, StopIteration) as error:
        raise ValueError(f"'{path}' has no frame '{index}'") from error
    except Exception as error:  # of any kind, depending on the format
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"ASE cannot read '{path}' ({reason})") from error
