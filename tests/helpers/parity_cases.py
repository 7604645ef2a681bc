"""Models, structures and labels for the comparison with lorem-jax.

Used by the tests and by ``lorem_jax/make_references.py``, which runs where lorem-jax is
installed: only numpy is imported here. Parameters are drawn from a seed in both places,
with numpy's ``RandomState``, whose numbers do not depend on numpy's version.
"""

from typing import Any, NamedTuple

import numpy as np


# Settings of lorem-jax's class `Lorem`; what is not given has its default.
SMALL = {
    "cutoff": 4.0,
    "max_degree": 3,
    "num_features": 16,
    "num_radial": 6,  # from 8 on, lorem-jax has errors, see `network/reference.py`
    "num_species": 4,
    "num_spherical_features": 4,
}
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "no-long-range": {"lr": False},
    "charges-0": {"max_degree_lr": 0},
    "charges-1": {"max_degree_lr": 1},
    "degree-2": {**SMALL, "max_degree": 2},
    "degree-3": {**SMALL, "max_degree": 3},
    "degree-4": {**SMALL, "max_degree": 4},
    "degree-5": {**SMALL, "max_degree": 5},
    "degree-6": {**SMALL, "max_degree": 6},
    "messages-1": {**SMALL, "num_message_passing": 1},
    "messages-2": {**SMALL, "num_message_passing": 2},
    "messages-1-scalar": {
        **SMALL,
        "num_message_passing": 1,
        "equivariant_message_passing": False,
    },
    "messages-2-scalar": {
        **SMALL,
        "num_message_passing": 2,
        "equivariant_message_passing": False,
    },
    "messages-1-no-long-range": {**SMALL, "num_message_passing": 1, "lr": False},
    "no-initial-features": {**SMALL, "initialize_node_features": False},
    "tiny": {
        **SMALL,
        "max_degree": 2,
        "num_features": 8,
        "num_message_passing": 1,
    },
}
# Cases with gradients of a loss: all of them, or a few projections of each leaf
GRADIENT_CASES = {"tiny": "full", "default": "projected"}
NUM_PROJECTIONS = 4
# Steps of Adam, and its learning rate
NUM_STEPS, LEARNING_RATE = 10, 1e-3
LOSS_WEIGHTS = {"energy": 0.5, "forces": 0.5}
BASELINE = {1: -13.6, 8: -2041.25, 9: -2713.0 - 1 / 3, 11: -4421.0, 17: -12520.1}

# Number of columns of charges and of directions in the tests of single layers
NUM_COLUMNS = 3
NUM_DIRECTIONS = 16


class Structure(NamedTuple):
    """Atoms, with lengths in Angstrom."""

    numbers: np.ndarray  # [N]
    positions: np.ndarray  # [N, 3]
    cell: np.ndarray  # [3, 3]
    pbc: np.ndarray  # [3] bool


def structures() -> dict[str, Structure]:
    """Rattled structures of every periodicity that lorem-jax offers."""
    random = np.random.RandomState(20250726)
    rocksalt = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
    rocksalt = np.concatenate([rocksalt, (rocksalt + [0.5, 0, 0]) % 1])
    skewed = np.array([[4.3, 0.0, 0.0], [1.4, 3.9, 0.0], [-0.9, 1.1, 4.6]])
    layers = np.array([[0, 0, 0], [0.5, 0.4, 1.9], [0.1, 0.6, 3.7]])
    plane = np.array([[3.8, 0.0, 0.0], [1.2, 4.1, 0.0], [0.0, 0.0, 40.0]])
    rotation = np.linalg.qr(random.normal(size=(3, 3)))[0]
    water = np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.0, -0.76, -0.47]])
    fluoride = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.93]])

    def make(numbers, positions, cell=None, pbc=(False, False, False), rattle=0.15):
        positions = positions + rattle * random.normal(size=positions.shape)
        cell = np.zeros((3, 3)) if cell is None else cell
        return Structure(np.array(numbers), positions, cell, np.array(pbc))

    slab_positions = np.concatenate([layers[:, :2] @ plane[:2, :2], layers[:, 2:]], axis=1)
    swapped = (plane @ rotation.T)[[2, 0, 1]]
    return {
        "crystal": make([11] * 4 + [17] * 4, 5.2 * rocksalt, 5.2 * np.eye(3), [1] * 3),
        "skewed crystal": make(
            [8, 11, 17],
            np.array([[0.1, 0.0, 0.2], [0.4, 0.55, 0.5], [0.8, 0.1, 0.7]]) @ skewed,
            skewed,
            [True] * 3,
        ),
        "lone ion": make([11], np.zeros((1, 3)), 6.5 * np.eye(3), [True] * 3),
        "molecule": make([8, 1, 1], water, rattle=0.05),
        "distant molecules": make(
            [8, 1, 1, 1, 9],
            np.concatenate([water, fluoride + [7.0, 8.0, 5.0]]),
            rattle=0.05,
        ),
        "lone atom": make([17], np.zeros((1, 3))),
        "slab": make([11, 17, 8], slab_positions, plane, [True, True, False]),
        "rotated slab": make(
            [8, 17, 11], slab_positions @ rotation.T, swapped, [False, True, True]
        ),
    }


