"""Numbers of lorem-jax that ours are compared with, in float64.

    pip install lorem-jax==0.2.0
    python make_references.py

writes ``predictions.npz``, ``training.npz``, ``layers.npz``, ``checkpoint.npz`` and the
folder ``checkpoint`` next to this file, within ten minutes. The options serve the live
comparison.

lorem-jax builds its batches in float32; this script calls jax-pme's functions for the
same purpose with float64 instead.
"""

import argparse
import functools
import importlib.metadata
import json
import shutil
import sys
import tempfile
from pathlib import Path

import jax


jax.config.update("jax_enable_x64", True)

import e3x  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from ase import Atoms  # noqa: E402
from ase.calculators.singlepoint import SinglePointCalculator  # noqa: E402
from jaxpme.batched_mixed import Ewald  # noqa: E402
from jaxpme.batched_mixed.batching import prepare  # noqa: E402
from lorem import Lorem, LOREMCalculator  # noqa: E402
from lorem.batching import to_batch  # noqa: E402
from lorem.models import backbone  # noqa: E402
from marathon.data.sample import to_sample  # noqa: E402
from marathon.emit.checkpoint import save  # noqa: E402
from marathon.evaluate import get_loss_fn  # noqa: E402


HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from helpers.parity_cases import (  # noqa: E402
    BASELINE,
    CASES,
    GRADIENT_CASES,
    LEARNING_RATE,
    LOSS_WEIGHTS,
    NUM_COLUMNS,
    NUM_DIRECTIONS,
    NUM_STEPS,
    concatenated,
    labels,
    projections,
    random_parameters,
    spherical_inputs,
    structures,
    unit_vectors,
)


# -- models and batches --


def flatten(tree: dict, path: str = "") -> dict:
    """Leaves of nested dictionaries, by their path."""
    leaves = {}
    for name, child in tree.items():
        child_path = f"{path}/{name}" if path else name
        is_tree = isinstance(child, dict)
        leaves.update(flatten(child, child_path) if is_tree else {child_path: child})
    return leaves


def unflatten(leaves: dict) -> dict:
    """The reverse of `flatten`."""
    tree: dict = {}
    for path, leaf in leaves.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = jnp.array(leaf)
    return tree


def parameter_shapes(model: Lorem) -> dict[str, tuple[int, ...]]:
    tree = jax.eval_shape(model.init, jax.random.key(0), *model.dummy_inputs())
    return {path: tuple(leaf.shape) for path, leaf in flatten(tree).items()}


def make_batch(cutoff: float):
    """All structures with their labels in one batch, in float64."""

    def structure(atoms, cutoff, **_):
        return prepare(atoms, cutoff, dtype=np.float64)

    energies, forces = labels()
    samples, start = [], 0
    for i, (numbers, positions, cell, pbc) in enumerate(structures().values()):
        atoms = Atoms(numbers, positions, cell=cell, pbc=pbc)
        stop = start + len(numbers)
        atoms.calc = SinglePointCalculator(
            atoms, energy=energies[i], forces=forces[start:stop]
        )
        samples.append(to_sample(atoms, cutoff, structure_fn=structure))
        start = stop
    batch = to_batch(samples, ["energy", "forces"])
    assert batch.sr.positions.dtype == np.float64
    return jax.tree.map(jnp.array, batch)


def predict(model: Lorem, parameters: dict, batch) -> dict[str, np.ndarray]:
    """Energies of the structures, forces, and derivatives by the strain."""
    results = jax.jit(functools.partial(model.predict, stress=True))(parameters, batch)
    assert results["energy"].dtype == np.float64
    is_structure = np.array(batch.sr.structure_mask)
    return {
        "energies": np.array(results["energy"])[is_structure],
        "forces": np.array(results["forces"])[np.array(batch.sr.atom_mask)],
        "virials": np.array(results["stress"])[is_structure],
    }


