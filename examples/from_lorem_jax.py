"""Take a model from lorem-jax, run it in ASE, and give it back.

    python examples/from_lorem_jax.py [FOLDER] [--structures FILE]

FOLDER is a checkpoint of lorem-jax, such as ``run/checkpoints/R2_E+F`` of its training; it
holds ``model/model.yaml``, ``model/baseline.yaml`` and ``model/model.msgpack``. Without
one, the script writes a small random model in this format. Neither JAX nor lorem-jax has to
be installed.

On the command line, the same conversions are

    mtt-lorem from-jax FOLDER -o model.ckpt
    mtt export model.ckpt -o model.pt
    mtt-lorem to-jax model.ckpt -o FOLDER

The checkpoint can be trained further, too: ``mtt train options.yaml --restart model.ckpt``.
Units are those of ASE, eV and Angstrom.
"""

import argparse
import tempfile
from pathlib import Path

import ase
import ase.io
import numpy as np
import torch
from metatomic.torch import AtomisticModel, ModelOutput
from metatomic_ase import MetatomicCalculator
from metatrain.utils.io import load_model

from metatrain_lorem.hypers import network_arguments
from metatrain_lorem.lorem_jax.convert import from_jax, to_jax
from metatrain_lorem.lorem_jax.files import JaxModel, write_jax_model
from metatrain_lorem.lorem_jax.parameters import jax_parameters
from metatrain_lorem.lorem_jax.settings import hypers_from_settings, settings_from_hypers
from metatrain_lorem.network.lorem import Network
from metatrain_lorem.network.readout import scalar_readout


STRUCTURES = Path(__file__).parent / "data" / "dimers_test.xyz"
CHARGES = "mtt::aux::charges"
FILES = ["model/model.yaml", "model/baseline.yaml", "model/model.msgpack"]


def write_random_model(folder: Path, atomic_types: list[int]) -> None:
    """A lorem-jax checkpoint of a small model that has not been trained."""
    torch.manual_seed(0)
    hypers = hypers_from_settings({"num_features": 16, "max_degree": 3})
    network = Network(**network_arguments(hypers, atomic_types))
    readout = scalar_readout(network.sizes)
    jax_model = JaxModel(
        settings=settings_from_hypers(hypers),
        baseline={z: -10.0 * z for z in atomic_types},
        parameters=jax_parameters(network, readout),
    )
    write_jax_model(folder, jax_model)


def run(model: AtomisticModel, structures: list[ase.Atoms]) -> None:
    """Print energies, forces and charges of the structures."""
    # Without gradients of each energy: they include the stress, which molecules lack
    calculator = MetatomicCalculator(model, do_gradients_with_energy=False)
    print(f"{'structure':20s} {'energy / eV':>14s} {'largest force / eV/A':>22s}")
    for atoms in structures:
        atoms.calc = calculator
        largest = np.linalg.norm(atoms.get_forces(), axis=1).max()
        energy = atoms.get_potential_energy()
        print(f"{atoms.get_chemical_formula():20s} {energy:14.5f} {largest:22.5f}")
    if CHARGES in model.capabilities().outputs:
        outputs = {CHARGES: ModelOutput(sample_kind="atom")}
        charges = calculator.run_model(structures[0], outputs)[CHARGES].block().values
        scalars = charges[:, 0].detach().cpu().numpy()
        print(f"scalar charges in the first structure: {scalars.round(4)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="lorem-jax checkpoint")
    parser.add_argument("--structures", type=Path, default=STRUCTURES)
    args = parser.parse_args()
    structures = ase.io.read(args.structures, index=":3")

    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder
        if folder is None:
            folder = Path(temporary) / "lorem-jax"
            numbers = np.concatenate([atoms.numbers for atoms in structures])
            write_random_model(folder, np.unique(numbers).tolist())

        checkpoint = Path(temporary) / "model.ckpt"
        from_jax(folder, checkpoint)
        model = load_model(checkpoint)
        num_parameters = sum(p.numel() for p in model.parameters())
        print(f"{num_parameters} parameters, atomic types {model.atomic_types}")

        run(model.export(), structures)

        back = Path(temporary) / "back"
        to_jax(checkpoint, back)
        for name in FILES:
            same = (folder / name).read_bytes() == (back / name).read_bytes()
            print(f"{name}: {'the same' if same else 'other'} bytes after a round trip")


if __name__ == "__main__":
    main()
