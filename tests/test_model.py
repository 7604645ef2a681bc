"""LOREM as metatrain sees it: parameters, outputs, and what they mean."""

import metatensor.torch as mts
import pytest
import torch
from helpers.lorem_models import (
    ARCHITECTURE,
    BASELINE,
    DIPOLE,
    ENERGY,
    MATRIX,
    MIXED,
    PARTIAL,
    SCALE,
    TYPES,
    energies_of,
    fit,
    make_info,
    make_model,
    make_system,
    predict,
)
from helpers.systems import (
    crystal,
    make_graph,
    make_structure,
    molecule,
    rotation,
    transformed,
)
from helpers.training_tools import target_info
from metatensor.torch import TensorBlock
from metatomic.torch import (
    ModelOutput,
    System,
)
from metatrain.utils.architectures import get_default_hypers

from metatrain_lorem.model import LOREM


@pytest.mark.parametrize(
    ("long_range", "count"),
    [
        ({"enable": False}, 839129),
        ({"max_degree": 0}, 1020300),
        ({"max_degree": 1}, 1020749),
        ({}, 1021198),
    ],
    ids=["no long range", "L_lr = 0", "L_lr = 1", "L_lr = 2"],
)
def test_number_of_parameters(long_range, count):
    """Those of the paper's supplement, each variant one option away from the defaults.

    Path weights of a forbidden coupling are stored, too, and counted as there.
    """
    hypers = get_default_hypers(ARCHITECTURE)["model"]
    hypers["long_range"].update(long_range)
    model = LOREM(hypers, make_info())
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count


def test_energy_is_scaled_network_plus_baseline():
    model = fit(make_model())
    nodes = model.network(make_graph(MIXED, 4.0))
    readout = model.readouts["energy"]
    raw = readout(readout.features(nodes.scalars), nodes.spherical)[0].flatten()
    counts = [len(structure.species) for structure in MIXED]
    raw = torch.stack([part.sum() for part in raw.split(counts)]).detach()
    baseline = [sum(BASELINE[z] for z in s.species.tolist()) for s in MIXED]
    expected = SCALE * raw + torch.tensor(baseline, dtype=torch.float64)
    torch.testing.assert_close(energies_of(model, *MIXED), expected, rtol=1e-14, atol=0)

    model.train()
    torch.testing.assert_close(energies_of(model, *MIXED), raw, rtol=1e-13, atol=0)


def test_training_and_evaluation_share_the_physics():
    """Not a bit of difference before scales and baseline."""
    model = fit(make_model())
    graph = make_graph(MIXED, 4.0)
    training, evaluation = model.train().network(graph), model.eval().network(graph)
    for first, second in zip(
        [*training.scalars, *training.spherical, training.charges],
        [*evaluation.scalars, *evaluation.spherical, evaluation.charges],
        strict=True,
    ):
        assert torch.equal(first, second)
    names = ["feature", "mtt::aux::charges", "mtt::aux::energy_last_layer_features"]
    training = predict(model.train(), MIXED, names, "atom")
    evaluation = predict(model.eval(), MIXED, names, "atom")
    for name in names:
        assert mts.equal(training[name], evaluation[name])


def test_all_electron_energies():
    """Totals of -1.5e6 eV hide nothing of a difference of 1e-6 eV in float64."""
    small, large = fit(make_model()), make_model()
    fit(large, atomic_baseline={"energy": {z: -5e5 - z for z in TYPES}})
    moved = molecule()
    positions = moved.positions.clone()
    positions[1] += 1e-6
    moved = moved._replace(positions=positions)
    differences = []
    for model in (small, large):
        energies = energies_of(model, molecule(), moved)
        differences.append(float(energies[0] - energies[1]))
    assert float(energies[0]) < -1.49e6
    assert abs(differences[0]) > 1e-7
    assert differences[1] == pytest.approx(differences[0], abs=1e-9)


@pytest.mark.parametrize("sample_kind", ["atom", "system"])
def test_outputs(sample_kind):
    """Everything that is offered comes, with one row per atom or system."""
    model = fit(make_model({"energy": ENERGY, "mtt::dipole": DIPOLE}))
    assert set(model.supported_outputs()) == {
        "energy",
        "mtt::dipole",
        "feature",
        "mtt::aux::charges",
        "mtt::aux::potentials",
        "mtt::aux::energy_last_layer_features",
        "mtt::aux::dipole_last_layer_features",
    }
    num_rows = len(MIXED)
    if sample_kind == "atom":
        num_rows = sum(len(structure.species) for structure in MIXED)
    columns = {
        "energy": (1,),
        "mtt::dipole": (3, 1),
        "feature": (2 * 16,),
        "mtt::aux::charges": (10,),
        "mtt::aux::potentials": (10,),
        "mtt::aux::energy_last_layer_features": (2 * 16,),
        "mtt::aux::dipole_last_layer_features": (2 * 16,),
    }
    results = predict(model, MIXED, list(columns), sample_kind)
    assert set(results) == set(columns)
    for name, shape in columns.items():
        assert results[name].block().values.shape == (num_rows, *shape)


def test_outputs_without_long_range():
    model = make_model(long_range={"enable": False})
    assert set(model.supported_outputs()) == {
        "energy",
        "feature",
        "mtt::aux::energy_last_layer_features",
    }


