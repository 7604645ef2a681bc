"""Couplings of spherical features against sums over single coefficients."""

import itertools

import numpy as np
import pytest
import torch
from helpers.systems import rotation
from helpers.tensors import random
from helpers.wigner import wigner_matrix

from metatrain_lorem.network.clebsch_gordan import clebsch_gordan
from metatrain_lorem.network.degree_linear import DegreeLinear
from metatrain_lorem.network.spherical import SphericalHarmonics, degrees_of_components
from metatrain_lorem.network.tensor_product import TensorDense, TensorProduct
from metatrain_lorem.ops.safe_norm import safe_norm


# Highest degrees of both factors and of the product
DEGREES = [(0, 0, 0), (1, 1, 1), (2, 3, 4), (3, 3, 0), (0, 2, 2), (2, 6, 6)]


def components(max_degree: int) -> int:
    return (max_degree + 1) ** 2


def make_product(*args, **kwargs) -> TensorProduct:
    """With random numbers in every entry, in those of forbidden paths, too."""
    product = TensorProduct(*args, **kwargs).double()
    product.weight.data = random(*product.weight.shape, seed=7)
    return product


def is_even(l1: int, l2: int, l3: int) -> bool:
    return (l1 + l2 + l3) % 2 == 0


def legendre_integral(l1: int, l2: int, l3: int) -> float:
    """Mean of three Legendre polynomials, the square of a 3j symbol with m = 0."""
    x, weights = np.polynomial.legendre.leggauss(l1 + l2 + l3 + 1)
    values = [np.polynomial.Legendre.basis(l)(x) for l in (l1, l2, l3)]
    return float(np.sum(weights * values[0] * values[1] * values[2]) / 2)


def test_clebsch_gordan_couple_harmonics():
    """Harmonics of one direction multiply to harmonics with a positive factor, or to
    nothing if the degrees add up to an odd number.
    """
    coefficients = clebsch_gordan(6, 6, 6)
    directions = random(1, 10, 3)
    harmonics = SphericalHarmonics(6)(directions, safe_norm(directions))[0].T
    blocks = [slice(degree**2, (degree + 1) ** 2) for degree in range(7)]
    for l1, l2 in itertools.product(range(7), repeat=2):
        for l3 in range(abs(l1 - l2), min(l1 + l2, 6) + 1):
            product = torch.einsum(
                "abc,na,nb->nc",
                coefficients[blocks[l1], blocks[l2], blocks[l3]],
                harmonics[:, blocks[l1]],
                harmonics[:, blocks[l2]],
            )
            factor = 0.0
            if is_even(l1, l2, l3):
                factor = ((2 * l3 + 1) * legendre_integral(l1, l2, l3)) ** 0.5
                assert factor > 0.1
            expected = factor * harmonics[:, blocks[l3]]
            torch.testing.assert_close(product, expected, rtol=0, atol=1e-12)


def test_clebsch_gordan_are_orthonormal():
    coefficients = clebsch_gordan(3, 2, 5)
    degrees = [degrees_of_components(degree) for degree in (3, 2, 5)]
    for l1 in range(4):
        for l2 in range(3):
            pairs = coefficients[degrees[0] == l1][:, degrees[1] == l2].flatten(0, 1)
            used = [l3 for l3 in range(6) if abs(l1 - l2) <= l3 <= l1 + l2]
            expected = torch.zeros(36, dtype=torch.float64)
            for l3 in used:
                expected[degrees[2] == l3] = 1
            torch.testing.assert_close(
                pairs.T @ pairs, torch.diag(expected), rtol=0, atol=1e-12
            )


@pytest.mark.parametrize(
    ("degrees", "allowed", "nonzero"), [((6, 6, 6), 52570, 6460), ((2, 6, 6), 7523, 1061)]
)
def test_number_of_coefficients(degrees, allowed, nonzero):
    """Numbers of the reference code, in paths without pseudotensors."""
    coefficients = clebsch_gordan(*degrees)
    l1, l2, l3 = [degrees_of_components(degree) for degree in degrees]
    l1, l2 = l1[:, None, None], l2[:, None]
    mask = ((l1 + l2 + l3) % 2 == 0) & (l3 >= (l1 - l2).abs()) & (l3 <= l1 + l2)
    assert int(mask.sum()) == allowed
    assert int((coefficients[mask].abs() > 1e-10).sum()) == nonzero


