"""Which k-vectors are summed, against lists of all of them."""

import itertools
import math

import pytest
import torch
from helpers.coulomb_cases import CELLS, random_system

from metatrain_lorem.coulomb.kvectors import KBox, KSphere
from metatrain_lorem.coulomb.periodicity import checked_lattices, some_lattices
from metatrain_lorem.coulomb.splitting import CompactSplit, GaussianSplit


def lattices_of(names):
    systems = [random_system(name, 7) for name in names]
    index = torch.arange(len(names)).repeat_interleave(7)
    return checked_lattices(
        torch.cat([system.positions for system in systems]),
        torch.stack([system.cell for system in systems]),
        torch.stack([system.pbc for system in systems]),
        index,
        slab_gap=3.0,
    )


def indices(kvectors, system):
    """All ``(n1, n2, n3)`` of a system."""
    found = []
    for plane, first, last in zip(
        kvectors.planes.tolist(),
        kvectors.first[system].tolist(),
        kvectors.last[system].tolist(),
    ):
        assert max(abs(first), abs(last)) <= kvectors.highest or first > last
        found += [(*plane, n) for n in range(first, last + 1)]
    assert len(found) == len(set(found))
    return set(found)


def selected(selector, lattices):
    largest = selector.largest(lattices)
    every = [max(sizes) for sizes in zip(*largest)]
    return selector.select(lattices, every)


@pytest.mark.parametrize(
    "split", [GaussianSplit(5.0, 1.3, accuracy=1e-4), CompactSplit(5.0, accuracy=1e-4)]
)
def test_sphere(split):
    """Of each k and -k within the sphere one, in batches as for single systems."""
    lattices = lattices_of(CELLS)
    selector = KSphere(split)
    together = selected(selector, lattices)
    for system, radius in enumerate(selector.radii(lattices)):
        reciprocal = 2 * math.pi * torch.linalg.inv(lattices.cells[system]).T
        largest = selector.largest(lattices)[system]
        ranges = [range(-n - 1, n + 2) for n in largest]
        inside = {
            n
            for n in itertools.product(*ranges)
            if 0 < float((torch.tensor(n).double() @ reciprocal).norm()) <= radius
        }
        half = indices(together, system)
        assert half | {tuple(-i for i in n) for n in half} == inside
        assert 2 * len(half) == len(inside)
        alone = selected(selector, some_lattices(lattices, [system]))
        assert indices(alone, 0) == half


@pytest.mark.parametrize("wavelength", [0.6, 0.9])
def test_box(wavelength):
    """Frequencies of a discrete Fourier transform, in the half space of jax-pme."""
    lattices = lattices_of(CELLS)
    selector = KBox(smearing=1.25, wavelength=wavelength)
    together = selected(selector, lattices)
    for system, cell in enumerate(lattices.cells):
        counts = [math.ceil(float(length) / wavelength) for length in cell.norm(dim=1)]
        axes = [(torch.fft.fftfreq(n) * n).round().int().tolist() for n in counts]
        expected = set()
        for n in itertools.product(*axes):
            leading = next((i for i in range(3) if n[i] != 0), None)
            # Above zero, and the Nyquist frequency of even numbers is negative.
            if leading is not None and n[leading] > 0:
                expected.add(n)
        assert indices(together, system) == expected


def test_errors():
    assert KSphere(CompactSplit(5.0, 1e-5)).error(2.0) == 1e-5
    # lorem-jax's box at its usual smearing
    assert 1e-10 < KBox(1.25, 0.625).error(2.5) < 1e-7
