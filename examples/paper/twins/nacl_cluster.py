"""Twin of the sodium chloride clusters: Na9Cl8+ and Na8Cl8+ at the GFN2-xTB level.

    OMP_NUM_THREADS=1 python nacl_cluster.py

writes ``nacl_cluster.xyz.gz`` within a minute (``pip install ase tblite``).

Both clusters are a planar ladder of two rows of eight ions, of total charge 1. In Na9Cl8+
a ninth sodium sits at one end; Na8Cl8+ lacks it, and has one electron less than a neutral
cluster. At the other end, 15 A away, one sodium (atom 0) moves on the line that connects
it with the sodium of the next rung (atom 3): its energy depends on what the far end is.

The geometry is that of relaxed Na9Cl8+, for both clusters, as in the published data: they
differ by the missing atom alone. Training frames are rattled around scans.
"""

import contextlib

import ase
import numpy as np
from ase.calculators.calculator import CalculationFailed
from ase.optimize import BFGS
from frames import assign_splits, write
from tblite.ase import TBLite
from xtb import check_forces, label


SPACING = (2.62, 2.5)  # A, between and along rungs, before the relaxation
EXTRA = 16  # index of the ninth sodium
MOVING, FIXED = 0, 3  # the sodium that moves, and the one from which it does
DISTANCES = (3.1, 4.2)  # A, between them
RATTLE = 0.07  # A, standard deviation of each coordinate
COUNTS = {"train": 300, "val": 50, "test": 100}  # for each cluster
SCAN = np.arange(3.2, 4.1001, 0.025)  # A
UNPAIRED = {"Na9Cl8+": 0, "Na8Cl8+": 1}


def ladder() -> ase.Atoms:
    """Relaxed Na9Cl8+, in the plane of the ladder."""
    symbols, positions = [], []
    for rung in range(8):
        for side in range(2):
            symbols.append("Na" if (rung + side) % 2 == 0 else "Cl")
            positions.append([rung * SPACING[0], -side * SPACING[1], 0.0])
    symbols.append("Na")
    positions.append([7.6 * SPACING[0], 0.8 * SPACING[1], 0.0])
    atoms = ase.Atoms(symbols, positions)
    atoms.calc = TBLite(method="GFN2-xTB", charge=1, verbosity=0)
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=500)
    assert np.ptp(atoms.positions[:, 2]) < 1e-3
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.01
    atoms.calc = None
    return atoms


def moved(atoms: ase.Atoms, distance: float) -> ase.Atoms:
    """With the moving sodium at this distance of the fixed one."""
    atoms = atoms.copy()
    atoms.set_distance(FIXED, MOVING, distance, fix=0)
    atoms.info["distance"] = float(distance)
    return atoms


def frames_of(
    cluster: str, atoms: ase.Atoms, generator: np.random.Generator
) -> list[ase.Atoms]:
    unpaired = UNPAIRED[cluster]
    rattled: list[ase.Atoms] = []
    while len(rattled) < sum(COUNTS.values()):
        frame = moved(atoms, generator.uniform(*DISTANCES))
        frame.positions += RATTLE * generator.normal(size=(len(frame), 3))
        frame.info["distance"] = float(frame.get_distance(MOVING, FIXED))
        with contextlib.suppress(CalculationFailed):  # about one in a hundred
            rattled.append(label(frame, 1, unpaired))
    assign_splits(rattled, COUNTS, generator)
    scan = [label(moved(atoms, distance), 1, unpaired) for distance in SCAN]
    for frame in scan:
        frame.info["split"] = "scan"
    energies = np.array([frame.info["energy"] for frame in scan])
    lowest = int(energies.argmin())
    error = check_forces(rattled[0], charge=1, unpaired=unpaired)
    print(
        f"{cluster}: minimum at {SCAN[lowest]:.3f} A, the scan spans "
        f"{1000 * np.ptp(energies):.0f} meV; largest error of a force {error:.1e} eV/A"
    )
    for frame in rattled + scan:
        frame.info["curve"] = cluster
    return rattled + scan


def main() -> None:
    generator = np.random.default_rng(0)
    large = ladder()
    small = large[[i for i in range(len(large)) if i != EXTRA]]
    frames = frames_of("Na9Cl8+", large, generator)
    frames += frames_of("Na8Cl8+", small, generator)
    write("nacl_cluster", frames)


if __name__ == "__main__":
    main()
