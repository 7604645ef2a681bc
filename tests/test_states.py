"""Total charge and spin multiplicity as inputs."""

import logging

import ase
import pytest
import torch
from helpers.lorem_models import (
    ENERGY,
    MIXED,
    energies_of,
    fit,
    make_model,
    make_system,
)
from helpers.systems import crystal, make_structure, molecule, slab
from helpers.tiny_runs import TARGETS, tiny_trainer, water
from helpers.training_tools import make_dataset, small_model, train, types_of
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import ModelEvaluationOptions, ModelOutput
from metatrain.utils.data import Dataset

from metatrain_lorem.engines.ase import WrappingCalculator
from metatrain_lorem.model import LOREM


STRUCTURES = [molecule(), crystal(), slab(), make_structure([8], [[0.0, 0.0, 0.0]])]
WATER = ase.Atoms(molecule().species.numpy(), molecule().positions.numpy())


def state_map(name: str, value: float, system: int = 0) -> TensorMap:
    block = TensorBlock(
        values=torch.tensor([[value]], dtype=torch.float64),
        samples=Labels(["system"], torch.tensor([[system]], dtype=torch.int32)),
        components=[],
        properties=Labels([name], torch.tensor([[0]])),
    )
    return TensorMap(Labels(["_"], torch.tensor([[0]])), [block])


def charges_and_energies(model, structures, states):
    systems = [make_system(model, structure) for structure in structures]
    for system, (charge, multiplicity) in zip(systems, states, strict=True):
        if charge is not None:
            system.add_data("charge", state_map("charge", charge))
        if multiplicity is not None:
            system.add_data(
                "spin_multiplicity", state_map("spin_multiplicity", multiplicity)
            )
    atoms = {"mtt::aux::charges": ModelOutput(sample_kind="atom")}
    charges = model(systems, atoms)["mtt::aux::charges"].block()
    energies = model(systems, {"energy": ModelOutput(sample_kind="system")})["energy"]
    index = charges.samples.column("system").long()
    zeros = torch.zeros(len(structures), dtype=torch.float64)
    totals = zeros.index_add(0, index, charges.values[:, 0])
    return totals.detach(), energies.block().values.detach().flatten()


def test_no_effect_at_first():
    """A model starts as one without, whatever the state."""
    model = small_model({"energy": ENERGY}, [1, 8], system_conditioning=True).double()
    plain = small_model({"energy": ENERGY}, [1, 8]).double().eval()
    missing, _ = plain.load_state_dict(model.state_dict(), strict=False)
    assert missing == []
    for charge in (-1, 0, 3):
        _, energies = charges_and_energies(model.eval(), [molecule()], [(charge, 2)])
        assert torch.equal(energies, energies_of(plain, molecule()))


def test_states_matter_one_by_one():
    """In a batch, each system has its own; defaults are those of a neutral singlet."""
    model = make_model(system_conditioning=True)
    model.network.conditioning.gate.weight.data.normal_()
    states = [(1, 2), (None, None), (-2, 1), (0, None)]
    _, together = charges_and_energies(model, STRUCTURES, states)
    _, alone = zip(
        *(charges_and_energies(model, [s], [t]) for s, t in zip(STRUCTURES, states))
    )
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-12)
    _, defaults = charges_and_energies(model, STRUCTURES, [(0, 1)] * 4)
    differ = (together - defaults).abs() > 1e-6
    assert differ.tolist() == [True, False, True, False]


@pytest.mark.parametrize("conditioning", [True, False])
def test_fixed_total_charge(conditioning):
    model = make_model(
        system_conditioning=conditioning, long_range={"fix_total_charge": True}
    )
    if conditioning:
        model.network.conditioning.gate.weight.data.normal_()
    states = [(1, 2), (0, 1), (-2, 1), (3, 4)]
    expected = torch.tensor([s[0] if conditioning else 0 for s in states]).double()
    totals, _ = charges_and_energies(model, STRUCTURES, states)
    torch.testing.assert_close(totals, expected, rtol=0, atol=1e-12)
    free = make_model(system_conditioning=conditioning)
    totals, _ = charges_and_energies(free, STRUCTURES, states)
    assert (totals - expected).abs().min() > 1e-3


def test_forces_are_those_of_the_energy():
    """The sum over all atoms is differentiated, too."""
    model = fit(make_model(system_conditioning=True, long_range={"fix_total_charge": True}))
    model.network.conditioning.gate.weight.data.normal_()
    atoms = WATER.copy()
    atoms.info["charge"], atoms.info["spin"] = -1, 2
    atoms.calc = WrappingCalculator(model.export())
    forces = atoms.get_forces()
    step = 1e-4
    for axis in range(3):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[1, axis] += sign * step
            moved.calc = atoms.calc
            energies.append(moved.get_potential_energy())
        slope = (energies[0] - energies[1]) / (2 * step)
        assert -slope == pytest.approx(forces[1, axis], rel=1e-6, abs=1e-7)


