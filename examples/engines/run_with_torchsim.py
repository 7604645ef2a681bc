"""TorchSim: static energies, NVT and relaxation of periodic systems of unequal size in
one batch.

    python examples/engines/run_with_torchsim.py model.pt

TorchSim 0.3 has one flag for the periodicity of a batch: molecules and crystals cannot
be mixed there, and slabs cannot be described.
"""

import warnings
from pathlib import Path

import ase
import torch
import torch_sim as ts
from comparison import Comparison, compare, dimer, finite, ion_box, main
from torch_sim.models.metatomic import MetatomicModel


def crystals() -> list[ase.Atoms]:
    """15 and 30 ions, and a denser box."""
    return [ion_box(), ion_box() * (2, 1, 1), ion_box(7.5)]


def molecules() -> list[ase.Atoms]:
    pairs = ["water-water", "methylammonium-dinitramide", "methylammonium-water"]
    return [dimer(pair) for pair in pairs]


def simulate(
    systems: list[ase.Atoms], model: MetatomicModel, num_steps: int
) -> ts.SimState:
    """NVT, then relaxation of all of them."""
    state = ts.integrate(
        systems,
        model,
        integrator=ts.nvt_langevin,
        n_steps=num_steps,
        temperature=300.0,
        timestep=0.0005,  # ps
        seed=0,
    )
    temperatures = ts.calc_kT(
        momenta=state.momenta, masses=state.masses, system_idx=state.system_idx
    )
    finite(temperatures.numpy())
    print(f"NVT: {num_steps} steps of {len(systems)} systems at once")
    return ts.optimize(
        state,
        model,
        optimizer=ts.optimizers.fire,
        convergence_fn=ts.generate_force_convergence_fn(0.1, include_cell_forces=False),
        max_steps=num_steps,
    )


def to_ase(state: ts.SimState, pbc: bool) -> list[ase.Atoms]:
    frames = state.to_atoms()
    for atoms in frames:
        atoms.pbc = pbc
        if not pbc:
            atoms.cell = None
    return frames


def run(model: str, num_steps: int, folder: Path) -> list[Comparison]:
    comparisons = []
    for name, systems in (("periodic", crystals()), ("open", molecules())):
        is_periodic = name == "periodic"
        # the stress of open systems is meaningless, and not asked for
        potential = MetatomicModel(model, device="cpu", compute_stress=is_periodic)
        state = simulate(systems, potential, num_steps)
        energies = finite(potential(state)["energy"].numpy())
        for i, atoms in enumerate(to_ase(state, is_periodic)):
            comparisons.append(
                compare(f"TorchSim, {name} system {i}", energies[i], atoms, model)
            )
    return comparisons


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*per_atom.*")
    main(run, __doc__, steps=100)
