"""Files that the generators of all twins write.

Lengths are in Angstrom, energies in eV, forces in eV/Angstrom.
"""

import gzip
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import ase
import numpy as np


HERE = Path(__file__).parent


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