def test_atoms_sum_to_systems():
    model = fit(make_model({"energy": ENERGY, "mtt::partial": PARTIAL}))
    names = ["energy", "mtt::partial", "feature", "mtt::aux::charges"]
    atoms = predict(model, MIXED, names, "atom")
    systems = predict(model, MIXED, names, "system")
    for name in names:
        block = atoms[name].block()
        expected = torch.zeros_like(systems[name].block().values).index_add(
            0, block.samples.column("system").long(), block.values
        )
        torch.testing.assert_close(
            systems[name].block().values, expected, rtol=1e-12, atol=1e-12
        )


def test_one_output_does_not_depend_on_others():
    model = fit(make_model({"energy": ENERGY, "mtt::dipole": DIPOLE}))
    names = list(model.supported_outputs())
    together = predict(model, MIXED, names)
    for name in names:
        assert mts.equal(predict(model, MIXED, [name])[name], together[name])


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


def test_zero_sums():
    """In units of the data, whatever the scales; the same in training and evaluation."""
    targets = {"energy": ENERGY, "mtt::apt": MATRIX}
    free, model = (
        fit(make_model(targets, zero_sum_targets=names)) for names in ([], ["mtt::apt"])
    )
    atoms, expected = (
        predict(m, MIXED, ["mtt::apt"], "atom")["mtt::apt"].block() for m in (model, free)
    )
    index = atoms.samples.column("system").long()
    sums = torch.zeros(len(MIXED), 3, 3, 1).double()
    sums = sums.index_add(0, index, expected.values)
    means = sums / torch.bincount(index).reshape(-1, 1, 1, 1)
    assert float(sums.detach().abs().max()) > 1e-2
    torch.testing.assert_close(
        atoms.values, expected.values - means[index], rtol=1e-13, atol=1e-13
    )
    systems = predict(model, MIXED, ["mtt::apt"])["mtt::apt"].block().values
    assert float(systems.detach().abs().max()) < 1e-13

    training = predict(model.train(), MIXED, ["mtt::apt", "energy"], "atom")
    scaled = model.scaler.apply_scales(
        [make_system(model, structure) for structure in MIXED], training
    )
    torch.testing.assert_close(
        scaled["mtt::apt"].block().values, atoms.values, rtol=1e-13, atol=1e-13
    )
    energies = predict(free.train(), MIXED, ["energy"], "atom")["energy"]
    mts.allclose_raise(training["energy"], energies, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", ["energy", "mtt::partial", "mtt::unknown"])
def test_zero_sums_are_refused(name):
    message = rf"'zero_sum_targets' is '{name}', but .* \['mtt::apt'\]"
    targets = {"energy": ENERGY, "mtt::partial": PARTIAL, "mtt::apt": MATRIX}
    with pytest.raises(ValueError, match=message):
        make_model(targets, zero_sum_targets=[name])


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


def test_same_system_several_times():
    """Objects that a batch shares are not changed by it."""
    model = fit(make_model())
    system = make_system(model, crystal())
    outputs = {"energy": ModelOutput(sample_kind="system")}
    energies = model([system, system, system], outputs)["energy"].block().values.flatten()
    torch.testing.assert_close(energies, energies_of(model, crystal()).repeat(3))
    assert system.known_neighbor_lists() == model.requested_neighbor_lists()


def test_no_systems_and_no_outputs():
    model = fit(make_model())
    assert predict(model, []) == {}
    assert model([make_system(model, molecule())], {}) == {}


def test_values_of_neighbor_list_are_not_used():
    """Distances and indices of pairs cannot disagree, as the former are computed."""
    model = fit(make_model())
    system = make_system(model, crystal())
    (options,) = model.requested_neighbor_lists()
    pairs = system.get_neighbor_list(options)
    wrong = System(system.types, system.positions, system.cell, system.pbc)
    wrong.add_neighbor_list(
        options,
        TensorBlock(
            values=pairs.values.flip(0),
            samples=pairs.samples,
            components=pairs.components,
            properties=pairs.properties,
        ),
    )
    outputs = {"energy": ModelOutput(sample_kind="system")}
    assert mts.equal(model([system], outputs)["energy"], model([wrong], outputs)["energy"])


def test_wire_is_refused():
    wire = make_structure(
        [1, 8], [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[3.0, 0, 0]] * 3, (True, False, False)
    )
    model = make_model()
    with pytest.raises(ValueError, match="system 1 is periodic in one direction"):
        predict(model, [molecule(), wire])
    short_ranged = make_model(long_range={"enable": False})
    assert bool(torch.isfinite(energies_of(short_ranged, molecule(), wire)).all())


def test_cell_without_volume_is_refused():
    flat = molecule()._replace(pbc=torch.tensor([True, True, True]))
    flat = flat._replace(cell=torch.tensor([[5.0, 0, 0], [0, 5.0, 0], [5.0, 5.0, 0]]))
    flat = flat._replace(cell=flat.cell.double())
    model = make_model()
    system = System(flat.species.int(), flat.positions, flat.cell, flat.pbc)
    (request,) = model.requested_neighbor_lists()
    pairs = make_system(model, molecule()).get_neighbor_list(request)
    system.add_neighbor_list(request, pairs)
    with pytest.raises(ValueError, match="system 0 .* no volume"):
        model([system], {"energy": ModelOutput(sample_kind="system")})
