"""Readouts of all kinds of targets, in their Cartesian or spherical layout."""

import pytest
import torch
from helpers.lorem_models import (
    DIPOLE,
    ENERGY,
    MATRIX,
    MIXED,
    make_model,
    predict,
)
from helpers.systems import (
    rotation,
    transformed,
)
from helpers.training_tools import energy_info, target_info


def test_vectors_turn_with_the_system():
    """With components x, y, z; a reflection is none of the rotations."""
    model = make_model({"energy": ENERGY, "mtt::dipole": DIPOLE})
    matrix = -rotation(3)
    turned = [transformed(structure, matrix) for structure in MIXED]
    vectors, others = [
        predict(model, structures, ["mtt::dipole"])["mtt::dipole"].block().values
        for structures in (MIXED, turned)
    ]
    assert float(vectors.detach().abs().max()) > 1e-2
    torch.testing.assert_close(others, matrix @ vectors, rtol=1e-10, atol=1e-10)


def test_matrices_turn_with_the_system():
    """They are no pseudotensors, nor symmetric."""
    model = make_model({"energy": ENERGY, "mtt::apt": MATRIX})
    matrix = -rotation(3)
    turned = [transformed(structure, matrix) for structure in MIXED]
    tensors, others = [
        predict(model, structures, ["mtt::apt"], "atom")["mtt::apt"].block().values[..., 0]
        for structures in (MIXED, turned)
    ]
    assert float((tensors - tensors.transpose(1, 2)).detach().abs().max()) > 1e-3
    expected = matrix @ tensors @ matrix.T
    torch.testing.assert_close(others, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "rank", "message"),
    [
        ("mtt::third", 3, "'mtt::third': Cartesian tensors must have rank 1 or 2"),
        ("non_conservative_stress", 2, "'non_conservative_stress' .* derivative"),
    ],
)
def test_tensors_that_are_refused(name, rank, message):
    target = target_info(name, {"cartesian": {"rank": rank}}, "system")
    with pytest.raises(ValueError, match=message):
        make_model({name: target})


def test_degree_of_a_target():
    with pytest.raises(ValueError, match="'mtt::apt' has degree 2, above the model's max"):
        make_model({"mtt::apt": MATRIX}, max_degree=1, long_range={"max_degree": 1})


IRREPS = [{"o3_lambda": 0, "o3_sigma": 1}, {"o3_lambda": 1, "o3_sigma": 1}]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"product": "cartesian", "irreps": IRREPS}, "products of spherical tensors"),
        ({"irreps": {1: IRREPS, 8: IRREPS}}, "atomic-basis targets"),
    ],
)
def test_matrix_elements_are_refused(kind, message):
    target = target_info("mtt::fock", {"spherical": kind}, "atom")
    with pytest.raises(ValueError, match=f"'mtt::fock': {message} are not supported"):
        make_model({"mtt::fock": target})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mtt::a.b", "must not contain '.'"),
        ("feature", "named like an output that models have anyway"),
        ("features", "named like an output"),
        ("mtt::aux::charges", "named like an output"),
        ("mtt::aux::energy_last_layer_features", "named like an output"),
    ],
)
def test_names_that_are_taken(name, words):
    with pytest.raises(ValueError, match=f"target '{name}'.*{words}"):
        make_model({"energy": ENERGY, name: energy_info(name)})
