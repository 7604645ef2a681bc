"""LOREM as metatrain sees it: parameters, outputs, and what they mean."""

import metatensor.torch as mts
import pytest
import torch
from helpers.lorem_models import (
    ARCHITECTURE,
    BASELINE,
    MIXED,
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
    make_graph,
    make_structure,
    molecule,
)
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


def test_print():
    """Shows the settings of the network and of its parts."""
    lines = str(make_model(num_message_passing=1)).splitlines()
    assert "    cutoff=4.0, Sizes(num_stages=3, num_features=16" in "\n".join(lines)
    for part, setting in [
        ("RadialBasis", "num_radial=8"),
        ("SphericalHarmonics", "max_degree=3"),
        ("DegreeLinear", "channels=4 -> 8"),
        ("TensorProduct", "max_degrees=3 x 3 -> 3, num_channels=4"),
        ("CompactSplit", "accuracy=1e-06"),
    ]:
        assert any(f"{part}(" in line and setting in line for line in lines), part


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
    positions[1] += 1e-5
    moved = moved._replace(positions=positions)
    differences = []
    for model in (small, large):
        energies = energies_of(model, molecule(), moved)
        differences.append(float(energies[0] - energies[1]))
    assert float(energies[0]) < -1.49e6
    assert abs(differences[0]) > 1e-7
    assert differences[1] == pytest.approx(differences[0], abs=1e-9)


def test_no_systems_and_no_outputs():
    model = fit(make_model())
    assert predict(model, []) == {}
    assert model([make_system(model, molecule())], {}) == {}


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
