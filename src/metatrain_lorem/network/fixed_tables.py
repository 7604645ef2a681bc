"""Tables that follow from the weights, made once for a model that is not trained on."""

import copy
from typing import TypeVar

import torch

from .tensor_product import TensorProduct


# The tables of pairs of species take 24 kB each, at the default size of the network.
MAX_FIXED_SPECIES = 12

Model = TypeVar("Model", bound=torch.nn.Module)


def with_fixed_tables(model: Model, atomic_types: list[int]) -> Model:
    """A copy for inference that does not compute its tables in each call.

    :param model: with a :class:`.Network` as ``network``
    :param atomic_types: species of all atoms to come; of more than
        ``MAX_FIXED_SPECIES``, only those that occur are tabulated, in each call
    """
    model = copy.deepcopy(model).eval()
    network = model.network
    if len(atomic_types) <= MAX_FIXED_SPECIES:
        network.expansion.fix_tables(atomic_types, network.species.weight)
    for module in model.modules():
        if isinstance(module, TensorProduct):
            module.fix_tables()
    return model
