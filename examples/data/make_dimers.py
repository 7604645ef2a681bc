"""Generate the quickstart data set: molecular dimers at the GFN2-xTB level.

The data set follows the idea of the "biodimers" benchmark. Charged (C), polar (P)
and apolar (A) molecules are combined into all six classes of pairs (CC, CP, CA, PP,
PA, AA), at separations which reach far beyond the cutoff radius of a typical
machine-learning potential:

1. every monomer is relaxed, and its Hessian is computed by finite differences;
2. thermally distorted monomers are drawn from the classical harmonic ensemble;
3. two distorted monomers are rotated at random, and shifted along a random axis until
   the closest pair of atoms has the wanted separation (3 to 12 Angstrom);
4. the frames of every pair are split into training, validation and test set,
   separately for short, medium and long separations.

The script writes ``dimers_train.xyz``, ``dimers_val.xyz`` and ``dimers_test.xyz``, and
checks what it has made. Lengths are in Angstrom, energies in eV, forces in
eV/Angstrom and charges in units of the elementary charge.

Requirements: ``pip install ase tblite``. Usage::

    OMP_NUM_THREADS=1 python make_dimers.py

"""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import ase
import ase.io
import numpy as np
from ase.optimize import BFGS
from ase.units import kB
from tblite.ase import TBLite


# Coulomb constant 1 / (4 pi epsilon_0) in eV Angstrom / e^2
COULOMB = 14.399645

TEMPERATURE = 300.0  # K, of the harmonic ensemble of the monomers
DISTANCES = (3.0, 12.0)  # Angstrom, range of the closest interatomic distances
RANGES = ("short", "medium", "long")  # thirds of the range of distances
SPLITS = {"train": 6, "val": 1, "test": 2}  # frames per pair and range of distances

MAX_ANHARMONICITY = 1.5  # energy of a distorted monomer relative to the harmonic one
MAX_CHARGE_ERROR = 0.002  # e, deviation of the fragment charges from integers
MAX_ATTEMPTS = 10  # per frame, to satisfy the condition on the charges


@dataclass(frozen=True)
class Monomer:
    """A molecule: its class (C, P or A), total charge and approximate geometry."""

    label: str
    charge: int
    geometry: str  # one "element x y z" (in Angstrom) per atom, separated by commas


# The ions are chosen such that the highest occupied orbital of the anion stays below
# the lowest unoccupied orbital of the cation up to the largest separation. Otherwise
# (e.g. for methylammonium with formate or nitrate) the ground state at long distance
# tends to a pair of neutral radicals, and the molecules do not keep their charges.
MONOMERS = {
    "methylammonium": Monomer(
        "C",
        +1,
        "N 0.00 0.00 0.70, C 0.00 0.00 -0.79, H 1.04 0.00 -1.12, "
        "H -0.52 0.90 -1.12, H -0.52 -0.90 -1.12, H -0.96 0.00 1.04, "
        "H 0.48 -0.83 1.04, H 0.48 0.83 1.04",
    ),
    "dinitramide": Monomer(
        "C",
        -1,
        "N 0.00 -0.69 0.00, N 1.16 -0.06 0.02, N -1.16 -0.06 -0.02, "
        "O 1.26 1.04 0.54, O 2.12 -0.69 -0.40, O -1.26 1.04 -0.54, "
        "O -2.12 -0.69 0.40",
    ),
    "water": Monomer(
        "P",
        0,
        "O 0.00 0.00 0.06, H 0.00 0.77 -0.51, H 0.00 -0.77 -0.51",
    ),
    "formamide": Monomer(
        "P",
        0,
        "C -0.14 -0.39 0.00, O 1.06 -0.43 0.00, N -0.87 0.74 0.00, "
        "H -0.77 -1.29 0.00, H -1.88 0.74 0.00, H -0.39 1.63 0.00",
    ),
    "methane": Monomer(
        "A",
        0,
        "C 0.00 0.00 0.00, H 0.62 0.62 0.62, H 0.62 -0.62 -0.62, "
        "H -0.62 0.62 -0.62, H -0.62 -0.62 0.62",
    ),
    "ethene": Monomer(
        "A",
        0,
        "C 0.00 0.00 0.66, C 0.00 0.00 -0.66, H 0.00 0.91 1.23, H 0.00 -0.91 1.23, "
        "H 0.00 0.91 -1.23, H 0.00 -0.91 -1.23",
    ),
}

