"""Small systems and training are bound by the number of operations: it must not grow."""

import pytest
import torch
from helpers.energy_model import CUTOFF, EnergyModel
from helpers.operations import count_inference, count_training
from helpers.systems import crystal, make_graph, molecules

from metatrain_lorem.graph import Graph


class TotalEnergy(EnergyModel):
    def forward(self, graph: Graph) -> torch.Tensor:
        return super().forward(graph).sum()


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        ({}, 700),
        ({"long_range": False}, 300),
        ({"long_range": False, "max_degree": 6}, 355),
    ],
)
def test_inference(arguments, limit):
    counts = count_inference(TotalEnergy(**arguments), make_graph([crystal()], CUTOFF), [])
    assert counts["total"] <= limit


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        ({}, 1600),
        ({"long_range": False}, 960),
        ({"long_range": False, "max_degree": 6}, 1135),
    ],
)
def test_training(arguments, limit):
    counts = count_training(TotalEnergy(**arguments), make_graph([molecules()], CUTOFF))
    assert counts["total"] <= limit
