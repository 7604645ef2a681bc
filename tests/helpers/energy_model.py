"""A small LOREM with an energy, and its derivatives."""

from typing import Any, NamedTuple

import torch
from helpers.systems import Structure, make_graph

from metatrain_lorem.graph import Graph
from metatrain_lorem.network.lorem import Network
from metatrain_lorem.network.norms import SmoothNorms
from metatrain_lorem.network.readout import scalar_readout


CUTOFF = 4.0
SMALL: dict[str, Any] = {
    "cutoff": CUTOFF,
    "max_degree": 3,
    "num_features": 16,
    "num_spherical_features": 4,
    "num_radial": 8,
    "num_species_features": 4,
}


class EnergyModel(torch.nn.Module):
    """Network and readout of the energy.

    All parameters are drawn at random, biases, too: what is zero or one at the start of
    a training would hide errors. So would spherical features of 1e-2, whose products
    with each other vanish next to the scalar ones: they are scaled to order one, and so are
    the widths of their norms.
    """

    def __init__(self, seed: int = 0, **arguments: Any) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = Network(**{**SMALL, **arguments})
            self.readout = scalar_readout(self.network.sizes)
            for name, parameter in self.named_parameters():
                if name.endswith("bias") or "norm" in name.split(".")[-2]:
                    parameter.data += 0.2 * torch.randn(parameter.shape)
                if name.endswith("to_spherical.weight"):
                    parameter.data *= 7.0
            for module in self.modules():
                if isinstance(module, SmoothNorms):
                    module.width = 1.0
        self.double()

    def forward(self, graph: Graph) -> torch.Tensor:
        """Energies ``[S]``."""
        nodes = self.network(graph)
        values = self.readout(self.readout.features(nodes.scalars), nodes.spherical)[0]
        energies = values[:, 0, 0]
        zeros = torch.zeros_like(graph.cells[:, 0, 0]).to(energies.dtype)
        return zeros.index_add(0, graph.systems, energies)


class Results(NamedTuple):
    energies: torch.Tensor  # [S]
    forces: torch.Tensor  # [N, 3]
    virials: torch.Tensor  # [S, 3, 3] derivative by the strain


def strained(graph: Graph, strains: torch.Tensor) -> Graph:
    """Positions and cells times ``1 + strain``; ``strains [S, 3, 3]``."""
    factors = torch.eye(3, dtype=strains.dtype, device=strains.device) + strains
    return graph._replace(
        positions=torch.einsum("na,nab->nb", graph.positions, factors[graph.systems]),
        cells=graph.cells @ factors,
    )


def evaluate(model: torch.nn.Module, graph: Graph, create_graph: bool = False) -> Results:
    """Energies, forces, and derivatives by the strain."""
    positions = graph.positions.detach().clone().requires_grad_()
    strains = torch.zeros_like(graph.cells).requires_grad_()
    energies = model(strained(graph._replace(positions=positions), strains))
    gradients = torch.autograd.grad(
        energies.sum(), [positions, strains], create_graph=create_graph
    )
    if not create_graph:
        energies = energies.detach()
    return Results(energies, -gradients[0], gradients[1])


def results_of(model: torch.nn.Module, *structures: Structure) -> Results:
    return evaluate(model, make_graph(list(structures), CUTOFF))


def assert_equal(results: Results, expected: Results, tolerance: float = 1e-10) -> None:
    for value, other in zip(results, expected, strict=True):
        torch.testing.assert_close(value, other, rtol=tolerance, atol=tolerance)


def loss_of(model: EnergyModel, structures: list[Structure]) -> torch.Tensor:
    results = evaluate(model, make_graph(structures, CUTOFF), create_graph=True)
    return sum(values.pow(2).sum() for values in results)


def trained_parameters(model: EnergyModel) -> list[torch.nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]
