"""Structures and labels that spoil a training: refused or told, with the frame named."""

import ase
import ase.io
import metatensor.torch as mts
import numpy as np
import pytest
import torch
from helpers.systems import crystal, make_structure, molecule, rattled
from helpers.tiny_runs import (
    TARGETS,
    data,
    oxygen_pair,
    run,
    tiny_model,
    tiny_trainer,
    warnings_of,
)
from helpers.training_tools import energy_info, make_dataset, read_dataset
from metatrain.utils.data import Dataset
from torch.utils.data import Subset

from metatrain_lorem.training.data_checks import (
    Inspection,
    check_types,
    fingerprint,
    tell_not_validated,
    tell_unseen_types,
)
from metatrain_lorem.training.frames import Frames
from metatrain_lorem.training.start import check_neighbors, inspect_data


FORCES = {"energy": energy_info(gradients=("positions", "strain"))}


def inspect(dataset, targets=TARGETS, source="water.xyz") -> Inspection:
    return Inspection([Frames(dataset, "training set", source)], targets)


def with_labels(change, index: int = 1, number: int = 3) -> Dataset:
    """Crystals with energies, forces and stresses, of which ``change`` spoils one."""
    structures = [rattled(crystal(), seed) for seed in range(number)]
    dataset = make_dataset(structures, FORCES)
    samples = [dataset[i] for i in range(number)]
    labels = [mts.TensorMap(s.energy.keys, [b.copy() for b in s.energy]) for s in samples]
    block = labels[index].block()
    strain = block.gradient("strain").values
    for label in labels:  # random ones are not symmetric
        values = label.block().gradient("strain").values
        values[:] = values + values.transpose(1, 2)
    change(
        {
            "energy": block.values,
            "forces": block.gradient("positions").values,
            "stress": strain,
        }
    )
    systems = [s["system"] for s in samples]
    return Dataset.from_dict({"system": systems, "energy": labels})


def set_value(name, place, value):
    def change(labels):
        labels[name][place] = value

    return change


# --- structures -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (oxygen_pair(float("nan")), "z of atom 1 .from 0. is nan"),
        (oxygen_pair(float("inf")), "z of atom 1 .from 0. is inf"),
        (oxygen_pair(1e-5), "atoms 0 and 1 .from 0. coincide .distance 1e-05 Angstrom"),
        (oxygen_pair(0.0), "atoms 0 and 1 .from 0. coincide"),
        (oxygen_pair(1e30), "atom [01] .from 0. is 1e.30 away"),
        (
            crystal()._replace(cell=torch.zeros(3, 3).double()),
            "lattice planes is 0 A",
        ),
        (crystal()._replace(cell=1e-8 * crystal().cell), "lattice planes is 5.2e-08"),
    ],
)
def test_structure_is_named(structure, words):
    dataset = data(0, 1, structures=[structure])
    with pytest.raises(ValueError, match="^frame 2 .from 0. of 'water.xyz': .*" + words):
        inspect(dataset)


def test_frame_in_its_file():
    """Not the index in a part of a part, and not that in a batch."""
    dataset = data(0, 1, 2, structures=[oxygen_pair(0.0)])
    part = Subset(Subset(dataset, [2, 3, 1]), [2, 1])
    with pytest.raises(ValueError, match="frame 3 .from 0. of 'water.xyz'"):
        inspect(part)
    with pytest.raises(ValueError, match="frame 3 .from 0. of the training set"):
        inspect(part, source=None)


@pytest.mark.parametrize("where", ["training", "validation"])
def test_checked_before_training(where):
    """Validation structures, too, although they are needed after the first epoch only."""
    good, bad = data(0, 1), data(0, structures=[oxygen_pair(0.0)])
    sets = (bad, good) if where == "training" else (good, bad)
    with pytest.raises(ValueError, match=f"frame 1 .from 0. of the {where} set: atoms"):
        run(*sets)


def test_close_atoms_are_told(caplog):
    inspect(data(0, structures=[oxygen_pair(0.1), oxygen_pair(0.2)])).check_labels([])
    (message,) = warnings_of(caplog)
    assert "Atoms closer than 0.25 Angstrom" in message
    assert "atoms 0 and 1 (0.1) of frame 1 (from 0) of 'water.xyz'" in message
    assert "frame 2" in message


# --- labels -----------------------------------------------------------------------------