# all 21 pairs, including those of a molecule with itself
PAIRS = tuple(combinations_with_replacement(MONOMERS, 2))


# --- quantum chemistry ---------------------------------------------------------------


def attach_xtb(atoms: ase.Atoms, charge: int) -> ase.Atoms:
    """Attach a fresh GFN2-xTB calculator (closed shell) for the total ``charge``.

    A self-consistent cycle which does not converge raises an error later.
    """
    atoms.calc = TBLite(method="GFN2-xTB", charge=charge, accuracy=0.01, verbosity=0)
    return atoms


def xtb_energy(atoms: ase.Atoms, charge: int) -> float:
    """Total energy (eV) of a copy of ``atoms``."""
    return attach_xtb(atoms.copy(), charge).get_potential_energy()


def xtb_forces(atoms: ase.Atoms, charge: int) -> np.ndarray:
    """Forces (eV/Angstrom) on a copy of ``atoms``."""
    return attach_xtb(atoms.copy(), charge).get_forces()


def hessian(atoms: ase.Atoms, charge: int, step: float = 0.005) -> np.ndarray:
    """Matrix of second derivatives (eV/Angstrom^2) from central differences.

    :param step: displacement of an atom in Angstrom
    """
    rows = []
    for index in range(3 * len(atoms)):
        shift = np.zeros(3 * len(atoms))
        shift[index] = step
        forces = []
        for sign in (1, -1):
            displaced = atoms.copy()
            displaced.positions += sign * shift.reshape(-1, 3)
            forces.append(xtb_forces(displaced, charge).ravel())
        rows.append((forces[1] - forces[0]) / (2 * step))
    matrix = np.array(rows)
    return (matrix + matrix.T) / 2


# --- monomers ------------------------------------------------------------------------


class Sampler:
    """Draws thermally distorted copies of one monomer.

    In the classical harmonic ensemble the displacements from the minimum follow a
    normal distribution with the covariance :math:`k_B T H^{-1}`, where the inverse of
    the Hessian is restricted to the vibrations.
    """

    def __init__(self, name: str) -> None:
        monomer = MONOMERS[name]
        self.charge = monomer.charge
        self.atoms = attach_xtb(parse_geometry(monomer.geometry), self.charge)
        if not BFGS(self.atoms, logfile=None).run(fmax=1e-4, steps=500):
            raise RuntimeError(f"the relaxation of {name} has not converged")
        self.energy = self.atoms.get_potential_energy()
        self.hessian = hessian(self.atoms, self.charge)
        self.factor = self._displacement_factor()

    def _displacement_factor(self) -> np.ndarray:
        """Matrix (Angstrom) which turns standard normal numbers into displacements.

        The square root of the covariance is symmetric in mass-weighted coordinates.
        Hence it does not depend on the choice of basis for degenerate vibrations.
        """
        roots = np.sqrt(np.repeat(self.atoms.get_masses(), 3))
        eigenvalues, modes = np.linalg.eigh(self.hessian / np.outer(roots, roots))
        # drop the translations and rotations (none of the monomers is linear)
        eigenvalues, modes = eigenvalues[6:], modes[:, 6:]
        if eigenvalues[0] <= 0:
            raise RuntimeError("the relaxed geometry is not a minimum")
        widths = np.sqrt(kB * TEMPERATURE / eigenvalues)
        return (modes * widths) @ modes.T / roots[:, None]

    def draw(self, rng: np.random.Generator) -> ase.Atoms:
        """One distorted copy, with its centre of mass in the origin.

        Displacements are along straight lines, which stretches the bonds if a soft
        vibration (a torsion) has a large amplitude. Such geometries are drawn again.
        """
        while True:
            displacement = self.factor @ rng.standard_normal(len(self.factor))
            atoms = ase.Atoms(self.atoms.symbols, self.atoms.positions)
            atoms.positions += displacement.reshape(-1, 3)
            harmonic = displacement @ self.hessian @ displacement / 2
            energy = xtb_energy(atoms, self.charge) - self.energy
            if energy < MAX_ANHARMONICITY * harmonic:
                atoms.positions -= atoms.get_center_of_mass()
                return atoms


