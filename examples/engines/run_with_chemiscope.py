"""chemiscope: a page with a map of structures, from the features of the model.

    python examples/engines/run_with_chemiscope.py model.pt --folder page

writes `page/map.json.gz`, to be opened on https://chemiscope.org or with
`chemiscope.show_input`. The two coordinates are principal components of the features of
the test set of the quickstart.

`pip install chemiscope` is enough. Do not install `chemiscope[explore]`: it replaces
metatrain by an old version.
"""

import warnings
from pathlib import Path

import ase
import ase.io
import chemiscope
import numpy as np
from comparison import DATA, Comparison, calculator, compare, main
from metatomic.torch import ModelOutput


def principal_components(features: np.ndarray, number: int = 2) -> np.ndarray:
    centered = features - features.mean(0)
    left, scales, _ = np.linalg.svd(centered, full_matrices=False)
    return left[:, :number] * scales[:number]


def energies_of(frames: list[ase.Atoms], model: str) -> np.ndarray:
    return calculator(model).compute_energy(frames)["energy"].ravel()


def check_features(features: np.ndarray, frames: list[ase.Atoms], model: str) -> None:
    """:raises ValueError: if those from ASE's calculator are different"""
    outputs = {"feature": ModelOutput(sample_kind="system")}
    result = calculator(model).run_model(frames, outputs)["feature"].block().values
    difference = np.abs(features - result.detach().numpy()).max()
    print(f"largest difference of features {difference:.1e}")
    if difference > 1e-4 * np.abs(features).max():
        raise ValueError("chemiscope's features are not those of ASE")


def write_page(frames: list[ase.Atoms], model: str, folder: Path) -> np.ndarray:
    """Coordinates, energies and distances of all frames; returns the energies."""
    features = chemiscope.metatomic_featurizer(model)(frames, None)
    check_features(features, frames, model)
    features = features / np.array([[len(atoms)] for atoms in frames])
    energies = energies_of(frames, model)
    properties = {
        "features": principal_components(features),
        "energy": {"target": "structure", "values": energies, "units": "eV"},
        "distance": [a.info["distance"] for a in frames],
        "kind": [a.info["label"] for a in frames],
    }
    path = folder / "map.json.gz"
    chemiscope.write_input(str(path), structures=frames, properties=properties)
    print(f"{len(frames)} structures, {features.shape[1]} features, {path.name}")
    return energies


def run(model: str, num_structures: int, folder: Path) -> list[Comparison]:
    """The features come from one batch, like the energies: compare those with ASE."""
    frames = ase.io.read(DATA, ":")[:num_structures]
    energies = write_page(frames, model, folder)
    return [
        compare(f"chemiscope, structure {i}", energies[i], frames[i], model)
        for i in range(3)
    ]


if __name__ == "__main__":
    # of the way chemiscope 1.1 calls metatomic
    warnings.filterwarnings("ignore", message=".*compute_requested_neighbors.*")
    warnings.filterwarnings("ignore", message=".*'features' output name.*")
    main(run, __doc__, steps=126)
