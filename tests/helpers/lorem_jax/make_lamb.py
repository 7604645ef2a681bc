"""Ten steps of ``optax.lamb``, in float64.

    pip install optax
    python make_lamb.py

writes ``lamb.npz`` next to this file: for each array, start, gradients and all values.
Gradients are given, so that the arrays need no function; a stack of matrices is a list of
leaves for optax.
"""

from pathlib import Path

import jax
import numpy as np
import optax


jax.config.update("jax_enable_x64", True)

LEARNING_RATE = 0.01
WEIGHT_DECAY = 0.1
NUM_STEPS = 10
SHAPES = {"matrix": (4, 3), "bias": (5,), "stack": (3, 2, 4), "product": (2, 2, 2, 3)}


def main() -> None:
    random = np.random.default_rng(0)
    start = {name: random.normal(size=shape) for name, shape in SHAPES.items()}
    start["bias"] = np.zeros(SHAPES["bias"])  # as biases are before training
    start["stack"] *= np.array([1.0, 10.0, 0.0])[:, None, None]
    gradients = {
        name: random.normal(size=(NUM_STEPS, *shape)) for name, shape in SHAPES.items()
    }
    gradients["matrix"][:, 0] = 0.0  # weights without any use
    arrays = {}
    for decay in (0.0, WEIGHT_DECAY):
        optimizer = optax.lamb(LEARNING_RATE, weight_decay=decay)
        weights = leaves(start)
        state = optimizer.init(weights)
        for step in range(NUM_STEPS):
            gradient = leaves({name: g[step] for name, g in gradients.items()})
            updates, state = optimizer.update(gradient, state, weights)
            weights = optax.apply_updates(weights, updates)
            for name, value in weights.items():
                value = np.stack(value) if name == "stack" else np.asarray(value)
                arrays.setdefault(f"{name}/{decay}", []).append(value)
    arrays |= {f"{name}/start": value for name, value in start.items()}
    arrays |= {f"{name}/gradients": value for name, value in gradients.items()}
    np.savez_compressed(Path(__file__).with_name("lamb.npz"), **arrays)


def leaves(arrays: dict) -> dict:
    return {n: list(value) if n == "stack" else value for n, value in arrays.items()}


if __name__ == "__main__":
    main()
