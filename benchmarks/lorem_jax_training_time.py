"""Time per epoch of lorem-jax: python lorem_jax_training_time.py DATA BATCH_SIZE.

Adam steps on batches that were made beforehand, in the favour of lorem-jax: neither
loading nor compilation is counted. Prints a line of JSON.
"""

import json
import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ase.io import read
from lorem import Lorem
from lorem.batching import to_batch, to_sample


KEYS = ("energy", "forces")


def main() -> None:
    data, batch_size = sys.argv[1], int(sys.argv[2])
    model = Lorem()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    samples = [to_sample(atoms, model.cutoff, keys=KEYS) for atoms in read(data, ":")]
    batches = [
        jax.tree.map(jnp.asarray, to_batch(samples[i : i + batch_size], KEYS))
        for i in range(0, len(samples), batch_size)
    ]
    parameters = model.init(jax.random.key(0), *model.dummy_inputs())
    optimizer = optax.adam(1e-4)

    def loss(parameters, batch):
        prediction = model.predict(parameters, batch)
        sr = batch.sr
        counts = jax.ops.segment_sum(
            sr.atom_mask.astype(float), sr.atom_to_structure, sr.cell.shape[0]
        )
        error = prediction["energy"] - batch.labels["energy"].reshape(-1)
        energy = jnp.mean((error / jnp.maximum(counts, 1.0)) ** 2 * sr.structure_mask)
        forces = (prediction["forces"] - batch.labels["forces"]) ** 2
        return energy + jnp.mean(forces * sr.atom_mask[:, None])

    @jax.jit
    def step(parameters, state, batch):
        gradients = jax.grad(loss)(parameters, batch)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(parameters, updates), state

    state = optimizer.init(parameters)
    # Each shape compiles once: call them all before the clock starts.
    shapes = {str(jax.tree.map(np.shape, batch)): batch for batch in batches}
    for batch in shapes.values():
        jax.block_until_ready(step(parameters, state, batch))
    start = time.perf_counter()
    for batch in batches:
        parameters, state = step(parameters, state, batch)
    jax.block_until_ready(parameters)
    seconds = time.perf_counter() - start
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"s": seconds, "MiB": memory, "shapes": len(shapes)}))


if __name__ == "__main__":
    main()
