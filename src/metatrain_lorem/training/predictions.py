"""Predictions of a batch with their derivatives, as plain tensors."""

from collections.abc import Mapping

import torch
from metatrain.utils.abc import ModelInterface
from metatrain.utils.data import TargetInfo

from ..graph import Graph
from ..ops.rows import sum_rows
from ..outputs import centered
from .batch import Batch, Block, Blocks
from .scales import Scales


class Predictor(torch.nn.Module):
    """What a model in training mode predicts: without baseline, divided by the scales.

    The same as :meth:`.LOREM.forward` without its metadata, which cost as much time as the
    network if structures are small.

    :param model: with all of its targets; it keeps the parameters
    :param scales: all scales, for targets that add up to zero in a structure
    """

    def __init__(self, model: ModelInterface, scales: Scales) -> None:
        super().__init__()
        self.model = model
        self.scales = scales
        targets = model.dataset_info.targets
        self.of_systems = {n for n in targets if targets[n].sample_kind == "system"}

    def forward(self, graph: Graph, names: list[str]) -> dict[str, Blocks]:
        """Values of the targets ``names``, per atom or per structure as they are given."""
        nodes = self.model.network(graph)
        predictions: dict[str, Blocks] = {}
        for name in names:
            if name in self.model.charge_targets:
                predictions[name] = Blocks([Block(nodes.charges[:, :1])])
                continue
            readout = self.model.readouts[name]
            atoms = readout(readout.features(nodes.scalars), nodes.spherical)
            blocks = Blocks()
            for values, components in zip(atoms, readout.components, strict=True):
                blocks.append(Block(values if components else values.squeeze(1)))
            if name in self.model.zero_sum_targets:
                blocks = self._with_zero_sum(name, blocks, graph)
            if name in self.of_systems:
                index, number = graph.systems, len(graph.cells)
                blocks = Blocks(Block(sum_rows(b.values, index, number)) for b in blocks)
            predictions[name] = blocks
        return predictions

    def _with_zero_sum(self, name: str, blocks: Blocks, graph: Graph) -> Blocks:
        """Shift the values, once they have their scales, which differ among species."""
        blocks = self.scales.multiply(name, blocks, graph.species)
        index, number = graph.systems, len(graph.cells)
        blocks = Blocks(Block(centered(b.values, index, number)) for b in blocks)
        return self.scales.multiply(name, blocks, graph.species, power=-1)


def predict(
    network: torch.nn.Module,
    batch: Batch,
    infos: Mapping[str, TargetInfo],
    is_training: bool,
) -> dict[str, Blocks]:
    """Values of all targets of a batch, and the gradients that have labels.

    :param network: a :class:`Predictor`, or its wrapper for several processes
    :param infos: descriptions of the targets
    :param is_training: whether the gradients will be differentiated in turn
    """
    gradients = {
        name: blocks[0].gradients_list()
        for name, blocks in batch.targets.items()
        if infos[name].quantity == "energy" and blocks[0].gradients_list()
    }
    wanted = {gradient for names in gradients.values() for gradient in names}
    graph, inputs = _differentiable(batch.graph, wanted)
    predictions = network(graph, list(batch.targets))
    last = next(reversed(gradients), None)
    for name, names in gradients.items():
        block = predictions[name][0]
        derivatives = torch.autograd.grad(
            block.values.sum(),
            [inputs[gradient] for gradient in names],
            retain_graph=is_training or name != last,
            create_graph=is_training,
            allow_unused=True,
            materialize_grads=True,
        )
        for gradient, values in zip(names, derivatives, strict=True):
            block.parts[gradient] = Block(values.unsqueeze(-1))  # of the one property
    return predictions


def _differentiable(
    graph: Graph, gradients: set[str]
) -> tuple[Graph, dict[str, torch.Tensor]]:
    """The graph as a function of ``positions`` ``[N, 3]`` and ``strain`` ``[S, 3, 3]``.

    Positions and lattice vectors are rows, multiplied by the strain, which is one.
    """
    inputs: dict[str, torch.Tensor] = {}
    positions, cells = graph.positions, graph.cells
    if "strain" in gradients:
        strain = torch.eye(3, dtype=cells.dtype, device=cells.device)
        strain = strain.repeat(len(cells), 1, 1).requires_grad_()
        inputs["strain"] = strain
        rows = strain.index_select(0, graph.systems)
        positions = torch.bmm(positions.unsqueeze(1), rows).squeeze(1)
        cells = torch.bmm(cells, strain)
    if "positions" in gradients:
        if "strain" not in gradients:
            positions = positions.detach().requires_grad_()
        inputs["positions"] = positions
    return graph._replace(positions=positions, cells=cells), inputs