def test_ase(tmp_path):
    """Charge and spin of `info`; changes are noticed, wrong values refused."""
    model = fit(make_model(system_conditioning=True))
    model.network.conditioning.gate.weight.data.normal_()
    exported = model.export()
    exported.save(str(tmp_path / "model.pt"))
    atoms = WATER.copy()
    atoms.calc = WrappingCalculator(tmp_path / "model.pt")
    neutral = atoms.get_potential_energy()
    assert neutral == pytest.approx(float(energies_of(model, molecule())), abs=1e-10)
    atoms.info["charge"] = 1
    cation = atoms.get_potential_energy()
    atoms.info["spin_multiplicity"] = 2
    doublet = atoms.get_potential_energy()
    assert len({round(x, 6) for x in (neutral, cation, doublet)}) == 3
    _, expected = charges_and_energies(model, [molecule()], [(1, 2)])
    assert doublet == pytest.approx(float(expected), abs=1e-10)
    for name, value, message in [
        ("charge", 11, r"charge of system 0 is 11\.0?, .* from -10 to 10"),
        ("charge", 0.5, "charge of system 0 is 0.5"),
        ("spin_multiplicity", 0, "spin_multiplicity of system 0 is 0"),
    ]:
        wrong = atoms.copy()
        wrong.info[name] = value
        wrong.calc = atoms.calc
        with pytest.raises(ValueError, match=message):
            wrong.get_potential_energy()


def test_engines_need_not_know():
    """An exported model runs on systems without the data."""
    model = fit(make_model(system_conditioning=True))
    exported = model.export()
    assert set(exported.requested_inputs(use_new_names=True)) == {
        "charge",
        "spin_multiplicity",
    }
    systems = [make_system(model, structure) for structure in MIXED]
    outputs = {"energy": ModelOutput(sample_kind="system")}
    options = ModelEvaluationOptions("Angstrom", outputs)
    # metatomic's own checks want to see all inputs
    energies = exported(systems, options, check_consistency=False)["energy"].block()
    torch.testing.assert_close(energies.values.flatten(), energies_of(model, *MIXED))
    assert make_model().requested_inputs() == {}


def dataset_with_states(energies: list[float], charges: list[int] | None) -> Dataset:
    """One geometry of water, several times."""
    data = make_dataset([water(0)] * len(energies), TARGETS, energies)
    columns = {name: [s[name] for s in data] for name in ("system", "energy")}
    if charges is not None:
        columns["charge"] = [state_map("charge", q, i) for i, q in enumerate(charges)]
        ones = [state_map("spin_multiplicity", 1 + q, i) for i, q in enumerate(charges)]
        columns["spin_multiplicity"] = ones
    return Dataset.from_dict(columns)


@pytest.mark.slow
@pytest.mark.parametrize("is_on", [True, False])
def test_training_tells_states_apart(is_on):
    """The same geometry has two energies, which only a model with states can learn."""
    data = dataset_with_states([1.0, -1.0] * 4, [1, 0] * 4)
    model = small_model(
        TARGETS, types_of(data), system_conditioning=is_on, long_range={"max_degree": 0}
    )
    train(model, tiny_trainer(num_epochs=25, learning_rate=0.02), [data], [data])
    model = model.double().eval()
    _, energies = charges_and_energies(model, [water(0)] * 2, [(1, 2), (0, 1)])
    gap = float(energies[0] - energies[1])
    assert abs(gap - 2.0) < 0.3 if is_on else abs(gap) < 1e-10


def test_missing_states_are_told(caplog):
    data = dataset_with_states([1.0, -1.0], None)
    model = small_model(TARGETS, types_of(data), system_conditioning=True)
    with caplog.at_level(logging.WARNING):
        train(model, tiny_trainer(num_epochs=1), [data], [data])
    assert "no charge and spin_multiplicity in its `extra_data`" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_charge", -1), ("max_charge", 0.5), ("max_spin_multiplicity", 0)],
)
def test_bounds_of_hypers(name, value):
    with pytest.raises(ValueError, match=f"hyper-parameter '{name}'"):
        make_model(**{name: value})


@pytest.mark.parametrize("is_fixed", [True, False])
def test_dissociation(is_fixed):
    """Far apart, the energy of two atoms goes like 1 / r, its gradient like 1 / r^2."""
    model = make_model(long_range={"fix_total_charge": is_fixed, "max_degree": 1})
    products = []
    for distance in (100.0, 200.0, 400.0):
        energy, slope = energy_and_slope(model, distance)
        assert slope * distance / energy == pytest.approx(-1.0, abs=0.01)
        products.append(slope * distance**2)
    assert products == pytest.approx([products[-1]] * 3, rel=0.02)


def energy_and_slope(model: LOREM, distance: float) -> tuple[float, float]:
    """Long-range part of the energy of NaCl, and its derivative by the distance."""
    positions = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, distance]]).double()
    pair = make_structure([11, 17], positions.requires_grad_())
    name = "energy/long_range"
    output = {name: ModelOutput(sample_kind="system")}
    energy = model([make_system(model, pair)], output)[name].block().values.sum()
    (gradient,) = torch.autograd.grad(energy, positions)
    return float(energy.detach()), float(gradient[1, 2])
