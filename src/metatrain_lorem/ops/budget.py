"""How large working arrays may become: all such numbers of the package."""

# Bytes of all arrays of one step that grow with products of sizes, unless the user says
# otherwise
MEMORY = 2**29
# Bytes from which on an array is made of new memory pages each time: the largest threshold
# of glibc's allocator on 64 bits. Below, arrays are faster, but each may leave a hole.
NEW_PAGES = 2**25
# Numbers in the working arrays of one chunk, in all places of the network that cut arrays:
# 8 MB in single precision, of an L3 cache of 32 MB. On average over these places, half or
# twice as much takes 4 or 3 % longer, whole arrays 21 % (`benchmarks/fit_chunks.py`,
# `benchmarks/results/chunks_cpu.json`).
CHUNK = 2_000_000
