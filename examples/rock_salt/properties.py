"""What a trained model makes of the crystal, beside the potential it was trained on.

    python properties.py model.pt

1. Equation of state: lattice constant and bulk modulus.
2. Elastic constants, from the stress of strained crystals.
3. Forces on the perfect crystal, which symmetry forbids, and the relaxation of 64 ions.
4. Phonons along [100] at wave vectors that fit into a rod of eight cubes, so that no
   interpolation hides the long range: the splitting of the longitudinal optical (LO) from
   the transverse optical (TO) branch is an effect of charges that are infinitely far away.
   At q = 0 itself there is no macroscopic field, in either method, and the branches meet.

Prints a table and writes ``phonons.svg``.
"""

import argparse
from collections.abc import Callable

import ase
import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.eos import EquationOfState
from ase.optimize import BFGS
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms
from tosi_fumi import TosiFumi

from metatrain_lorem.engines.ase import WrappingCalculator


GUESS = 5.62  # Angstrom
PRIMITIVE = [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]  # of the cube


def cube(lattice_constant: float) -> ase.Atoms:
    return bulk("NaCl", "rocksalt", a=lattice_constant, cubic=True)


def equation_of_state(calculator: Calculator) -> tuple[float, float]:
    """Lattice constant in Angstrom and bulk modulus in GPa."""
    volumes, energies = [], []
    for scale in np.linspace(0.97, 1.03, 13):
        atoms = cube(scale * GUESS)
        atoms.calc = calculator
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    volume, _, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    return volume ** (1 / 3), modulus / units.GPa


def elastic_constants(
    calculator: Calculator, lattice_constant: float, step: float = 1e-3
) -> tuple[float, float, float]:
    """C11, C12 and C44 in GPa; ions stay at centers of inversion."""

    def stress(first: int, second: int, size: float) -> np.ndarray:
        strain = np.eye(3)
        strain[first, second] += size / 2
        strain[second, first] += size / 2
        atoms = cube(lattice_constant)
        atoms.set_cell(atoms.cell @ strain, scale_atoms=True)
        atoms.calc = calculator
        return atoms.get_stress() / units.GPa

    along = (stress(0, 0, step) - stress(0, 0, -step)) / (2 * step)
    shear = (stress(1, 2, step) - stress(1, 2, -step)) / (2 * step)
    return along[0], (along[1] + along[2]) / 2, shear[3]


def relaxation(calculator: Calculator, lattice_constant: float) -> tuple[float, int]:
    """Largest force on the perfect crystal, and steps to 1e-4 eV/A from a rattled one."""
    atoms = cube(lattice_constant) * (2, 2, 2)
    atoms.calc = calculator
    forbidden = np.abs(atoms.get_forces()).max()
    atoms.rattle(0.05, seed=0)
    optimizer = BFGS(atoms, logfile=None, alpha=10.0)  # softer than molecules
    optimizer.run(fmax=1e-4, steps=200)
    return forbidden, optimizer.get_number_of_steps()


def phonons(
    calculator: Calculator, lattice_constant: float, num_cubes: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in THz along [100].

    :return: wave vectors in units of 2 pi / a, and frequencies ``[wave vectors, 6]``
    """
    crystal = cube(lattice_constant)
    phonon = Phonopy(
        PhonopyAtoms(
            numbers=crystal.numbers,
            cell=crystal.cell.array,
            scaled_positions=crystal.get_scaled_positions(),
        ),
        supercell_matrix=np.diag([num_cubes, 1, 1]),
        primitive_matrix=PRIMITIVE,
    )
    phonon.generate_displacements(distance=0.01, is_plusminus=True)
    forces = []
    for displaced in phonon.supercells_with_displacements:
        atoms = ase.Atoms(
            numbers=displaced.numbers,
            cell=displaced.cell,
            scaled_positions=displaced.scaled_positions,
            pbc=True,
        )
        atoms.calc = calculator
        forces.append(atoms.get_forces())
    phonon.forces = np.array(forces)
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    waves = np.arange(num_cubes + 1) / num_cubes
    phonon.run_qpoints(np.array([[0.0, q / 2, q / 2] for q in waves]))
    return waves, phonon.qpoints.frequencies


def plot(results: dict[str, tuple[np.ndarray, np.ndarray]], path: str) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.5, 3.5), constrained_layout=True)
    styles = {"Tosi-Fumi": "k-", "LOREM": "C3o"}
    for name, (waves, frequencies) in results.items():
        lines = axes.plot(waves, frequencies, styles[name], markersize=4, linewidth=1)
        lines[0].set_label(name)
    axes.set_xlabel("wave vector along [100], $q a / 2 \\pi$")
    axes.set_ylabel("frequency / THz")
    axes.set_xlim(0, 1)
    axes.axhline(0, color="0.8", linewidth=0.5, zorder=0)
    axes.legend()
    figure.savefig(path)


def report(name: str, row: Callable[[str, str], None], calculator: Calculator) -> tuple:
    """Print the table's column of one method, and return its phonons."""
    constant, modulus = equation_of_state(calculator)
    forbidden, steps = relaxation(calculator, constant)
    waves, frequencies = phonons(calculator, constant)
    row("lattice constant / A", f"{constant:.4f}")
    row("bulk modulus / GPa", f"{modulus:.2f}")
    for label, value in zip(
        ("C11", "C12", "C44"), elastic_constants(calculator, constant), strict=True
    ):
        row(f"{label} / GPa", f"{value:.2f}")
    row("forbidden force / (eV/A)", f"{forbidden:.1e}")
    row("steps of relaxation", str(steps))
    row("TO at q = 1/8 / THz", f"{frequencies[1, 3]:.3f}")
    row("LO at q = 1/8 / THz", f"{frequencies[1, 5]:.3f}")
    return waves, frequencies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--figure", default="phonons.svg")
    args = parser.parse_args()
    model = WrappingCalculator(args.model, do_gradients_with_energy=False)
    table: dict[str, list[str]] = {}

    def row(label: str, value: str) -> None:
        table.setdefault(label, []).append(value)

    results = {
        name: report(name, row, calculator)
        for name, calculator in {"Tosi-Fumi": TosiFumi(), "LOREM": model}.items()
    }
    print(f"{'':26}" + "".join(f"{name:>14}" for name in results))
    for label, values in table.items():
        print(f"{label:26}" + "".join(f"{value:>14}" for value in values))
    plot(results, args.figure)


if __name__ == "__main__":
    main()