def concatenated(name: str) -> np.ndarray:
    """One field of all structures, one after the other."""
    return np.concatenate([getattr(s, name) for s in structures().values()])


def labels() -> tuple[np.ndarray, np.ndarray]:
    """Energies ``[S]`` and forces ``[N, 3]`` of no meaning, to train on."""
    random = np.random.RandomState(1)
    return random.normal(size=len(structures())), random.normal(
        size=concatenated("positions").shape
    )


def random_parameters(
    shapes: dict[str, tuple[int, ...]], seed: int = 0
) -> dict[str, np.ndarray]:
    """Parameters whose layers roughly keep the variance of their inputs.

    Biases and scales are drawn, too: lorem-jax starts from zeros and ones, with which a
    confusion would go unnoticed. So would one in a product of spherical features that
    are small, as they are with kernels of unit gain: see :func:`gain`.

    :param shapes: shape of each leaf of the tree, by its path
    """
    random = np.random.RandomState(seed)
    parameters = {}
    for path in sorted(shapes):
        shape, kind = tuple(shapes[path]), path.rsplit("/", 1)[-1]
        values = random.normal(size=shape)
        if kind == "kernel":
            is_product = len(shape) == 7  # degrees on axes 1 and 3
            fan_in = shape[1] * shape[3] if is_product else shape[0]
            values *= gain(path, is_product) / np.sqrt(fan_in)
        elif kind == "scale":
            values = 1.0 + 0.2 * values
        elif kind == "bias":
            values *= 0.2
        parameters[path] = values
    return parameters


def gain(path: str, is_product: bool) -> float:
    """Factor of a kernel that keeps spherical features of order one."""
    if is_product:
        return 4.0 if "TensorDense" in path else 2.5
    return 2.0 if "TensorDense" in path else 1.0


def projections(values: np.ndarray) -> np.ndarray:
    """A few random projections of an array, and its norm, ``[NUM_PROJECTIONS + 1]``."""
    random = np.random.RandomState(2)
    values = values.ravel()
    parts = [values @ random.normal(size=values.size) for _ in range(NUM_PROJECTIONS)]
    return np.array([*parts, np.linalg.norm(values)])


def unit_vectors(number: int, seed: int) -> np.ndarray:
    """Random directions ``[number, 3]``."""
    vectors = np.random.RandomState(seed).normal(size=(number, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def spherical_inputs(harmonics: np.ndarray, channels: int, seed: int) -> np.ndarray:
    """Spherical features ``[N, M, c]``, the same in every basis of harmonics.

    :param harmonics: ``[NUM_DIRECTIONS, M]``, of ``unit_vectors(NUM_DIRECTIONS, 3)``
    """
    max_degree = int(np.sqrt(harmonics.shape[1])) - 1
    random = np.random.RandomState(seed)
    amplitudes = random.normal(size=(5, NUM_DIRECTIONS, max_degree + 1, channels))
    degrees = np.repeat(np.arange(max_degree + 1), 2 * np.arange(max_degree + 1) + 1)
    return np.einsum("nkmc,km->nmc", amplitudes[:, :, degrees], harmonics)
