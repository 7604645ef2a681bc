"""Reads the formats in which the paper's data sets are published.

All readers return frames with ``info["energy"]`` (eV), ``arrays["forces"]`` (eV/A) and
positions in Angstrom.
"""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import ase
import ase.io
import numpy as np


# Hartree in eV and Bohr in Angstrom, as in the extended XYZ copies of these data sets:
# ASE's own, newer constants would shift energies of -1.5e6 eV by 0.02 eV
HARTREE = 27.2113863761
BOHR = 0.529177217798918
READABLE = (".data", ".xyz", ".extxyz", ".npz")


def read(path: Path) -> list[ase.Atoms]:
    """Frames of a file, or of all files of a folder or an archive (zip, tar), by name.

    :raises ValueError: for a format that is not known, or an archive without any frames
    """
    if path.is_dir():
        members = [p for p in sorted(path.rglob("*")) if p.suffix in READABLE]
        frames = [frame for member in members for frame in read(member)]
    elif zipfile.is_zipfile(path) and path.suffix != ".npz":
        frames = [frame for name, file in _zipped(path) for frame in _parse(name, file)]
    elif tarfile.is_tarfile(path):
        frames = [frame for name, file in _tarred(path) for frame in _parse(name, file)]
    else:
        with path.open("rb") as file:
            frames = _parse(path.name, file)
    if not frames:
        raise ValueError(f"no frames in '{path}': expected {', '.join(READABLE)} inside")
    return frames


def _zipped(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(READABLE):
                with archive.open(name) as file:
                    yield name, file


def _tarred(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None and member.name.endswith(READABLE):
                with file:
                    yield member.name, file


def _parse(name: str, file: IO[bytes]) -> list[ase.Atoms]:
    suffix = Path(name).suffix
    if suffix == ".data":
        frames = read_runner(file.read().decode())
    elif suffix in (".xyz", ".extxyz"):
        frames = read_xyz(file.read().decode())
    elif suffix == ".npz":
        frames = read_npz(file)
    else:
        raise ValueError(f"'{name}': expected one of {', '.join(READABLE)}")
    for frame in frames:
        frame.info["file"] = Path(name).stem
    return frames


def read_runner(text: str) -> list[ase.Atoms]:
    """``input.data`` of RuNNer, in atomic units.

    ``atom x y z element charge unused fx fy fz``, three lines ``lattice`` if periodic,
    ``energy`` and ``charge``, between ``begin`` and ``end``.
    """
    frames: list[ase.Atoms] = []
    atoms: list[list[str]] = []
    lattice: list[list[str]] = []
    values: dict[str, float] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        key, *words = line.split() or [""]
        if key == "begin":
            atoms, lattice, values = [], [], {}
        elif key == "atom":
            if len(words) < 9:
                raise ValueError(f"line {number} of input.data has {len(words)} columns")
            atoms.append(words)
        elif key == "lattice":
            lattice.append(words)
        elif key in ("energy", "charge"):
            values[key] = float(words[0])
        elif key == "end":
            frames.append(_runner_frame(atoms, lattice, values))
    return frames


def _runner_frame(
    atoms: list[list[str]], lattice: list[list[str]], values: dict[str, float]
) -> ase.Atoms:
    positions = BOHR * np.array([words[:3] for words in atoms], dtype=float)
    frame = ase.Atoms([words[3] for words in atoms], positions)
    if lattice:
        frame.cell = BOHR * np.array(lattice, dtype=float)
        frame.pbc = True
    forces = np.array([words[6:9] for words in atoms], dtype=float)
    frame.arrays["forces"] = HARTREE / BOHR * forces
    frame.arrays["charges"] = np.array([words[4] for words in atoms], dtype=float)
    frame.info["energy"] = HARTREE * values["energy"]
    frame.info["total_charge"] = values.get("charge", 0.0)
    return frame


def read_xyz(text: str) -> list[ase.Atoms]:
    """Extended XYZ in eV and Angstrom, with ``energy`` and ``forces``."""
    frames = ase.io.read(io.StringIO(text), ":", format="extxyz")
    for frame in frames:
        if frame.calc is not None:
            frame.info["energy"] = float(frame.calc.results["energy"])
            frame.arrays["forces"] = frame.calc.results["forces"]
            frame.calc = None
    return frames


def read_npz(file: IO[bytes]) -> list[ase.Atoms]:
    """Arrays ``positions``, ``atomic_numbers``, ``energy``, ``forces``, or their letters.

    The first axis is that of the frames (of numbers, it may be missing); eV and Angstrom.
    """
    names = {"positions": "R", "atomic_numbers": "Z", "energy": "E", "forces": "F"}
    with np.load(io.BytesIO(file.read())) as arrays:
        found = {}
        for long, short in names.items():
            key = next((key for key in (long, short) if key in arrays), None)
            if key is None:
                raise ValueError(f"no array '{long}' or '{short}', but {list(arrays)}")
            found[long] = arrays[key]
    positions, energies = found["positions"], found["energy"].reshape(-1)
    numbers = np.broadcast_to(found["atomic_numbers"], positions.shape[:2])
    frames = []
    columns = zip(positions, numbers, energies, found["forces"], strict=True)
    for place, species, energy, forces in columns:
        real = species > 0  # smaller molecules are filled up with zeros
        frame = ase.Atoms(species[real], place[real])
        frame.info["energy"], frame.arrays["forces"] = float(energy), forces[real]
        frames.append(frame)
    return frames
