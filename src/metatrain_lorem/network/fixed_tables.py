"""Tables that follow from the weights, made once for a model that is not trained on."""

import copy
from typing import TypeVar

import torch

from .tensor_product import TensorProduct


# At the default sizes, the tables of a pair of species take 24 kB. Those of all pairs of
# this number of species take 3.4 MB, almost as much as the weights.
MAX_FIXED_SPECIES = 12

Model = TypeVar("Model", bound=torch.nn.Module)


def with_fixed_tables(model: Model, species: list[int]) -> Model:
    """A copy for inference that does not compute its tables in each call.

    :param model: with a :class:`.Network` as ``network``
    :param species: species of all atoms to come; of more than ``MAX_FIXED_SPECIES``, only
        those that occur are tabulated, in each call
    """
    model = copy.deepcopy(model).eval()
    network = model.network
    if len(species) <= MAX_FIXED_SPECIES:
        network.expansion.fix_tables(species, network.species.weight)
    for module in model.modules():
        if isinstance(module, TensorProduct):
            module.fix_tables()
    return model
