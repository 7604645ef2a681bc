"""The rigid-ion potential of Tosi and Fumi for sodium chloride, as an ASE calculator.

    E = sum over pairs of  q_i q_j / r + b_ij exp((s_i + s_j - r) / rho)
                           - C_ij / r^6 - D_ij / r^8

with charges of one electron. Parameters: F. G. Fumi and M. P. Tosi, J. Phys. Chem. Solids
25, 31 (1964). The electrostatic part is summed by this package's own solver; the rest
fades out between 10 and 12 Angstrom.
"""

from typing import Any

import ase
import torch
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from metatrain_lorem.coulomb import coulomb_potentials
from metatrain_lorem.coulomb.neighbors import neighbor_list


COULOMB = 14.399645  # eV Angstrom / e^2
RHO = 0.317  # Angstrom
SIZES = {11: 1.170, 17: 1.585}  # Angstrom
CHARGES = {11: 1.0, 17: -1.0}
BORN_MAYER = {22: 0.2637, 28: 0.2110, 34: 0.1582}  # eV, by the sum of atomic numbers
DISPERSION_6 = {22: 1.0486, 28: 6.9905, 34: 72.4022}  # eV Angstrom^6
DISPERSION_8 = {22: 0.4993, 28: 8.6757, 34: 145.4270}  # eV Angstrom^8
FADE = (10.0, 12.0)  # Angstrom


class TosiFumi(Calculator):
    """Energy, forces and stress of crystals, in eV and Angstrom."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        positions = torch.tensor(self.atoms.positions)
        cell = torch.tensor(self.atoms.cell.array)
        positions.requires_grad_()
        strain = torch.eye(3, dtype=torch.float64, requires_grad=True)
        energy = energy_of(self.atoms.numbers, positions @ strain, cell @ strain)
        gradients = torch.autograd.grad(energy, [positions, strain])
        stress = gradients[1].numpy() / self.atoms.get_volume()
        self.results = {
            "energy": energy.item(),
            "free_energy": energy.item(),
            "forces": -gradients[0].numpy(),
            "stress": full_3x3_to_voigt_6_stress(stress),
        }


def energy_of(numbers: Any, positions: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
    """Energy of a crystal, differentiable.

    :param numbers: atomic numbers of sodium and chlorine, ``[N]``
    :param positions: ``[N, 3]``
    :param cell: lattice vectors as rows, ``[3, 3]``
    """
    periodic = torch.tensor([True, True, True])
    charges = _table(CHARGES, torch.tensor(numbers)).unsqueeze(1)
    potentials = coulomb_potentials(
        positions, charges, cell, periodic, cutoff=6.0, accuracy=1e-9
    )
    energy = COULOMB * (charges * potentials).sum()

    centers, neighbors, shifts = neighbor_list(positions, cell, periodic, FADE[1])
    vectors = positions[neighbors] - positions[centers] + shifts.to(cell.dtype) @ cell
    distances = torch.linalg.vector_norm(vectors, dim=1)
    species = torch.tensor(numbers)
    first, second = species[centers], species[neighbors]
    contact = _table(SIZES, first) + _table(SIZES, second)
    pair_energies = (
        _table(BORN_MAYER, first + second) * torch.exp((contact - distances) / RHO)
        - _table(DISPERSION_6, first + second) / distances**6
        - _table(DISPERSION_8, first + second) / distances**8
    )
    x = ((distances - FADE[0]) / (FADE[1] - FADE[0])).clamp(0.0, 1.0)
    fade = 1 - x**3 * (10 - 15 * x + 6 * x * x)
    return energy + 0.5 * (fade * pair_energies).sum()


def _table(values: dict[int, float], keys: torch.Tensor) -> torch.Tensor:
    table = torch.zeros(max(values) + 1, dtype=torch.float64)
    table[list(values)] = torch.tensor(list(values.values()), dtype=torch.float64)
    return table[keys]
