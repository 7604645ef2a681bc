"""Parameters of LOREM under the names and in the shapes of lorem-jax.

Both codes hold the same numbers. lorem-jax keeps them in a tree of arrays whose names flax
derives from the order in which its network creates its modules (``Dense_0``, ``Dense_1``,
...); kernels of dense layers are transposed, maps of spherical features have one leaf per
degree, and tensor products have axes of length one for a parity that LOREM does not use.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import torch

from ..network.lorem import Network
from ..network.messages import Messages
from ..network.readout import Readout
from ..network.tensor_product import DegreeLinear, TensorDense, TensorProduct
from ..network.update import Update


def load_jax_parameters(
    network: Network, readout: Readout, parameters: Mapping[str, np.ndarray]
) -> None:
    """Copy the parameters of a lorem-jax model, using each leaf exactly once.

    :param network: network with the settings of the model
    :param readout: readout of one scalar, :func:`.readout.scalar_readout`
    :param parameters: leaves of the parameter tree, by path, of the network's dtype
    :raises ValueError: for a leaf that is missing, not used, or has another shape or
        dtype, naming it; nothing is copied then
    """
    views = jax_views(network, readout)
    _check_names(set(views), set(parameters))
    for path, view in views.items():
        values = parameters[path]
        shape, dtype = tuple(view.shape), str(view.dtype).removeprefix("torch.")
        if values.shape != shape:
            raise ValueError(
                f"parameter '{path}' has the shape {values.shape}; the settings of the "
                f"model ask for {shape}"
            )
        if values.dtype.name != dtype:
            raise ValueError(f"parameter '{path}' is {values.dtype}, expected {dtype}")
    for path, view in views.items():
        view.copy_(torch.from_numpy(parameters[path].copy()))


def jax_parameters(network: Network, readout: Readout) -> dict[str, np.ndarray]:
    """Copies of all parameters as lorem-jax stores them; undoes the function above."""
    return {
        path: np.ascontiguousarray(view.cpu().numpy()).copy()
        for path, view in jax_views(network, readout).items()
    }


def jax_views(network: Network, readout: Readout) -> dict[str, torch.Tensor]:
    """Views of all parameters, by the path and in the shape of lorem-jax's leaves.

    Writing to a view changes the parameter.
    """
    views = _Views()
    views.add("Initial_0/ChemicalEmbedding_0/Embed_0/embedding", network.species.weight)
    expansion = network.expansion
    views.mlp(f"{views.name('RadialCoefficients')}/MLP_0", expansion.coefficients)
    if network.initial is not None:
        views.dense(views.name("Dense"), network.initial)
    views.dense(views.name("Dense"), expansion.to_scalar)
    views.update(network.density_update)
    views.dense(views.name("Dense"), expansion.to_spherical)
    views.tensor_dense(network.couple)
    views.update(network.norms_update)
    views.readout(readout, 0)
    for i, message in enumerate(network.messages):
        views.message(message)
        views.readout(readout, 1 + i)
    if network.long_range is not None:
        long_range = network.long_range
        views.mlp(views.name("MLP"), long_range.charges.scalar)
        views.tensor_dense(long_range.charges.spherical)
        views.degrees(views.name("Dense"), long_range.expand)
        views.tensor(views.name("Tensor"), long_range.product)
        views.update(long_range.update)
        views.readout(readout, network.sizes.num_stages - 1)
    return views.leaves


class _Views:
    """Collects views, numbering modules like flax: by class, in order of creation."""

    def __init__(self) -> None:
        self.leaves: dict[str, torch.Tensor] = {}
        self.counts: Counter[str] = Counter()

    def name(self, kind: str) -> str:
        """Name of the next module of a class, at the top of the tree."""
        number = self.counts[kind]
        self.counts[kind] += 1
        return f"{kind}_{number}"

    def add(self, path: str, parameter: torch.Tensor) -> None:
        self.leaves[f"params/{path}"] = parameter.detach()

    def dense(self, path: str, layer: torch.nn.Linear) -> None:
        self.add(f"{path}/kernel", layer.weight.t())
        if layer.bias is not None:
            self.add(f"{path}/bias", layer.bias)

    def mlp(self, path: str, layers: torch.nn.Module) -> None:
        linear = [m for m in layers.modules() if isinstance(m, torch.nn.Linear)]
        for i, layer in enumerate(linear):
            self.dense(f"{path}/Dense_{i}", layer)

    def degrees(self, path: str, layer: DegreeLinear) -> None:
        for degree, weight in enumerate(layer.weight):
            parity = "-" if degree % 2 else "+"
            self.add(f"{path}/{degree}{parity}/kernel", weight)

    def tensor(self, path: str, product: TensorProduct) -> None:
        self.add(f"{path}/kernel", product.weight[None, :, None, :, None])

    def tensor_dense(self, module: TensorDense) -> None:
        path = self.name("TensorDense")
        self.degrees(f"{path}/dense", module.linear)
        self.tensor(f"{path}/tensor", module.product)

    def update(self, module: Update) -> None:
        path = self.name("Update")
        for i, (layers, norm) in enumerate(
            [(module.mix, module.mix_norm), (module.transform, module.transform_norm)]
        ):
            self.mlp(f"{path}/MLP_{i}", layers)
            self.add(f"{path}/LayerNorm_{i}/scale", norm.weight)
            self.add(f"{path}/LayerNorm_{i}/bias", norm.bias)

    def readout(self, readout: Readout, stage: int) -> None:
        (block,) = readout.blocks
        layers = torch.nn.ModuleList([readout.heads[stage], block.layers[stage]])
        self.mlp(self.name("MLP"), layers)

    def message(self, message: Messages) -> None:
        name = self.name("RadialCoefficients")
        self.mlp(f"{name}/MLP_0", message.coefficients.network)
        self.dense(self.name("Dense"), message.to_scalar)
        self.update(message.update)
        if message.spherical is not None:
            spherical = message.spherical
            self.dense(self.name("Dense"), spherical.to_spherical)
            path = self.name("MessagePass")
            self.degrees(f"{path}/filter", spherical.filter)
            self.tensor(f"{path}/tensor", spherical.message_product)
            self.degrees(self.name("Dense"), spherical.own)
            self.degrees(self.name("Dense"), spherical.received)
            self.tensor(self.name("Tensor"), spherical.product)
            self.update(spherical.update)


def _check_names(expected: set[str], found: set[str]) -> None:
    missing, unused = sorted(expected - found), sorted(found - expected)
    if missing:
        raise ValueError(f"the model has no parameter '{missing[0]}'{_more(missing)}")
    if unused:
        raise ValueError(f"parameter '{unused[0]}'{_more(unused)} is not used by LOREM")


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