@pytest.mark.parametrize("pseudo", [False, True])
@pytest.mark.parametrize("degrees", DEGREES)
def test_naive_sum(degrees, pseudo):
    """Path by path, with the weights of allowed paths only."""
    channels = 3
    product = make_product(*degrees, channels, pseudo=pseudo)
    a = random(4, components(degrees[0]), channels, seed=1)
    b = random(4, components(degrees[1]), channels, seed=2)
    coefficients = clebsch_gordan(*degrees)
    expected = torch.zeros(4, components(degrees[2]), channels, dtype=torch.float64)
    for l1 in range(degrees[0] + 1):
        for l2 in range(degrees[1] + 1):
            for l3 in range(degrees[2] + 1):
                if is_even(l1, l2, l3) == pseudo:
                    continue
                first, second, third = [slice(l**2, (l + 1) ** 2) for l in (l1, l2, l3)]
                expected[:, third] += product.weight[l1, l2, l3] * torch.einsum(
                    "abm,nac,nbc->nmc",
                    coefficients[first, second, third],
                    a[:, first],
                    b[:, second],
                )
    result = product(a, b)
    assert result.shape == expected.shape
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pseudo", [False, True])
@pytest.mark.parametrize("degrees", DEGREES)
def test_equivariance(degrees, pseudo):
    """The product of turned factors is the turned product; an inversion leaves true
    tensors true, and makes pseudotensors if these are wanted.
    """
    product = make_product(*degrees, 3, pseudo=pseudo)
    a = random(4, components(degrees[0]), 3, seed=1)
    b = random(4, components(degrees[1]), 3, seed=2)
    result = product(a, b)
    if pseudo and degrees[0] == 0:
        assert not bool(result.any())
    else:
        assert bool(result.any()) != (pseudo and degrees[2] == 0)

    matrix = rotation(3)
    d1, d2, d3 = [wigner_matrix(matrix, degree) for degree in degrees]
    torch.testing.assert_close(product(d1 @ a, d2 @ b), d3 @ result, rtol=1e-12, atol=1e-12)
    p1, p2, p3 = [
        (-1.0) ** degrees_of_components(degree).unsqueeze(1) for degree in degrees
    ]
    sign = -1.0 if pseudo else 1.0
    torch.testing.assert_close(
        product(p1 * a, p2 * b), sign * p3 * result, rtol=0, atol=1e-14
    )


def test_channels_do_not_mix():
    product = make_product(2, 2, 2, 3)
    a, b = random(4, 9, 3, seed=1), random(4, 9, 3, seed=2)
    changed = a.clone()
    changed[:, :, 1] += 1
    difference = (product(changed, b) - product(a, b)).detach().abs().amax((0, 1))
    assert difference[[0, 2]].tolist() == [0, 0]
    assert float(difference[1]) > 0.1


def test_forbidden_paths_stay_unused():
    """Their weights start from zero and get no gradient."""
    product = TensorProduct(2, 2, 3, 2).double()
    a, b = random(4, 9, 2, seed=1), random(4, 9, 2, seed=2)
    (product(a, b) ** 2).sum().backward()
    for l1 in range(3):
        for l2 in range(3):
            for l3 in range(4):
                allowed = abs(l1 - l2) <= l3 <= l1 + l2 and is_even(l1, l2, l3)
                for values in (product.weight.data, product.weight.grad):
                    assert bool((values[l1, l2, l3] != 0).all()) == allowed


@pytest.mark.parametrize("pseudo", [False, True])
def test_gradients(pseudo):
    product = make_product(1, 2, 2, 2, pseudo=pseudo)
    a = random(2, 4, 2, seed=1).requires_grad_()
    b = random(2, 9, 2, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(product, (a, b))
    assert torch.autograd.gradgradcheck(product, (a, b))


def test_no_atoms():
    assert make_product(2, 2, 2, 3)(*2 * [torch.zeros(0, 9, 3).double()]).shape == (
        0,
        9,
        3,
    )


def test_degree_linear():
    layer = DegreeLinear(2, 3, 5).double()
    x = random(4, 9, 3)
    weights = layer.weight[degrees_of_components(2)]
    torch.testing.assert_close(
        layer(x), torch.einsum("nmi,mio->nmo", x, weights), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize(("degree_in", "degree_out"), [(3, 3), (3, 1), (0, 0)])
def test_tensor_dense(degree_in, degree_out):
    """Product of two maps of the same features, and equivariant."""
    dense = TensorDense(degree_in, degree_out, 4, 2).double()
    x = random(5, components(degree_in), 4)
    a, b = dense.linear(x).split(2, dim=2)
    torch.testing.assert_close(dense(x), dense.product(a, b), rtol=0, atol=0)
    matrix = rotation(8)
    turned = dense(wigner_matrix(matrix, degree_in) @ x)
    torch.testing.assert_close(
        turned, wigner_matrix(matrix, degree_out) @ dense(x), rtol=1e-12, atol=1e-12
    )


def test_initial_variance():
    """Products of features of unit variance have about unit variance, in each degree."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        product = TensorProduct(4, 4, 4, 64).double()
    results = product(random(500, 25, 64, seed=1), random(500, 25, 64, seed=2))
    for l in range(5):
        variance = float(results[:, l**2 : (l + 1) ** 2].detach().var())
        assert 0.7 < variance < 1.4
