"""i-PI: constant pressure with the model inside of i-PI, and path integrals at constant
pressure with two driver processes that i-PI talks to over a socket.

    python examples/engines/run_with_ipi.py model.pt

Drivers may run on other machines, each with a GPU of its own: replace `-u -a NAME` by
`-a HOST -p PORT`, and `mode="unix"` by `mode="inet"` with `port`. Each bead goes to the
next free driver. The script writes the input of i-PI, `input.xml`, which `i-pi input.xml`
understands as well, and the template with the species for the drivers.
"""

import os
import subprocess
import sysconfig
import uuid
from pathlib import Path

import ase
import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from comparison import Comparison, compare, finite, ion_box, main
from ipi.scripting import InteractiveSimulation, forcefield_xml
from ipi.utils.depend import dstrip
from ipi.utils.units import unit_to_user


NUM_BEADS = 4
NUM_DRIVERS = 2

# Without `<velocities>`, i-PI starts at rest
INPUT = """
<simulation verbosity='quiet'>
  {forcefield}
  <output prefix='{prefix}'>
    <properties stride='1' filename='out'>
      [step, time{{femtosecond}}, conserved{{electronvolt}}, temperature{{kelvin}},
       potential{{electronvolt}}, volume{{angstrom3}}, pressure_cv{{megapascal}}]
    </properties>
  </output>
  <system>
    <initialize nbeads='{num_beads}'>
      <file mode='ase' units='automatic' cell_units='automatic'> {start} </file>
      <velocities mode='thermal' units='kelvin'> 300 </velocities>
    </initialize>
    <forces> <force forcefield='metatomic'/> </forces>
    <ensemble>
      <temperature units='kelvin'> 300 </temperature>
      <pressure units='bar'> 1 </pressure>
    </ensemble>
    <motion mode='dynamics'>
      <dynamics mode='npt'>
        <timestep units='femtosecond'> 0.25 </timestep>
        <thermostat mode='pile_g'> <tau units='femtosecond'> 100 </tau> </thermostat>
        <barostat mode='isotropic'>
          <tau units='femtosecond'> 200 </tau>
          <thermostat mode='langevin'> <tau units='femtosecond'> 100 </tau> </thermostat>
        </barostat>
      </dynamics>
    </motion>
  </system>
</simulation>
"""


def simulate(
    forcefield: str, num_beads: int, num_steps: int, folder: Path
) -> list[ase.Atoms]:
    """Beads at the end, with their energies."""
    start = folder / "start.xyz"
    ase.io.write(start, ion_box(), format="extxyz")
    text = INPUT.format(
        forcefield=forcefield,
        prefix=f"beads{num_beads}",
        num_beads=num_beads,
        start=start,
    )
    (folder / "input.xml").write_text(text)
    simulation = InteractiveSimulation(text)
    simulation.run(num_steps)
    temperature = simulation.properties("temperature{kelvin}")
    volume = simulation.properties("volume")
    finite(np.array([temperature, volume]))
    print(f"{num_beads} beads: {num_steps} steps, volume {volume:.1f} A^3")
    return to_ase(simulation)


def to_ase(simulation: InteractiveSimulation) -> list[ase.Atoms]:
    """Beads with their energies, in the Angstrom and eV in which drivers work.

    `simulation.get_structures()` takes those of ASE, which are 1e-8 and 1e-7 off.
    """
    system = simulation.syslist[0]
    cell = unit_to_user("length", "angstrom", dstrip(system.cell.h).T)
    frames = []
    for i in range(system.beads.nbeads):
        positions = unit_to_user("length", "angstrom", dstrip(system.beads.q[i]))
        atoms = ase.Atoms(system.beads.names, positions.reshape(-1, 3), cell=cell, pbc=True)
        energy = unit_to_user("energy", "electronvolt", dstrip(system.forces.pots)[i])
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        frames.append(atoms)
    return frames


def in_process(model: str, num_steps: int, folder: Path) -> list[ase.Atoms]:
    template = folder / "template.xyz"
    forcefield = forcefield_xml(
        "metatomic", pes="metatomic", parameters={"template": template, "model": model}
    )
    return simulate(forcefield, 1, num_steps, folder)


def over_socket(model: str, num_steps: int, folder: Path) -> list[ase.Atoms]:
    address = f"lorem-{uuid.uuid4().hex[:8]}"
    options = f"template={folder / 'template.xyz'},model={model}"
    driver = str(Path(sysconfig.get_path("scripts")) / "i-pi-driver-py")
    command = [driver, "-u", "-a", address, "-m", "metatomic", "-o", options]
    # A driver gives up if nobody listens to the socket: they are started with a delay
    script = 'sleep 2; exec "$@"'
    drivers = [
        subprocess.Popen(["sh", "-c", script, "sh", *command]) for _ in range(NUM_DRIVERS)
    ]
    try:
        forcefield = forcefield_xml("metatomic", mode="unix", address=address)
        return simulate(forcefield, NUM_BEADS, num_steps, folder)
    finally:
        for driver in drivers:
            driver.terminate()
            driver.wait()


def run(model: str, num_steps: int, folder: Path) -> list[Comparison]:
    os.chdir(folder)  # i-PI writes its restart files here
    ase.io.write(folder / "template.xyz", ion_box())
    (classical,) = in_process(model, num_steps, folder)
    beads = over_socket(model, num_steps, folder)
    comparisons = [
        compare("i-PI, in process", classical.get_potential_energy(), classical, model)
    ]
    for i, atoms in enumerate(beads):
        energy = atoms.get_potential_energy()
        comparisons.append(compare(f"i-PI, bead {i} by socket", energy, atoms, model))
    return comparisons


if __name__ == "__main__":
    main(run, __doc__, steps=50)
