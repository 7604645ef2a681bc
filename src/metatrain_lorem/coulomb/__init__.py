"""Coulomb potentials for any periodicity, on plain tensors. Needs torch alone.

Crystals, slabs and molecules, mixed in one batch; any number of columns of charges, each a
problem of its own; a stated accuracy, by k-vectors or, where it is faster, on a mesh.
Twice differentiable in positions, charges and cells; works in TorchScript.

Conventions, shared with torch-pme and lorem-jax: a unit charge at distance ``r``
contributes ``1 / r``, and potentials carry a factor 1/2, so that the electrostatic energy
of a system is ``(charges * potentials).sum()``. Lengths have one unit of your choice. For
elementary charges and Angstrom, multiply by 14.3996 for eV. Lattice vectors are rows.

The Madelung constant of rock salt, from pairs that are found by hand (with
:func:`coulomb_potentials`, ``vesin`` finds them):

>>> import torch
>>> from metatrain_lorem.coulomb import CoulombSolver, Pairs
>>> cutoff = 3.0  # in units of the distance between Na and Cl
>>> positions = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
>>> charges = torch.tensor([[1.0], [-1.0]])
>>> cells = torch.tensor([[[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]])
>>> pbc, systems = torch.tensor([[True, True, True]]), torch.tensor([0, 0])
>>> images = torch.cartesian_prod(*[torch.arange(-3.0, 4.0)] * 3) @ cells[0]
>>> vectors = positions[:, None] + images - positions[:, None, None]
>>> distances = torch.linalg.vector_norm(vectors, dim=3)
>>> i, j, n = torch.nonzero((distances > 0) & (distances < cutoff), as_tuple=True)
>>> pairs = Pairs(i, j.unsqueeze(1), distances[i, j, n].unsqueeze(1))
>>> solver = CoulombSolver(cutoff, smearing=cutoff / 6)
>>> potentials = solver(positions, charges, cells, pbc, systems, pairs)
>>> print(f"{-(charges * potentials).sum():.4f}")
1.7476

Trainable models make a plan first (:meth:`CoulombSolver.plan`, without gradients) and
evaluate it then (:meth:`CoulombSolver.evaluate`), once or many times: that reads nothing
back from a GPU, and ``torch.compile`` takes it as one graph.
"""

from .potentials import coulomb_potentials
from .real_space import Pairs
from .solver import CoulombSolver


__all__ = ["CoulombSolver", "Pairs", "coulomb_potentials"]
