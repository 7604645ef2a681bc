"""Fixtures of several files."""

import pytest
from helpers.energy_model import EnergyModel


@pytest.fixture(scope="session", params=[0, 1], ids=["local", "messages"])
def model(request: pytest.FixtureRequest) -> EnergyModel:
    return EnergyModel(num_message_passing=request.param)
