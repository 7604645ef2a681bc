"""Generate a data set of sodium chloride at the GFN2-xTB level: clusters without
periodic boundaries, as periodic GFN2-xTB of small cells suffers from its single k-point.

1. Clusters of 8, 16 and 32 ions are cut from the crystal and heated to 1600 K by
   molecular dynamics with GFN2-xTB, until they melt.
2. Clusters of 64 ions, the only ones with a bulk-like core, are cut from the crystal,
   compressed or expanded, and rattled.

The script writes ``clusters_train.xyz``, ``clusters_val.xyz`` and ``clusters_test.xyz``.
Lengths are in Angstrom, energies in eV and forces in eV/Angstrom.

    pip install ase tblite
    OMP_NUM_THREADS=1 python make_clusters.py

"""

from collections.abc import Iterator
from pathlib import Path

import ase
import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from tblite.ase import TBLite


LATTICE_CONSTANT = 5.64  # Angstrom, of the crystal at 300 K
REPEATS = [(1, 1, 1), (1, 1, 2), (1, 2, 2)]  # cubes of 8 ions
TEMPERATURES = (300.0, 1600.0)  # K, at the start and at the end
NUM_STEPS = 480
STRIDE = 8  # steps between frames
TIMESTEP = 4 * units.fs
NUM_TRAJECTORIES = 2  # per size
NUM_RATTLED = 40
SPLITS = {"train": 0.8, "val": 0.1, "test": 0.1}


def cluster(repeats: tuple[int, int, int], scale: float = 1.0) -> ase.Atoms:
    """A piece of the crystal in open space, with as many cations as anions."""
    atoms = bulk("NaCl", "rocksalt", a=scale * LATTICE_CONSTANT, cubic=True) * repeats
    atoms.pbc = False
    atoms.cell = None
    return atoms


def label(atoms: ase.Atoms, method: TBLite) -> ase.Atoms:
    """A copy that carries energy and forces only."""
    frame = ase.Atoms(atoms.numbers, atoms.positions)
    frame.calc = method
    energy, forces = frame.get_potential_energy(), frame.get_forces()
    frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
    return frame


def melting(
    repeats: tuple[int, int, int], method: TBLite, generator: np.random.RandomState
) -> Iterator[ase.Atoms]:
    """Frames of a simulation in which the temperature of the thermostat grows."""
    atoms = cluster(repeats)
    atoms.rattle(0.1, rng=generator)
    atoms.calc = method
    thermalize_momenta(atoms, temperature_K=TEMPERATURES[0], rng=generator)
    dynamics = Langevin(
        atoms,
        timestep=TIMESTEP,
        temperature_K=TEMPERATURES[0],
        friction=0.01 / units.fs,
        fixcm=False,
        rng=generator,
    )
    for step in range(0, NUM_STEPS, STRIDE):
        progress = step / NUM_STEPS
        dynamics.set_temperature(
            temperature_K=(1 - progress) * TEMPERATURES[0] + progress * TEMPERATURES[1]
        )
        dynamics.run(STRIDE)
        yield label(atoms, method)


def rattled(method: TBLite, generator: np.random.RandomState) -> Iterator[ase.Atoms]:
    for _ in range(NUM_RATTLED):
        atoms = cluster((2, 2, 2), scale=generator.uniform(0.95, 1.06))
        atoms.rattle(generator.uniform(0.02, 0.2), rng=generator)
        yield label(atoms, method)


def extended_xyz(frame: ase.Atoms) -> str:
    """Like `ase.io.write`, with fewer digits: 1e-5 Angstrom and 1e-5 eV/Angstrom."""
    lines = [
        str(len(frame)),
        "Properties=species:S:1:pos:R:3:forces:R:3 "
        f'energy={frame.get_potential_energy():.6f} pbc="F F F"',
    ]
    for symbol, position, force in zip(
        frame.symbols, frame.positions, frame.get_forces(), strict=True
    ):
        numbers = " ".join(f"{value:.5f}" for value in (*position, *force))
        lines.append(f"{symbol} {numbers}")
    return "\n".join(lines) + "\n"


def write(frames: list[ase.Atoms], generator: np.random.RandomState) -> None:
    order = generator.permutation(len(frames))
    start = 0
    for name, fraction in SPLITS.items():
        stop = start + round(fraction * len(frames))
        path = Path(__file__).parent / f"clusters_{name}.xyz"
        chosen = [frames[i] for i in order[start:stop]]
        path.write_text("".join(extended_xyz(frame) for frame in chosen))
        print(f"{path.name}: {len(chosen)} frames, {path.stat().st_size / 1e3:.0f} kB")
        start = stop


def main() -> None:
    generator = np.random.RandomState(0)
    method = TBLite(method="GFN2-xTB", verbosity=0)
    frames: list[ase.Atoms] = []
    for repeats in REPEATS:
        for _ in range(NUM_TRAJECTORIES):
            frames += melting(repeats, method, generator)
            print(f"{len(frames)} frames", flush=True)
    frames += rattled(method, generator)
    write(frames, generator)


if __name__ == "__main__":
    main()
