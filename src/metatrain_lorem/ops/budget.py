"""How large working arrays may become, in bytes."""

# All arrays of one step that grow with products of sizes, unless the user says otherwise
MEMORY = 2**29
# From here on, an array is made of new memory pages each time: the largest threshold of
# glibc's allocator on 64 bits. Below, arrays are faster, but each may leave a hole.
NEW_PAGES = 2**25
