"""OpenMM: Langevin dynamics and a Monte Carlo barostat, through the ASE potential of
openmmml.

    python examples/engines/run_with_openmm.py model.pt

OpenMM gets energies and forces that way, but no virial: constant pressure works with
MonteCarloBarostat, which needs energies only.
"""

from pathlib import Path

import ase
import openmm
from ase import units
from comparison import Comparison, calculator, compare, dimer, finite, ion_box, main
from openmm import app, unit
from openmmml import MLPotential


TEMPERATURE = 300 * unit.kelvin


def topology_of(atoms: ase.Atoms) -> app.Topology:
    """All atoms in one residue, without bonds: the model needs elements and box only."""
    topology = app.Topology()
    residue = topology.addResidue("ATOMS", topology.addChain())
    for number in atoms.numbers:
        element = app.Element.getByAtomicNumber(int(number))
        topology.addAtom(element.symbol, element, residue)
    if atoms.pbc.all():
        topology.setPeriodicBoxVectors(atoms.cell[:] * unit.angstrom)
    return topology


def simulate(atoms: ase.Atoms, model: str, num_steps: int) -> tuple[float, ase.Atoms]:
    """Potential energy in eV and atoms at the end."""
    topology = topology_of(atoms)
    potential = MLPotential("ase")
    system = potential.createSystem(topology, calculator=calculator(model))
    if atoms.pbc.all():
        frequency = max(1, num_steps // 4)
        system.addForce(openmm.MonteCarloBarostat(1 * unit.bar, TEMPERATURE, frequency))
    integrator = openmm.LangevinMiddleIntegrator(
        TEMPERATURE, 1 / unit.picosecond, 0.5 * unit.femtosecond
    )
    # The only platform with positions in double precision on every machine
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(topology, system, integrator, platform)
    simulation.context.setPositions(atoms.positions * unit.angstrom)
    simulation.context.setVelocitiesToTemperature(TEMPERATURE, 0)
    simulation.step(num_steps)

    state = simulation.context.getState(positions=True, energy=True)
    positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    cell = None
    if atoms.pbc.all():
        cell = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.angstrom)
    # Back by the constants of openmmml, which are those of ASE
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    last = ase.Atoms(atoms.numbers, finite(positions), cell=cell, pbc=atoms.pbc)
    return energy * units.kJ / units.mol, last


def run(model: str, num_steps: int, folder: Path) -> list[Comparison]:
    comparisons = []
    for name, start in (("NVT of molecules", dimer()), ("NPT of a crystal", ion_box())):
        energy, last = simulate(start, model, num_steps)
        volume = f", volume {last.get_volume():.1f} A^3" if last.pbc.all() else ""
        print(f"{name}: {num_steps} steps{volume}")
        comparisons.append(compare(f"OpenMM, {name}", energy, last, model))
    return comparisons


if __name__ == "__main__":
    main(run, __doc__, steps=200)
