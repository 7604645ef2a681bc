"""Sums that would take all memory, or days, are refused before they begin."""

# Bytes that an exported model may keep for the derivatives of one system, in float32:
# TorchScript keeps all arrays. Ewald sums need that much for few atoms in a cube of 580
# Angstrom, a mesh for a million atoms in one of 520.
MAX_EWALD, MAX_MESH = 2**36, 2**38
# Pairs of one system within the cutoff
MAX_PAIRS = 2**29


def check_ewald(
    system: int,
    num_atoms: int,
    lengths: list[float],
    largest: list[int],
    num_columns: int,
    limit: int = MAX_EWALD,
) -> None:
    """Refuse an Ewald sum over too many k-vectors.

    :param system: index of the system
    :param lengths: of its lattice vectors
    :param largest: largest k-vector index along each of them
    :param num_columns: columns of charges
    :param limit: of the memory, in bytes
    :raises ValueError: naming system, number of k-vectors, memory and remedies
    """
    # Those in an ellipsoid
    num_planes = 0.785 * (largest[0] + 1.0) * (2.0 * largest[1] + 1.0)
    num_k = int(0.667 * num_planes * (2.0 * largest[2] + 1.0))
    numbers = numbers_kept(num_atoms, num_planes, largest[2], num_columns)
    if 4.0 * numbers > limit:
        refuse(system, num_atoms, lengths, f"{num_k} k-vectors", 4.0 * numbers)


def numbers_kept(
    num_atoms: int, num_planes: float, highest: int, num_columns: int
) -> float:
    """Numbers that an Ewald sum keeps for its derivatives.

    :param num_planes: lines of k-vectors, see :class:`.KVectors`, as ``highest``
    """
    waves = 2.0 * (highest + 1.0) * num_columns
    return num_planes * (3.0 * num_atoms + 6.0 * waves) + 3.0 * num_atoms * waves


def check_mesh(
    system: int,
    num_atoms: int,
    lengths: list[float],
    points: int,
    num_columns: int,
    limit: int = MAX_MESH,
) -> None:
    """Refuse a mesh of too many points.

    :param points: see :func:`.num_points`
    :param limit: of the memory, in bytes
    :raises ValueError: see :func:`check_ewald`
    """
    size = 5.2 * points * num_columns  # see `estimate.mesh_numbers`
    if size > limit:
        refuse(system, num_atoms, lengths, f"a mesh of {points} points", size)


def refuse(
    system: int, num_atoms: int, lengths: list[float], what: str, size: float
) -> None:
    """:raises ValueError: see :func:`check_ewald`"""
    rounded = [int(length + 0.5) for length in lengths]
    raise ValueError(
        f"system {system} ({num_atoms} atoms, lattice vectors about {rounded[0]}, "
        f"{rounded[1]} and {rounded[2]} long) needs {what} and {int(size / 2**30)} GiB "
        "for its long-range interactions: make directions that hold nothing but vacuum "
        "open (`pbc`), cut the cell, or train with a larger `long_range.smearing`"
    )


def check_pairs(num_atoms: int, volume: float, cutoff: float) -> None:
    """Refuse a cell so small that the neighbor list takes all memory.

    :param volume: of the closed cell
    :raises ValueError: with the number of neighbors
    """
    neighbors = 4.19 * cutoff**3 * num_atoms / volume
    if num_atoms * neighbors > MAX_PAIRS:
        raise ValueError(
            f"each of the {num_atoms} atoms has about {neighbors:.1e} neighbors within the "
            f"cutoff ({cutoff:g}), as the volume of the cell is {volume:.1e}: check the "
            "unit of the cell"
        )
