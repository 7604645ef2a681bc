"""``mtt-lorem info --check``: the Coulomb sums of a model against those of torch-pme.

The charges are those of the model for the structure, and stay fixed: energies are
``(q * v).sum()`` over atoms and columns, forces and stress their derivatives. torch-pme
sums in float64 with a wider smearing and a larger cutoff, so that nothing but the
positions, the charges and the search for neighbors is shared.

torch-pme treats a slab as a crystal with vacuum, and corrects along a Cartesian axis. Hence
slabs are turned until their normal is the z axis, with a vacuum of :data:`VACUUM` times the
longer lattice vector.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import ase
import torch
from metatomic.torch import AtomisticModel, ModelOutput
from metatomic_ase import MetatomicCalculator

from ..coulomb.neighbors import neighbor_list
from ..coulomb.potentials import find_pairs
from ..ops.extent import check_search


CHARGES = "mtt::aux::charges"
# Cutoff over smearing, and largest k-vector times smearing: both parts of the sum neglect
# less than 1e-10 of what a pair, or a k-vector, contributes
CONVERGED = 7.0
VACUUM = 4.0  # leaves exp(-2 pi 4) = 1e-11
MEMORY = 2**33  # bytes; torch-pme keeps its sums over pairs and k-vectors as a whole


class System(NamedTuple):
    """A structure with charges."""

    positions: torch.Tensor  # [N, 3]
    charges: torch.Tensor  # [N, C]
    cell: torch.Tensor  # [3, 3]
    pbc: torch.Tensor  # [3]


class Sums(NamedTuple):
    """Results of one code."""

    potentials: torch.Tensor  # [N, C]
    energy: torch.Tensor  # []
    forces: torch.Tensor  # [N, 3]
    virial: torch.Tensor  # [3, 3] dE/dD, with positions and cell multiplied by D = 1


Potentials = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def compare(model: AtomisticModel, solver: torch.nn.Module, atoms: ase.Atoms) -> list[str]:
    """Compare the solver of a model with torch-pme, in lines to print.

    :param model: exported model with long-range interactions
    :param solver: its Coulomb solver
    :param atoms: structure that the solver can treat
    :raises ValueError: if torch-pme would need more than :data:`MEMORY`
    """
    dtype = model.module.network.species.weight.dtype
    system = System(
        torch.tensor(atoms.positions, dtype=dtype),
        charges_of_model(model, atoms).to(dtype),
        torch.tensor(atoms.cell.array, dtype=dtype),
        torch.tensor(atoms.pbc),
    )
    # Both codes get the same rounded numbers.
    exact = system._replace(
        positions=system.positions.double(),
        charges=system.charges.double(),
        cell=system.cell.double(),
    )
    expected, settings = sums_of_torchpme(exact)
    sums = sums_of_solver(solver, system)
    sums = Sums(*(x.double() for x in sums))
    return _lines(exact, sums, expected, settings, str(dtype).removeprefix("torch."))


def charges_of_model(model: AtomisticModel, atoms: ase.Atoms) -> torch.Tensor:
    """What the atoms exchange, ``[N, C]``.

    :raises ValueError: for atoms that no neighbor list can be made of
    """
    lists = model.requested_neighbor_lists()
    cutoff = max([options.engine_cutoff("angstrom") for options in lists])
    arrays = (atoms.positions, atoms.cell.array, atoms.pbc)
    positions, cell, pbc = (torch.from_numpy(array) for array in arrays)
    check_search(positions, cell, pbc, cutoff)
    calculator = MetatomicCalculator(model, device="cpu")
    outputs = {CHARGES: ModelOutput(sample_kind="atom")}
    return calculator.run_model(atoms, outputs)[CHARGES].block().values.detach()


def sums_of_solver(solver: torch.nn.Module, system: System) -> Sums:
    """Potentials of a model's solver, with derivatives."""
    pbc = system.pbc.unsqueeze(0)
    systems = torch.zeros(len(system.positions), dtype=torch.int64)

    def potentials(positions: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
        pairs = find_pairs(positions, cell, system.pbc, float(solver.cutoff))
        cells = cell.unsqueeze(0)
        return solver(positions, system.charges, cells, pbc, systems, pairs)

    return differentiate(potentials, system)


def sums_of_torchpme(system: System) -> tuple[Sums, str]:
    """Potentials of torch-pme, with derivatives and a description of the sum.

    :raises ValueError: if it would need more than :data:`MEMORY`
    """
    num_periodic = int(system.pbc.sum())
    if num_periodic == 0:
        _check_memory(0, len(system.positions) ** 2, system)
        far = 2 * float(torch.linalg.vector_norm(system.positions, dim=1).max()) + 1
        return _sum_by_torchpme(system, None, far), "all pairs"
    frame = torch.eye(3, dtype=torch.float64)
    closed = system
    if num_periodic == 2:
        closed, frame = upright_slab(system)
    volume = float(torch.linalg.det(closed.cell).abs())
    num_atoms = len(system.positions)
    # About as many bytes for pairs as for k-vectors
    smearing = (volume**2 / (1000 * num_atoms)) ** (1 / 6)
    cutoff = CONVERGED * smearing
    num_k = volume * (CONVERGED / (math.pi * smearing)) ** 3
    num_pairs = 4 / 3 * math.pi * cutoff**3 * num_atoms**2 / volume
    _check_memory(num_k, num_pairs, system)
    sums = _sum_by_torchpme(closed, smearing, cutoff)
    if num_periodic == 2:
        virial = sums.virial.clone()
        # torch-pme's axis stays where it is if the plane is tilted. The other two
        # shears deform the slab in the same way, up to a rotation.
        virial[:2, 2] = virial[2, :2]
        sums = sums._replace(virial=virial)
    sums = sums._replace(forces=sums.forces @ frame, virial=frame.T @ sums.virial @ frame)
    return sums, f"Ewald sum, smearing {smearing:.3g}, cutoff {cutoff:.3g}"


def upright_slab(system: System) -> tuple[System, torch.Tensor]:
    """Turn a slab until its normal is the z axis, and add vacuum.

    :return: the slab, and the axes of its frame in the old one as rows, ``[3, 3]``
    """
    first, second = system.cell[system.pbc]
    normal = torch.linalg.cross(first, second)
    normal = normal / torch.linalg.vector_norm(normal)
    x_axis = first / torch.linalg.vector_norm(first)
    frame = torch.stack([x_axis, torch.linalg.cross(normal, x_axis), normal])
    positions = system.positions @ frame.T
    longest = torch.linalg.vector_norm(system.cell[system.pbc], dim=1).max()
    height = positions[:, 2].max() - positions[:, 2].min() + VACUUM * longest
    vacuum = torch.zeros(1, 3, dtype=torch.float64)
    vacuum[0, 2] = height
    cell = torch.cat([system.cell[system.pbc] @ frame.T, vacuum])
    return System(positions, system.charges, cell, torch.tensor([True, True, False])), frame


def _sum_by_torchpme(system: System, smearing: float | None, cutoff: float) -> Sums:
    import torchpme  # only here: everything else runs without it

    potential = torchpme.CoulombPotential(smearing=smearing)
    if smearing is None:
        calculator = torchpme.Calculator(potential, full_neighbor_list=True)
    else:
        calculator = torchpme.EwaldCalculator(
            potential,
            lr_wavelength=math.pi * smearing / CONVERGED,  # the last k is pi / this
            full_neighbor_list=True,
        )
    calculator.to(torch.float64)
    # Vacuum is part of the cell, and has no images within the cutoff.
    i, j, shifts = neighbor_list(system.positions, system.cell, system.pbc, cutoff)
    is_slab = int(system.pbc.sum()) == 2

    def potentials(positions: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
        if is_slab:  # nothing depends on the height of the vacuum
            cell = torch.cat([cell[:2], system.cell[2:]])
        distances = torch.linalg.vector_norm(
            positions[j] - positions[i] + shifts.to(cell.dtype) @ cell, dim=1
        )
        pairs = torch.stack([i, j], dim=1)
        periodic = system.pbc if is_slab else None
        return calculator(system.charges, cell, positions, pairs, distances, periodic)

    return differentiate(potentials, system)


def differentiate(potentials: Potentials, system: System) -> Sums:
    """Energy, forces and virial of potentials, as functions of positions and cell."""
    positions = system.positions.clone().requires_grad_(True)
    deformation = torch.eye(3, dtype=positions.dtype, requires_grad=True)
    values = potentials(positions @ deformation, system.cell @ deformation)
    energy = (system.charges * values).sum()
    # A single atom in a cell has no derivatives.
    gradient, virial = torch.autograd.grad(
        energy, [positions, deformation], materialize_grads=True
    )
    return Sums(values.detach(), energy.detach(), -gradient, virial)


def _check_memory(num_k: float, num_pairs: float, system: System) -> None:
    num_atoms, num_columns = system.charges.shape
    # Phases, waves and their gradients; products of charges and kernels, and theirs
    needed = 8 * (6 * num_k * num_atoms + 4 * num_columns * num_pairs)
    if needed > MEMORY:
        raise ValueError(
            f"torch-pme would need {needed / 2**30:.0f} GiB for {num_atoms} atoms: check "
            "a smaller structure"
        )


def _lines(
    system: System, sums: Sums, expected: Sums, settings: str, dtype: str
) -> list[str]:
    charge = rms(system.charges)
    differences = Sums(*(a - b for a, b in zip(sums, expected)))
    lines = [
        f"check             {dtype}, against torch-pme in float64: {settings}",
        f"charges           {system.charges.shape[1]} columns, RMS {charge:.3g}",
        f"energy            {float(expected.energy):.9g}, "
        f"difference {float(differences.energy):.1e}",
        f"forces            RMS {rms(expected.forces):.3g}, "
        f"RMS difference {rms(differences.forces):.1e}",
    ]
    if int(system.pbc.sum()) == 2:
        lines.append(
            f"virial            RMS {rms(expected.virial):.3g}, "
            f"RMS difference {rms(differences.virial):.1e}"
        )
    if int(system.pbc.sum()) == 3:
        volume = float(torch.linalg.det(system.cell).abs())
        spacing = (volume / len(system.charges)) ** (1 / 3)
        # Potentials have the factor 1/2, and so has their unit; columns add to the forces.
        of_potentials = charge / (2 * spacing)
        of_forces = float(system.charges.square().sum(1).mean()) / spacing**2
        forces = float(differences.forces.square().sum(1).mean().sqrt())
        lines += [
            f"stress            RMS {rms(expected.virial) / volume:.3g}, "
            f"RMS difference {rms(differences.virial) / volume:.1e}",
            f"measured errors   {rms(differences.potentials) / of_potentials:.1e} relative "
            f"of potentials, {forces / of_forces:.1e} of forces",
        ]
    return lines


def rms(values: torch.Tensor) -> float:
    """Root mean square of the elements."""
    return float(values.square().mean().sqrt())
