"""Twin of the cumulenes: C9H4 at the GFN2-xTB level, both rotors twisted.

    OMP_NUM_THREADS=1 python cumulene.py

writes ``cumulene.xyz.gz`` within a minute (``pip install ase tblite``).

Two CH2 groups end a straight chain of nine carbon atoms. The energy depends on the angle
between their planes, over 11 A: a model without long range sees one end at a time, and
charges without direction do not tell the plane. Training frames are relaxed C9H4 with both
rotors turned by random angles and all atoms displaced; the profile is a rigid rotation of
one rotor by 90 degrees, which is not in the training set.
"""

import ase
import numpy as np
from ase.optimize import BFGS
from frames import assign_splits, write
from tblite.ase import TBLite
from xtb import check_forces, label


NUM_CARBONS = 9
BONDS = (1.29, 1.09)  # A, of C=C and C-H before the relaxation
RATTLE = 0.05  # A, standard deviation of each coordinate
COUNTS = {"train": 600, "val": 100, "test": 200}
PROFILE = np.arange(0.0, 90.1, 3.0)  # degrees between the planes


def relaxed() -> ase.Atoms:
    """The perpendicular minimum; atoms 0 to 8 are the chain, 9 and 10 sit at atom 0."""
    positions = [[i * BONDS[0], 0.0, 0.0] for i in range(NUM_CARBONS)]
    along, aside = BONDS[1] / 2, BONDS[1] * np.sqrt(3) / 2
    last = (NUM_CARBONS - 1) * BONDS[0]
    for sign in (1, -1):
        positions.append([-along, sign * aside, 0.0])
    for sign in (1, -1):
        positions.append([last + along, 0.0, sign * aside])
    atoms = ase.Atoms(f"C{NUM_CARBONS}H4", positions)
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    BFGS(atoms, logfile=None).run(fmax=0.005, steps=300)
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.005
    atoms.calc = None
    return atoms


def turned(atoms: ase.Atoms, first: float, second: float) -> ase.Atoms:
    """Rotors turned about the chain, from the perpendicular minimum.

    :param first: degrees, of the rotor at atom 0
    :param second: degrees, of the other one
    """
    atoms = atoms.copy()
    axis = atoms.positions[NUM_CARBONS - 1] - atoms.positions[0]
    for angle, rotor, carbon in ((first, (9, 10), 0), (second, (11, 12), 8)):
        part = atoms[list(rotor)]
        part.rotate(angle, axis, center=atoms.positions[carbon])
        atoms.positions[list(rotor)] = part.positions
    return atoms


def angle_between_rotors(atoms: ase.Atoms) -> float:
    """Angle between the planes of the rotors, 0 to 90 degrees."""
    first = atoms.positions[10] - atoms.positions[9]
    second = atoms.positions[12] - atoms.positions[11]
    cosine = abs(first @ second) / np.linalg.norm(first) / np.linalg.norm(second)
    return float(np.degrees(np.arccos(min(cosine, 1.0))))


def main() -> None:
    generator = np.random.default_rng(1)
    atoms = relaxed()
    frames = []
    for _ in range(sum(COUNTS.values())):
        frame = turned(atoms, *generator.uniform(0, 360, size=2))
        frame.positions += RATTLE * generator.normal(size=(len(frame), 3))
        frame.info["angle"] = angle_between_rotors(frame)
        frames.append(label(frame))
    assign_splits(frames, COUNTS, generator)
    profile = [label(turned(atoms, 90 - angle, 0.0)) for angle in PROFILE]
    for frame, angle in zip(profile, PROFILE, strict=True):
        frame.info.update(split="scan", angle=float(angle))
        assert abs(angle_between_rotors(frame) - angle) < 0.5
    energies = np.array([frame.info["energy"] for frame in profile])
    spread = np.std([frame.info["energy"] for frame in frames]) / len(atoms)
    print(
        f"barrier {energies[0] - energies[-1]:.3f} eV; energies of the training set vary "
        f"by {1000 * spread:.0f} meV per atom; largest error of a force "
        f"{check_forces(frames[0]):.1e} eV/A"
    )
    for frame in frames + profile:
        frame.info["curve"] = "C9H4"
    write("cumulene", frames + profile)


if __name__ == "__main__":
    main()
