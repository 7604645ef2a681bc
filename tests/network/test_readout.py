"""Readouts: sums over stages, linear in the last-layer features, and equivariant."""

import pytest
import torch
from helpers.systems import rotation
from helpers.wigner import wigner_matrix

from metatrain_lorem.network.features import Sizes
from metatrain_lorem.network.readout import (
    CartesianBlock,
    Readout,
    ScalarBlock,
    SphericalBlock,
)
from metatrain_lorem.network.spherical import degrees_of_components


STAGES, FEATURES, CHANNELS, DEGREE = 2, 6, 3, 3
SIZES = Sizes(STAGES, FEATURES, CHANNELS, DEGREE)


def make_readout(blocks: list[torch.nn.Module]) -> Readout:
    readout = Readout(SIZES, blocks)
    generator = torch.Generator().manual_seed(0)
    for parameter in readout.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return readout.double()


@pytest.fixture
def features() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Scalar and spherical features of each stage."""
    generator = torch.Generator().manual_seed(1)
    options = {"dtype": torch.float64, "generator": generator}
    scalars = [torch.randn(4, FEATURES, **options) for _ in range(STAGES)]
    spherical = [
        torch.randn(4, (DEGREE + 1) ** 2, CHANNELS, **options) for _ in range(STAGES)
    ]
    return scalars, spherical


def spherical_block(
    degree: int, pseudo: bool = False, order: list[int] | None = None
) -> SphericalBlock:
    order = list(range(2 * degree + 1)) if order is None else order
    return SphericalBlock(SIZES, degree, pseudo, 2, order)


def test_scalars(features):
    scalars, spherical = features
    readout = make_readout([ScalarBlock(SIZES, 3)])
    last = readout.features(scalars)
    expected = sum(
        values @ layer.weight.T + layer.bias
        for values, layer in zip(last, readout.blocks[0].layers, strict=True)
    )
    for values, head, inputs in zip(last, readout.heads, scalars, strict=True):
        torch.testing.assert_close(values, head(inputs), rtol=0, atol=0)
    (result,) = readout(last, spherical)
    torch.testing.assert_close(result, expected.unsqueeze(1), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("pseudo", [False, True])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_spherical(features, degree, pseudo):
    """Turn with the features; an inversion flips true tensors of odd degree and
    pseudotensors of even degree.
    """
    scalars, spherical = features
    readout = make_readout([spherical_block(degree, pseudo)])
    last = readout.features(scalars)
    (result,) = readout(last, spherical)
    assert result.shape == (4, 2 * degree + 1, 2)
    assert float(result.detach().abs().max()) > 1e-3

    matrix = rotation(5)
    every, own = wigner_matrix(matrix, DEGREE), wigner_matrix(matrix, degree)
    own = own[degree**2 :, degree**2 :]
    (turned,) = readout(last, [every @ values for values in spherical])
    torch.testing.assert_close(turned, own @ result, rtol=1e-11, atol=1e-11)

    signs = (-1.0) ** degrees_of_components(DEGREE).unsqueeze(1)
    (inverted,) = readout(last, [signs * values for values in spherical])
    sign = (-1.0) ** (degree + int(pseudo))
    torch.testing.assert_close(inverted, sign * result, rtol=1e-13, atol=1e-13)


def test_vectors(features):
    """Cartesian vectors have the components x, y, z."""
    scalars, spherical = features
    readout = make_readout([spherical_block(1, order=[2, 0, 1])])
    last = readout.features(scalars)
    (result,) = readout(last, spherical)
    matrix = rotation(6)
    every = wigner_matrix(matrix, DEGREE)
    (turned,) = readout(last, [every @ values for values in spherical])
    torch.testing.assert_close(turned, matrix @ result, rtol=1e-12, atol=1e-12)


def test_matrices(features):
    """Cartesian tensors of rank two turn, do not change by inversion, and are general."""
    scalars, spherical = features
    readout = make_readout([CartesianBlock(SIZES, 2)])
    last = readout.features(scalars)
    (result,) = readout(last, spherical)
    assert result.shape == (4, 3, 3, 2)

    matrix = rotation(6)
    every = wigner_matrix(matrix, DEGREE)
    (turned,) = readout(last, [every @ values for values in spherical])
    expected = torch.einsum("ac,bd,ncdp->nabp", matrix, matrix, result)
    torch.testing.assert_close(turned, expected, rtol=1e-11, atol=1e-11)

    signs = (-1.0) ** degrees_of_components(DEGREE).unsqueeze(1)
    (inverted,) = readout(last, [signs * values for values in spherical])
    torch.testing.assert_close(inverted, result, rtol=1e-13, atol=1e-13)

    transposed = result.transpose(1, 2)
    trace = torch.einsum("naap,bc->nbcp", result, torch.eye(3).double()) / 3
    for part in (trace, (result - transposed) / 2, (result + transposed) / 2 - trace):
        assert float(part.detach().abs().max()) > 1e-3


def test_several_blocks(features):
    scalars, spherical = features
    blocks = [ScalarBlock(SIZES, 1), spherical_block(2)]
    readout = make_readout(blocks)
    last = readout.features(scalars)
    results = readout(last, spherical)
    assert [values.shape for values in results] == [(4, 1, 1), (4, 5, 2)]
    for block, values in zip(blocks, results, strict=True):
        torch.testing.assert_close(block(last, spherical), values, rtol=0, atol=0)
