"""Labels and files that the generators of all twins share.

Lengths are in Angstrom, energies in eV, forces in eV/Angstrom.
"""

import gzip
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import ase
import numpy as np
from tblite.ase import TBLite


HERE = Path(__file__).parent


def label(
    atoms: ase.Atoms, charge: int = 0, unpaired: int = 0, method: str = "GFN2-xTB"
) -> ase.Atoms:
    """A copy that carries ``energy`` and ``forces``.

    :param charge: total charge, in elementary charges
    :param unpaired: number of unpaired electrons
    """
    frame = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    frame.info.update(atoms.info)
    frame.calc = TBLite(
        method=method, charge=charge, multiplicity=unpaired + 1, verbosity=0
    )
    energy, forces = frame.get_potential_energy(), frame.get_forces()
    frame.calc = None
    frame.info["energy"], frame.arrays["forces"] = energy, forces
    return frame


def check_forces(frame: ase.Atoms, step: float = 1e-3, **method: int | str) -> float:
    """Largest error of the forces on three atoms against central differences.

    :param method: the arguments of :func:`label`
    """
    errors = []
    for atom in np.linspace(0, len(frame) - 1, 3).astype(int):
        for axis in range(3):
            energies = []
            for sign in (1, -1):
                moved = frame.copy()
                moved.positions[atom, axis] += sign * step
                energies.append(label(moved, **method).info["energy"])
            force = -(energies[0] - energies[1]) / (2 * step)
            errors.append(abs(force - frame.arrays["forces"][atom, axis]))
    return max(errors)


def write(name: str, frames: Iterable[ase.Atoms]) -> None:
    """Write ``NAME.xyz.gz`` with 1e-5 A, 1e-6 eV and 1e-5 eV/A; the same bytes each time.

    Each frame tells its part of the data set in ``info["split"]``.
    """
    frames = list(frames)
    path = HERE / f"{name}.xyz.gz"
    text = "".join(map(extended_xyz, frames))
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(text.encode())
    counts = Counter(frame.info["split"] for frame in frames)
    print(f"{path.name}: {dict(counts)}, {path.stat().st_size / 1e6:.2f} MB", flush=True)


def extended_xyz(frame: ase.Atoms) -> str:
    info = dict(frame.info)
    header = "Properties=species:S:1:pos:R:3:forces:R:3 "
    header += f"energy={info.pop('energy'):.6f} "
    header += " ".join(f"{key}={_text(value)}" for key, value in info.items())
    if frame.pbc.any():
        cell = " ".join(f"{value:.6f}" for value in frame.cell[:].ravel())
        header += f' Lattice="{cell}"'
    header += ' pbc="' + " ".join("FT"[int(periodic)] for periodic in frame.pbc) + '"'
    lines = [str(len(frame)), header]
    columns = zip(frame.symbols, frame.positions, frame.arrays["forces"], strict=True)
    for symbol, position, force in columns:
        numbers = " ".join(f"{value:.5f}" for value in (*position, *force))
        lines.append(f"{symbol} {numbers}")
    return "\n".join(lines) + "\n"


def _text(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def assign_splits(
    frames: list[ase.Atoms], counts: dict[str, int], generator: np.random.Generator
) -> None:
    """Draw ``counts`` frames for each split; there have to be as many as frames."""
    names = [name for name, count in counts.items() for _ in range(count)]
    for frame, name in zip(frames, generator.permutation(names), strict=True):
        frame.info["split"] = str(name)
