"""Time of lorem-jax: python lorem_jax_time.py STRUCTURE sr|lr REPEATS MESSAGES.

Runs where lorem-jax is installed; :mod:`table2` calls it. Prints a line of JSON. Stops
before REPEATS when 20 seconds have passed, but not before the second counted call.
"""

import json
import resource
import statistics
import sys
import time

import jax
from lorem import Lorem
from structures import crystal, realistic


def main() -> None:
    name, kind, repeats, num_messages = (*sys.argv[1:3], *map(int, sys.argv[3:]))
    size, _, crystal_name = name.partition(" ")
    atoms = realistic()[name] if name in realistic() else crystal(int(size), crystal_name)
    model = Lorem(lr=kind == "lr", num_message_passing=num_messages)
    parameters = model.init(jax.random.key(0), *model.dummy_inputs())
    batch = model.atoms_to_batch(atoms)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    predict = jax.jit(lambda parameters, batch: model.predict(parameters, batch))
    times = []
    for repeat in range(repeats + 1):
        if len(times) >= 2 and sum(times) > 20:
            break
        start = time.perf_counter()
        jax.block_until_ready(predict(parameters, batch))
        if repeat > 0:  # the first call compiles
            times.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    result = {"ms": 1e3 * statistics.median(times), "calls": len(times)}
    print(json.dumps({**result, "MiB": memory / 1024}))


if __name__ == "__main__":
    main()