def make_predictions(cases: list[str], seed: int) -> dict[str, np.ndarray]:
    references = {}
    for case in cases:
        model = Lorem(**CASES[case])
        shapes = parameter_shapes(model)
        parameters = unflatten(random_parameters(shapes, seed))
        results = predict(model, parameters, make_batch(model.cutoff))
        references[f"{case}/shapes"] = np.array(json.dumps(shapes))
        for name, values in results.items():
            references[f"{case}/{name}"] = values
        print(f"{case:30s} {results['energies'].round(3)}", flush=True)
    return references


# -- training --


def make_training(seed: int) -> dict[str, np.ndarray]:
    """Gradients of a loss of energies and forces, and the first steps of Adam."""
    references = {}
    for case, kind in GRADIENT_CASES.items():
        model = Lorem(**CASES[case])
        parameters = unflatten(random_parameters(parameter_shapes(model), seed))
        batch = make_batch(model.cutoff)
        loss_fn = get_loss_fn(model.predict, weights=LOSS_WEIGHTS, correct_mean=True)
        step = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
        (loss, _), gradients = step(parameters, batch)
        print(f"{case}: loss {loss}", flush=True)
        references[f"{case}/loss"] = np.array(loss)
        for path, values in flatten(gradients).items():
            values = np.array(values)
            values = values if kind == "full" else projections(values)
            references[f"{case}/gradients/{path}"] = values
        if kind == "full":
            references[f"{case}/losses"] = train(step, parameters, batch)
    return references