def test_forces_of_two_columns():
    dataset = make_dataset([molecule(), molecule()], FORCES)
    values = dataset[1].energy.block().gradient("positions").values
    block = dataset[1].energy.block().copy()
    short = mts.TensorBlock(block.values, block.samples, block.components, block.properties)
    gradient = block.gradient("positions")
    short.add_gradient(
        "positions",
        mts.TensorBlock(
            values[:2],
            mts.Labels(gradient.samples.names, gradient.samples.values[:2]),
            gradient.components,
            gradient.properties,
        ),
    )
    labels = mts.TensorMap(dataset[1].energy.keys, [short])
    wrong = Dataset.from_dict({"system": [dataset[1]["system"]], "energy": [labels]})
    with pytest.raises(
        ValueError, match="frame 0 .*forces of 'energy': 6 numbers for 3 at"
    ):
        inspect(wrong, FORCES)


def test_labels_in_some_structures_only(caplog):
    """metatrain drops forces of a file in which one frame lacks them."""
    full, bare = make_dataset([molecule()], FORCES), make_dataset([molecule()], TARGETS)
    with pytest.raises(ValueError, match="forces of 'energy' are here, .*`forces: off`"):
        inspect(full, TARGETS)
    only_stress = {"energy": energy_info(gradients=("positions",))}
    with pytest.raises(ValueError, match="stress/virial of 'energy' .*`stress: off`"):
        inspect(full, only_stress)
    tell_not_validated(inspect(full, FORCES), inspect(full, FORCES))
    assert warnings_of(caplog) == []
    tell_not_validated(inspect(full, FORCES), inspect(bare, FORCES))
    (message,) = warnings_of(caplog)
    assert "structures have no forces of 'energy', stress/virial of 'energy':" in message


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("energy", 0, np.inf, "'energy': inf is no label"),
        ("energy", 0, -np.inf, "'energy': -inf is no label"),
        ("forces", (2, 1, 0), np.inf, "forces of 'energy': inf is no label"),
        ("stress", (0, 1, 1), np.inf, "stress/virial of 'energy': inf is no label"),
    ],
)
def test_infinite_labels_are_refused(name, place, value, words):
    dataset = with_labels(set_value(name, place, value))
    with pytest.raises(ValueError, match="^frame 1 .from 0. of 'water.xyz': " + words):
        inspect(dataset, FORCES)


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("energy", 0, "'energy' of frame 1"),
        ("forces", (2, 1, 0), "forces of 'energy' of frame 1"),
        ("stress", slice(None), "stress/virial of 'energy' of frame 1"),
    ],
)
def test_missing_labels_are_told(name, place, words, caplog):
    inspect(with_labels(set_value(name, place, np.nan)), FORCES).check_labels([])
    (message,) = warnings_of(caplog)
    assert message.startswith(f"Not learned, as labels are NaN: {words}")


@pytest.mark.parametrize("name", ["energy", "forces", "stress"])
def test_all_labels_missing(name):
    dataset = with_labels(set_value(name, slice(None), np.nan), 0, number=1)
    with pytest.raises(ValueError, match=f"{name}.*all labels are missing .NaN., so there"):
        inspect(dataset, FORCES).check_labels([])


def test_missing_energy_and_baseline():
    dataset = with_labels(set_value("energy", 0, np.nan))
    inspection = inspect(dataset, FORCES)
    words = "'energy' of frame 1 .from 0. .* is missing .NaN.* as `atomic_baseline`"
    with pytest.raises(ValueError, match=words):
        inspection.check_labels(["energy"])


def test_unsymmetric_stress(caplog):
    inspect(with_labels(set_value("stress", (0, 0, 1), 9.0)), FORCES).check_labels([])
    (message,) = warnings_of(caplog)
    assert message.startswith("Not symmetric, but predictions will be: stress/virial of")
    assert "frame 1 (from 0)" in message


@pytest.mark.parametrize(("label", "key"), [("virial", "virial"), ("stress", "own")])
def test_unsymmetric_matrices_of_files(label, key, tmp_path, caplog):
    """Those that ASE does not take for its own results, and make symmetric: `stress`."""
    atoms = ase.Atoms("NaCl", [[0, 0, 0], [2.8] * 3], cell=[5.6] * 3, pbc=True)
    atoms.info.update(total=-1.0, **{key: np.arange(9.0).reshape(3, 3)})
    ase.io.write(tmp_path / "salt.xyz", atoms)
    target = {"quantity": "energy", "key": "total", "unit": "eV", label: {"key": key}}
    dataset, infos = read_dataset(tmp_path / "salt.xyz", {"energy": target})
    inspect(dataset, infos).check_labels([])
    assert any(m.startswith("Not symmetric, but") for m in warnings_of(caplog))