def parse_geometry(geometry: str) -> ase.Atoms:
    """Read the compact notation of :class:`Monomer`."""
    rows = [atom.split() for atom in geometry.split(",")]
    return ase.Atoms(
        [row[0] for row in rows],
        [[float(number) for number in row[1:]] for row in rows],
    )


# --- dimers --------------------------------------------------------------------------


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Uniformly distributed rotation matrix, from a random unit quaternion."""
    quaternion = rng.standard_normal(4)
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def approach_shift(a: ase.Atoms, b: ase.Atoms, distance: float) -> float:
    """Shift of ``b`` along z which makes ``distance`` the closest distance to ``a``.

    Every pair of atoms has the wanted distance for up to two values of the shift. The
    largest one of all pairs is where ``b``, arriving from far away, has to stop.
    """
    delta = (b.positions[None, :, :] - a.positions[:, None, :]).reshape(-1, 3)
    squared_height = distance**2 - delta[:, 0] ** 2 - delta[:, 1] ** 2
    reached = squared_height >= 0
    return float(np.max(np.sqrt(squared_height[reached]) - delta[reached, 2]))


def place(
    a: ase.Atoms, b: ase.Atoms, distance: float, rng: np.random.Generator
) -> ase.Atoms:
    """Put ``b`` at the closest interatomic ``distance`` to ``a``, along a random axis.

    The positions are rounded to the digits which are written to the files, so that the
    energies and forces belong to exactly these positions.
    """
    b = b.copy()
    b.positions[:, 2] += approach_shift(a, b, distance)
    dimer = a + b
    dimer.positions = np.round(dimer.positions @ random_rotation(rng).T, 6)
    return dimer


def closest_distance(dimer: ase.Atoms, start_b: int) -> float:
    """Smallest distance (Angstrom) between atoms of different fragments."""
    return float(dimer.get_all_distances()[:start_b, start_b:].min())


def stratified_distances(rng: np.random.Generator, count: int) -> np.ndarray:
    """``count`` increasing distances (Angstrom), one in each of equal intervals."""
    low, high = DISTANCES
    return low + (high - low) * (np.arange(count) + rng.random(count)) / count


def make_frame(
    pair: tuple[str, str],
    samplers: dict[str, Sampler],
    distance: float,
    rng: np.random.Generator,
) -> ase.Atoms:
    """One labelled dimer: random distortions, random orientations, given distance.

    A few frames of oppositely charged molecules are drawn again: where the distortion
    stretches a bond of the cation, an electron can start to leave the anion.
    """
    for attempt in range(MAX_ATTEMPTS):
        fragments = []
        for name in pair:
            fragment = samplers[name].draw(rng)
            fragment.positions = fragment.positions @ random_rotation(rng).T
            fragments.append(fragment)
        dimer = place(*fragments, distance, rng)
        annotate(dimer, pair, samplers, start_b=len(fragments[0]))
        if dimer.info["charge_error"] < MAX_CHARGE_ERROR:
            dimer.info["rejected"] = attempt
            return dimer
    raise RuntimeError(f"the fragments of {'-'.join(pair)} do not keep their charges")


def annotate(
    dimer: ase.Atoms,
    pair: tuple[str, str],
    samplers: dict[str, Sampler],
    start_b: int,
) -> None:
    """Compute and store the energies and forces of ``dimer``, and describe it."""
    charges = [samplers[name].charge for name in pair]
    fragments = [dimer[:start_b], dimer[start_b:]]
    separate = sum(map(xtb_energy, fragments, charges))
    relaxed = sum(samplers[name].energy for name in pair)
    com_a, com_b = (fragment.get_center_of_mass() for fragment in fragments)

    total = sum(charges)
    attach_xtb(dimer, total)
    energy = dimer.get_potential_energy()
    forces = dimer.get_forces()
    charge_error = abs(float(dimer.get_charges()[:start_b].sum()) - charges[0])
    dimer.calc = None

    dimer.arrays["forces"] = forces
    dimer.info = {
        "energy": energy,
        "relative_energy": energy - relaxed,
        "interaction_energy": energy - separate,
        "label": "".join(MONOMERS[name].label for name in pair),
        "pair": "-".join(pair),
        "distance": closest_distance(dimer, start_b),
        "com_distance": float(np.linalg.norm(com_b - com_a)),
        "total_charge": total,
        "charge_a": charges[0],
        "charge_b": charges[1],
        "fragment_b_start": start_b,
        "charge_error": charge_error,
    }


def make_frames(seed: int) -> dict[str, list[ase.Atoms]]:
    """All frames, as lists for the training, validation and test set.

    Every pair has its own random numbers, hence adding a pair keeps the others.
    """
    samplers = {name: Sampler(name) for name in MONOMERS}
    frames = {split: [] for split in SPLITS}
    for index, pair in enumerate(PAIRS):
        rng = np.random.default_rng([seed, index])
        distances = stratified_distances(rng, len(RANGES) * sum(SPLITS.values()))
        for distance, split in zip(distances, split_names(rng), strict=True):
            frames[split].append(make_frame(pair, samplers, distance, rng))
    return frames


def split_names(rng: np.random.Generator) -> list[str]:
    """The split of every frame of one pair, random within each range of distances."""
    names = [name for name, count in SPLITS.items() for _ in range(count)]
    return [str(name) for _ in RANGES for name in rng.permutation(names)]


# --- output --------------------------------------------------------------------------


def format_frame(frame: ase.Atoms) -> Iterator[str]:
    """The lines of one frame in the extended XYZ format."""
    info = frame.info
    yield str(len(frame))
    yield (
        "Properties=species:S:1:pos:R:3:forces:R:3"
        f" energy={info['energy']:.8f}"
        f" relative_energy={info['relative_energy']:.8f}"
        f" interaction_energy={info['interaction_energy']:.8f}"
        f" label={info['label']} pair={info['pair']}"
        f" distance={info['distance']:.5f}"
        f" com_distance={info['com_distance']:.5f}"
        f" total_charge={info['total_charge']}"
        f" charge_a={info['charge_a']} charge_b={info['charge_b']}"
        f" fragment_b_start={info['fragment_b_start']}"
        ' pbc="F F F"'
    )
    rows = np.hstack([frame.positions, frame.arrays["forces"]])
    for symbol, row in zip(frame.symbols, rows, strict=True):
        yield f"{symbol:2s}" + "".join(f" {value:10.6f}" for value in row)


def write_frames(path: Path, frames: list[ase.Atoms]) -> None:
    """Write an extended XYZ file, with fewer digits than :func:`ase.io.write`."""
    lines = [line for frame in frames for line in format_frame(frame)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# --- checks --------------------------------------------------------------------------


def check_files(paths: dict[str, Path], frames: dict[str, list[ase.Atoms]]) -> None:
    """Assert that ASE reads back what was written."""
    for split, path in paths.items():
        read = ase.io.read(path, ":")
        assert len(read) == len(frames[split])
        for got, frame in zip(read, frames[split], strict=True):
            assert not got.pbc.any()
            assert np.array_equal(got.positions, frame.positions)
            energy, forces = got.get_potential_energy(), got.get_forces()
            assert abs(energy - frame.info["energy"]) < 1e-8
            assert np.abs(forces - frame.arrays["forces"]).max() < 1e-6
    size = sum(path.stat().st_size for path in paths.values())
    assert size < 2_000_000
    print(f"files can be read back, total size: {size / 1e6:.2f} MB")


def check_charges(frames: list[ase.Atoms]) -> None:
    """Assert that the composition tells the charge; print the charge transfer."""
    charges: dict[str, int] = {}
    for frame in frames:
        formula = frame.get_chemical_formula()
        total = frame.info["total_charge"]
        assert charges.setdefault(formula, total) == total, f"ambiguous: {formula}"
    worst = dict.fromkeys(labels(frames), 0.0)
    for frame in frames:
        label = frame.info["label"]
        worst[label] = max(worst[label], frame.info["charge_error"])
    assert max(worst.values()) < MAX_CHARGE_ERROR
    rejected = sum(frame.info["rejected"] for frame in frames)
    print(f"frames rejected because of charge transfer: {rejected}")
    text = ", ".join(f"{label} {value:.4f}" for label, value in worst.items())
    print(f"largest deviation of a fragment charge from an integer / e: {text}")


def check_forces(frames: list[ase.Atoms], step: float = 1e-3) -> None:
    """Assert that forces sum to zero, and are the derivatives of the energy."""
    net = max(np.abs(frame.arrays["forces"].sum(axis=0)).max() for frame in frames)
    assert net < 1e-4
    print(f"largest net force: {net:.1e} eV/A")

    frame = next(frame for frame in frames if frame.info["label"] == "CC")
    numerical = np.zeros((len(frame), 3))
    for atom, axis in np.ndindex(numerical.shape):
        for sign in (1, -1):
            displaced = ase.Atoms(frame.symbols, frame.positions)
            displaced.positions[atom, axis] += sign * step
            energy = xtb_energy(displaced, frame.info["total_charge"])
            numerical[atom, axis] -= sign * energy / (2 * step)
    error = np.abs(numerical - frame.arrays["forces"]).max()
    assert error < 1e-3
    print(f"largest error of a force against finite differences: {error:.1e} eV/A")


def check_coulomb(frames: list[ase.Atoms], min_distance: float = 6.0) -> None:
    """Fit ``interaction_energy = slope / com_distance`` for every CC pair.

    The assertion demands that the slope agrees with the product of the charges.
    """
    far = [
        frame
        for frame in frames
        if frame.info["label"] == "CC" and frame.info["distance"] >= min_distance
    ]
    for pair in dict.fromkeys(frame.info["pair"] for frame in far):
        infos = [frame.info for frame in far if frame.info["pair"] == pair]
        inverse = np.array([1 / info["com_distance"] for info in infos])
        energies = np.array([info["interaction_energy"] for info in infos])
        slope = (inverse @ energies) / (inverse @ inverse)
        expected = COULOMB * infos[0]["charge_a"] * infos[0]["charge_b"]
        assert abs(slope / expected - 1) < 0.1
        print(
            f"Coulomb fit beyond {min_distance} A, {pair}: "
            f"{slope:.2f} eV A, expected {expected:.2f} eV A"
        )


def labels(frames: list[ase.Atoms]) -> list[str]:
    """The classes of pairs, in the order of their first appearance."""
    return list(dict.fromkeys(frame.info["label"] for frame in frames))


def range_of(frame: ase.Atoms) -> str:
    """Whether the separation of a frame is short, medium or long."""
    low, high = DISTANCES
    fraction = (frame.info["distance"] - low) / (high - low)
    return RANGES[min(int(fraction * len(RANGES)), len(RANGES) - 1)]


def print_counts(frames: dict[str, list[ase.Atoms]]) -> None:
    """Print the numbers of frames; assert that no class or range is missing."""
    for split, subset in frames.items():
        per_class = Counter(frame.info["label"] for frame in subset)
        per_cell = Counter((frame.info["label"], range_of(frame)) for frame in subset)
        assert len(per_cell) == len(per_class) * len(RANGES)
        text = ", ".join(f"{label} {count}" for label, count in per_class.items())
        print(f"{split}: {len(subset)} frames ({text})")


def print_interactions(frames: list[ase.Atoms]) -> None:
    """Print energies per class: range of all, interactions per range of distances."""
    for label in labels(frames):
        subset = [frame for frame in frames if frame.info["label"] == label]
        relative = [frame.info["relative_energy"] for frame in subset]
        rms = []
        for name in RANGES:
            values = [
                frame.info["interaction_energy"]
                for frame in subset
                if range_of(frame) == name
            ]
            rms.append(f"{name} {1000 * np.sqrt(np.mean(np.square(values))):.2f}")
        print(
            f"{label}: relative energies {min(relative):.3f} to {max(relative):.3f} eV;"
            f" RMS interaction energy / meV: {', '.join(rms)}"
        )


def main() -> None:
    """Make, write and check the data set."""
    parser = argparse.ArgumentParser(description="Generate the dimer data set.")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()

    frames = make_frames(arguments.seed)
    paths = {split: arguments.output / f"dimers_{split}.xyz" for split in SPLITS}
    for split, path in paths.items():
        write_frames(path, frames[split])

    everything = [frame for subset in frames.values() for frame in subset]
    check_files(paths, frames)
    check_charges(everything)
    check_forces(everything)
    check_coulomb(everything)
    print_counts(frames)
    print_interactions(everything)


if __name__ == "__main__":
    main()