def train(step, parameters: dict, batch) -> np.ndarray:
    """Losses before each of the first steps of Adam, and after the last."""
    optimizer = optax.adam(LEARNING_RATE)
    state = optimizer.init(parameters)
    losses = []
    for _ in range(NUM_STEPS):
        (loss, _), gradients = step(parameters, batch)
        losses.append(float(loss))
        updates, state = optimizer.update(gradients, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    losses.append(float(step(parameters, batch)[0][0]))
    return np.array(losses)


# -- layers --


def apply(module, parameters_seed: int, *inputs) -> np.ndarray:
    """Result of a flax module with random parameters."""
    tree = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    shapes = {path: leaf.shape for path, leaf in flatten(tree).items()}
    parameters = unflatten(random_parameters(shapes, parameters_seed))
    return np.array(module.apply(parameters, *inputs))


def harmonics(vectors: np.ndarray, max_degree: int = 6) -> np.ndarray:
    return np.array(
        e3x.so3.spherical_harmonics(jnp.array(vectors), max_degree, r_is_normalized=True)
    )


def project(features: np.ndarray, along: np.ndarray) -> np.ndarray:
    """``[N, M, c]`` and harmonics ``[k, M]`` to ``[N, k, L + 1, c]``, in any basis."""
    products = np.einsum("nmc,km->nkmc", features, along)
    max_degree = int(np.sqrt(along.shape[1])) - 1
    starts = np.arange(max_degree + 1) ** 2
    return np.add.reduceat(products, starts, axis=2)


def make_layers() -> dict[str, np.ndarray]:
    references = {}
    distances = np.concatenate([np.linspace(0.05, 5, 41), [1e-6, 4.999999, 5.1]])
    radial = backbone.RadialEmbedding(32, 5.0, function="basic_bernstein")
    cutoffs = e3x.nn.cosine_cutoff(jnp.array(distances), cutoff=5.0)
    references["radial"] = radial.apply({}, jnp.array(distances)) * cutoffs[:, None]

    y_in = harmonics(unit_vectors(NUM_DIRECTIONS, 3))
    y_out = harmonics(unit_vectors(4, 4))
    references["harmonics"] = project(y_in[:, :, None], y_out)[..., 0]

    # Each Clebsch-Gordan path, contracted with harmonics of three directions
    cg = np.array(e3x.so3.clebsch_gordan(6, 6, 6))
    u, v, w = (harmonics(unit_vectors(3, seed)) for seed in (5, 6, 7))
    products = np.einsum("ni,nj,nk,ijk->nijk", u, v, w, cg)
    for axis in (1, 2, 3):
        products = np.add.reduceat(products, np.arange(7) ** 2, axis=axis)
    references["clebsch_gordan"] = products

    for name, options in {
        "tensor_dense": {},
        "tensor_dense_charges": {"features": 1, "max_degree": 2},
    }.items():
        module = e3x.nn.TensorDense(use_bias=False, include_pseudotensors=False, **options)
        features = jnp.array(spherical_inputs(y_in, 4, 8))[:, None]
        result = apply(module, 9, features)[:, 0]
        references[name] = project(result, y_out[:, : result.shape[1]])

    features = jnp.array(spherical_inputs(y_in, 4, 8))[:, None]
    factors = (2.0 * np.arange(7) + 1) ** 0.25
    norms = backbone.spherical_norm_last_axis(features, 6)[:, 0]
    references["norms"] = np.array(norms) * factors[:, None]

    random = np.random.RandomState(10)
    h, u = random.normal(size=(5, 8)), random.normal(size=(5, 6))
    mask = jnp.ones(5, dtype=bool)
    references["update"] = apply(backbone.Update(8), 11, jnp.array(h), jnp.array(u), mask)

    batch = make_batch(5.0)
    charges = np.zeros((len(batch.sr.positions), NUM_COLUMNS))
    num_atoms = len(concatenated("numbers"))
    charges[:num_atoms] = np.random.RandomState(12).normal(size=(num_atoms, NUM_COLUMNS))
    potentials = jax.vmap(
        lambda q: Ewald().potentials(q, batch.sr, batch.nopbc, batch.pbc),
        in_axes=-1,
        out_axes=-1,
    )(jnp.array(charges))
    references["potentials"] = np.array(potentials)[:num_atoms]
    return references


# -- checkpoint --


def make_checkpoint(folder: Path) -> dict[str, np.ndarray]:
    """A checkpoint as lorem-jax writes it, in float32, and what it predicts."""
    model = Lorem(**CASES["tiny"])
    shapes = parameter_shapes(model)
    single = {
        path: values.astype(np.float32)
        for path, values in random_parameters(shapes, 13).items()
    }
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary) / "checkpoint"
        parameters = jax.tree.map(lambda x: x, unflatten(single))
        baseline = {"elemental": BASELINE}
        save(target, parameters, {"step": 0}, model, baseline, {})
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(target / "model", folder / "model")

    double = {path: values.astype(np.float64) for path, values in single.items()}
    results = predict(model, unflatten(double), make_batch(model.cutoff))
    references = {f"model/{name}": values for name, values in results.items()}

    # Its ASE calculator, which works in float32
    calculator = LOREMCalculator.from_checkpoint(folder)
    energies, forces = [], []
    for numbers, positions, cell, pbc in structures().values():
        atoms = Atoms(numbers, positions, cell=cell, pbc=pbc, calculator=calculator)
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    references["calculator/energies"] = np.array(energies)
    references["calculator/forces"] = np.concatenate(forces)
    return references


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--seed", type=int, default=0, help="of the parameters")
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
    args = parser.parse_args()
    for part in args.parts:
        references = PARTS[part](args)
        references["versions"] = np.array(json.dumps(versions()))
        np.savez_compressed(args.output / f"{part}.npz", **references)


PARTS = {
    "predictions": lambda args: make_predictions(args.cases, args.seed),
    "training": lambda args: make_training(args.seed),
    "layers": lambda args: make_layers(),
    "checkpoint": lambda args: make_checkpoint(args.output / "checkpoint"),
}


def versions() -> dict[str, str]:
    packages = ("lorem-jax", "e3x", "jax-pme", "marathon-train", "jax", "flax")
    return {package: importlib.metadata.version(package) for package in packages}


if __name__ == "__main__":
    main()
