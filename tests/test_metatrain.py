"""metatrain's own tests of an architecture, as it ships them in `utils.testing`."""

import copy
from pathlib import Path

import ase.io
import pytest
import torch
from helpers.training_tools import ARCHITECTURE, DIMERS
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.testing import (
    ArchitectureTests,
    AutogradTests,
    CheckpointTests,
    ExportedTests,
    InputTests,
    OutputTests,
    TorchscriptTests,
    TrainingTests,
)


@pytest.fixture(autouse=True)
def in_folder_of_tests(monkeypatch):
    """The suite reads checkpoints from the working directory, and writes one there."""
    folder = Path(__file__).parent
    monkeypatch.chdir(folder)
    yield
    (folder / "model_0.ckpt").unlink(missing_ok=True)


class LOREMTests(ArchitectureTests):
    architecture = ARCHITECTURE

    @pytest.fixture
    def dataset_path(self, tmp_path):
        # The default of the suite is a file that metatrain does not install.
        path = tmp_path / "dimers.xyz"
        ase.io.write(path, ase.io.read(DIMERS, "::9"))
        return str(path)

    @pytest.fixture
    def dataset_targets(self, dataset_path):
        return {
            "energy": {
                "quantity": "energy",
                "read_from": dataset_path,
                "reader": "ase",
                "key": "energy",
                "unit": "eV",
                "type": "scalar",
                "sample_kind": "system",
                "num_subtargets": 1,
                "forces": False,
                "stress": False,
                "virial": False,
            }
        }

    @pytest.fixture
    def minimal_model_hypers(self):
        hypers = copy.deepcopy(get_default_hypers(self.architecture)["model"])
        hypers["max_degree"] = 1
        hypers["num_features"] = 2
        hypers["num_spherical_features"] = 1
        hypers["num_radial"] = 2
        hypers["num_species_features"] = 1
        hypers["long_range"]["max_degree"] = 1
        return hypers


class TestInput(InputTests, LOREMTests): ...


class TestOutput(OutputTests, LOREMTests):
    # Products of two degrees, and blocks that depend on the species of the atom: made
    # for matrix elements between atomic orbitals, not for potentials.
    supports_spherical_rank2_outputs = False
    supports_spherical_atomic_basis_outputs = False

    def test_prediction_energy_subset_atoms(self, model_hypers, dataset_info):
        # Monomers 42 Angstrom apart are independent without long range only; what a
        # selection means with long range is tested in `test_model.py`.
        model_hypers = copy.deepcopy(model_hypers)
        model_hypers["long_range"]["enable"] = False
        super().test_prediction_energy_subset_atoms(model_hypers, dataset_info)

    @pytest.fixture
    def n_features(self):
        return 2 * 128

    @pytest.fixture
    def n_last_layer_features(self):
        return 2 * 128


class TestAutograd(AutogradTests, LOREMTests):
    cuda_nondet_tolerance = 1e-12
    # No distance at the cutoff, where the second derivative of the cosine jumps.
    positions = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]
    cell_param = 1.9


class TestTorchscript(TorchscriptTests, LOREMTests):
    float_hypers = ["cutoff"]

    # TorchScript compiles the same lines for all targets: scalars and tensors of each
    # parity are enough. `test_exported_is_the_same` has those of whole systems.
    @pytest.fixture(params=[0, 2])
    def o3_lambda(self, request):
        return request.param

    @pytest.fixture
    def sample_kind(self):
        return "atom"


class TestExported(ExportedTests, LOREMTests):
    @pytest.fixture(params=[torch.float64])
    def dtype(self, request):
        """Exported models take float64, whatever the type of the network."""
        return request.param


class TestTraining(TrainingTests, LOREMTests):
    # As above.
    supports_atomic_basis = False


class TestCheckpoints(CheckpointTests, LOREMTests): ...
