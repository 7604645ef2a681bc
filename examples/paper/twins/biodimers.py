"""Twin of the biodimers: pairs of charged (C), polar (P) and apolar (A) molecules.

    OMP_NUM_THREADS=1 python biodimers.py

writes ``biodimers.xyz.gz`` within ten minutes (``pip install ase tblite``).

The method is that of the quickstart's data set (``examples/data/make_dimers.py``: GFN2-xTB,
molecules distorted at 300 K, turned at random), with twice as many molecules and up to 15 A
between them. ``energy`` is relative to the relaxed molecules. The paper's frames are in
periodic boxes of 30 A; these are in open space.
"""

import sys
from itertools import combinations_with_replacement
from pathlib import Path

import ase
import numpy as np
from frames import write


sys.path.insert(0, str(Path(__file__).parents[2] / "data"))
import make_dimers  # noqa: E402
from make_dimers import MONOMERS, Monomer, Sampler, make_frame  # noqa: E402


DISTANCES = (3.0, 15.0)  # A, between the closest atoms
COUNTS = {"train": 7, "val": 1, "test": 2}  # frames per pair
MORE = {
    "guanidinium": Monomer(
        "C",
        +1,
        "C 0.00 0.00 0.00, N 0.00 1.33 0.00, N -1.15 -0.66 0.00, N 1.15 -0.66 0.00, "
        "H 0.87 1.83 0.00, H -0.87 1.83 0.00, H -2.03 -0.16 0.00, H -1.15 -1.67 0.00, "
        "H 2.03 -0.16 0.00, H 1.15 -1.67 0.00",
    ),
    "tricyanomethanide": Monomer(
        "C",
        -1,
        "C 0.00 0.00 0.00, C 0.00 1.40 0.00, C -1.21 -0.70 0.00, C 1.21 -0.70 0.00, "
        "N 0.00 2.57 0.00, N -2.23 -1.29 0.00, N 2.23 -1.29 0.00",
    ),
    "methanol": Monomer(
        "P",
        0,
        "C -0.05 0.66 0.00, O -0.05 -0.76 0.00, H -1.09 0.98 0.00, H 0.44 1.07 0.89, "
        "H 0.44 1.07 -0.89, H 0.86 -1.06 0.00",
    ),
    "acetonitrile": Monomer(
        "P",
        0,
        "C 0.00 0.00 0.00, C 0.00 0.00 1.46, N 0.00 0.00 2.62, H 1.02 0.00 -0.36, "
        "H -0.51 0.88 -0.36, H -0.51 -0.88 -0.36",
    ),
    "ethane": Monomer(
        "A",
        0,
        "C 0.00 0.00 0.76, C 0.00 0.00 -0.76, H 1.02 0.00 1.16, H -0.51 0.88 1.16, "
        "H -0.51 -0.88 1.16, H -1.02 0.00 -1.16, H 0.51 0.88 -1.16, H 0.51 -0.88 -1.16",
    ),
    "benzene": Monomer(
        "A",
        0,
        "C 1.39 0.00 0.00, C 0.70 1.20 0.00, C -0.70 1.20 0.00, C -1.39 0.00 0.00, "
        "C -0.70 -1.20 0.00, C 0.70 -1.20 0.00, H 2.48 0.00 0.00, H 1.24 2.15 0.00, "
        "H -1.24 2.15 0.00, H -2.48 0.00 0.00, H -1.24 -2.15 0.00, H 1.24 -2.15 0.00",
    ),
}


def frames_of_pair(
    pair: tuple[str, str], samplers: dict[str, Sampler], generator: np.random.Generator
) -> list[ase.Atoms]:
    """One frame in each of ten equal ranges of the distance."""
    splits = [name for name, count in COUNTS.items() for _ in range(count)]
    (low, high), number = DISTANCES, len(splits)
    distances = low + (high - low) * (np.arange(number) + generator.random(number)) / number
    frames = []
    for distance, split in zip(distances, generator.permutation(splits), strict=True):
        frame = make_frame(pair, samplers, distance, generator)
        frame.info = {
            "energy": frame.info["relative_energy"],
            "split": str(split),
            "curve": frame.info["label"],
            "pair": frame.info["pair"],
            "distance": float(frame.info["distance"]),
            "total_charge": frame.info["total_charge"],
        }
        frames.append(frame)
    return frames


def main() -> None:
    MONOMERS.update(MORE)
    ordered = sorted(MONOMERS, key=lambda name: "CPA".index(MONOMERS[name].label))
    samplers = {name: Sampler(name) for name in ordered}
    print(f"{len(samplers)} molecules", flush=True)
    generator = np.random.default_rng(2)
    frames: list[ase.Atoms] = []
    for pair in combinations_with_replacement(ordered, 2):
        try:
            frames += frames_of_pair(pair, samplers, generator)
        except RuntimeError as error:  # an electron leaves the anion
            print(f"left out: {error}", flush=True)
    for frame in frames[:: len(frames) // 5]:
        check(frame)
    write("biodimers", frames)


def check(frame: ase.Atoms, step: float = 1e-3) -> None:
    """A force against central differences of the energy."""
    energies = []
    for sign in (1, -1):
        moved = ase.Atoms(frame.symbols, frame.positions)
        moved.positions[0, 0] += sign * step
        energies.append(make_dimers.xtb_energy(moved, frame.info["total_charge"]))
    force = -(energies[0] - energies[1]) / (2 * step)
    assert abs(force - frame.arrays["forces"][0, 0]) < 1e-3


if __name__ == "__main__":
    main()
