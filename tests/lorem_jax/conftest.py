"""Stored references and checkpoints of lorem-jax."""

import numpy as np
import pytest
from helpers.parity_tools import CHECKPOINT, load_references

from metatrain_lorem.lorem_jax.files import JaxModel, read_jax_model


@pytest.fixture(scope="session")
def predictions() -> dict[str, np.ndarray]:
    return load_references("predictions")


@pytest.fixture
def jax_model() -> JaxModel:
    return read_jax_model(CHECKPOINT)