def test_outliers(caplog):
    inspect(with_labels(set_value("forces", (0, 0, 0), 1e8)), FORCES).check_labels([])
    (message,) = warnings_of(caplog)
    assert "frame 1 (from 0) of 'water.xyz' (1e+08): such outliers" in message


def test_outlier_of_a_data_set(caplog):
    inspect(with_labels(set_value("energy", 0, -1e9)), FORCES).check_labels(["energy"])
    (message,) = warnings_of(caplog)
    assert "frame 1 (from 0) of 'water.xyz' (-1e+09): such outliers" in message


def test_good_data_say_nothing(caplog):
    inspection = inspect(with_labels(lambda labels: None), FORCES)
    inspection.check_labels(["energy"])
    check_types(inspection, inspection, [11, 17])
    tell_unseen_types(inspection, inspection, [11, 17])
    assert warnings_of(caplog) == []


# --- atomic types -----------------------------------------------------------------------


def test_unknown_types():
    first, second = inspect(data(0)), inspect(data(structures=[crystal()]))
    for sets in ((first, second), (second, first)):
        with pytest.raises(ValueError, match=r"\[1, 8\] only, but frame 0 .* holds 11"):
            check_types(*sets, [1, 8])


def test_types_of_the_validation_only(caplog):
    training, validation = inspect(data(0)), inspect(data(structures=[crystal()]))
    tell_unseen_types(training, validation, [1, 8, 9, 11, 17])
    (message,) = warnings_of(caplog)
    assert "do not hold the atomic types [9, 11, 17]" in message
    assert "11 in frame 0 (from 0) of 'water.xyz'" in message
    assert "9 in" not in message


# --- fingerprints -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"positions": molecule().positions + 1e-14},
        {"species": torch.tensor([8, 1, 8])},
        {"pbc": torch.tensor([True] * 3), "cell": 9 * torch.eye(3).double()},
    ],
)
def test_fingerprints_see_each_bit(change):
    one = make_structure([8, 1, 1], molecule().positions[:3])
    other = one._replace(**{k: v[:3] for k, v in change.items()})
    systems = [make_dataset([s], TARGETS)[0]["system"] for s in (one, one, other)]
    first, same, third = map(fingerprint, systems)
    assert first == same != third


def test_infeasible_cells_are_named():
    """A cube of 1000 Angstrom would take all memory in the first epoch."""
    vacuum = molecule()._replace(
        cell=1000 * torch.eye(3).double(), pbc=torch.tensor([True] * 3)
    )
    dataset = data(0, 1, structures=[vacuum])
    model = tiny_model(dataset, long_range={"max_degree": 0, "smearing": 1.0})
    hypers = tiny_trainer().hypers
    words = "^frame 2 .from 0. of the training set: this structure .3 atoms, .* GiB"
    with pytest.raises(ValueError, match=words):
        inspect_data(model, [dataset], [dataset], hypers, "")


def test_no_neighbor_list():
    """An atom that left along two axes, at which the neighbor list would crash."""
    pair = oxygen_pair(1.2)
    pair.positions[1, :2] = 6000.0
    dataset = data(0, 1, structures=[pair])
    words = "^frame 2 .from 0. of the training set: .* too wide and too thin"
    with pytest.raises(ValueError, match=words):
        inspect_data(tiny_model(dataset), [dataset], [dataset], tiny_trainer().hypers, "")


def test_too_many_neighbors():
    """A cutoff of 100 in a cell of 5.6, whose features float32 cannot hold."""
    dataset = make_dataset([crystal()], TARGETS)
    model = tiny_model(dataset, cutoff=100.0)
    words = "^frame 0 .from 0. of the training set: each atom has about [0-9]+ neighbors"
    with pytest.raises(ValueError, match=words):
        inspect_data(model, [dataset], [dataset], tiny_trainer().hypers, "")
    with pytest.raises(ValueError, match="allowed: 10000"):
        check_neighbors(1, -(0.7**3), 10.0)
    check_neighbors(8, 3.57**3, 15.0)  # diamond
