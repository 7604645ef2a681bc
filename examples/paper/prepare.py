"""Convert a published data set of the paper to files that ``options/paper`` read.

    python examples/paper/prepare.py SYSTEM ARCHIVE [--output paper_data]

ARCHIVE is what the user has downloaded: a file, a folder, or a zip or tar archive with
RuNNer's ``input.data``, extended XYZ or npz files inside.

================  =====================================================
``mgo_surface``   Materials Cloud 2020.137 (or the extended XYZ copies)
``nacl_cluster``  Materials Cloud 2020.137 (or the extended XYZ copies)
``biodimers``     Materials Cloud 2023.151
``cumulene``      Zenodo 14750286
================  =====================================================

Writes ``SYSTEM_train.xyz`` and ``SYSTEM_val.xyz``, and ``SYSTEM_test.xyz`` if the data have
a test set. Stops at what is not as published: numbers of frames and atoms, energies in
other units, forces that do not add up to zero. ``--incomplete`` accepts other numbers of
frames, for a first look at a part of the data.

The paper's splits are random; which frames they chose is not published for all systems.
Ours have the same sizes, by ``--seed``. Of the two systems with a test set, it is what
files with ``test`` in their names hold, or else what the other parts leave.
"""

import argparse
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import ase
import ase.io
import numpy as np
from archives import read


class Published(NamedTuple):
    """What the data of a system have to look like."""

    baseline: dict[str, float]  # eV, of each element
    spread: float  # eV/atom by which energies may differ from the baseline
    sizes: tuple[int, ...]  # numbers of atoms; empty: any
    training: int  # number of frames ...
    validation: int
    test: int | None  # None: there is no test set, all frames are divided
    by_class: bool = False  # whether each class is divided in the same ratio


PUBLISHED = {
    "mgo_surface": Published(
        {"O": -18599.4368, "Mg": -8721.7590, "Al": -9877.6778, "Au": -688.8680},
        *(0.1, (110,), 4500, 500, None),
    ),
    "nacl_cluster": Published(
        {"Na": -4417.0705, "Cl": -12516.8904}, *(0.1, (16, 17), 4500, 500, None)
    ),
    "biodimers": Published(
        {"H": -16.3878, "C": -1037.1395, "N": -1489.3353, "O": -2048.7069},
        *(1.0, (), 12830, 3204, 13743, True),
    ),
    "cumulene": Published({"H": -2.6544, "C": -5.9724}, *(0.5, (13,), 2000, 500, 0)),
}
# Of extended XYZ copies, as others quote them
MD5 = {
    "train-Au-MgO-Al.xyz": "e5c2290ae3e58b492e8add5e054e4df9",
    "test-Au-MgO-Al.xyz": "ace9a86f28262db5ef1022ef523d24f9",
}
MAX_NET_FORCE = 0.02  # eV/A, of a whole structure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("system", choices=PUBLISHED)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--output", type=Path, default=Path("paper_data"))
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("--incomplete", action="store_true", help="other numbers are fine")
    arguments = parser.parse_args()
    published = PUBLISHED[arguments.system]
    archive = arguments.archive
    if archive.is_file():
        tell_checksum(archive)
    frames = read(archive)
    check(frames, published)
    parts = split(frames, published, arguments.seed, arguments.incomplete)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for part, chosen in parts.items():
        path = arguments.output / f"{arguments.system}_{part}.xyz"
        write(path, chosen)
        print(f"{path}: {len(chosen)} frames")


def tell_checksum(archive: Path) -> None:
    checksum = hashlib.md5(archive.read_bytes()).hexdigest()
    known = MD5.get(archive.name, checksum)
    verdict = "" if known == checksum else f", not the {known} that others quote"
    print(f"md5 {checksum}  {archive.name}{verdict}")


def check(frames: list[ase.Atoms], published: Published) -> None:
    """:raises ValueError: naming the frame and what is wrong with it"""
    for number, frame in enumerate(frames):
        name = f"frame {number} ({frame.info['file']}, {frame.get_chemical_formula()})"
        unknown = set(frame.symbols) - set(published.baseline)
        if unknown:
            raise ValueError(f"{name} has {sorted(unknown)}, which the data set has not")
        if published.sizes and len(frame) not in published.sizes:
            raise ValueError(f"{name} has {len(frame)} atoms, not {published.sizes}")
        residual = residual_energy(frame, published.baseline)
        if not abs(residual) < published.spread:
            raise ValueError(
                f"{name}: {residual:.3g} eV/atom from the baseline; the unit is not eV, "
                "or this is another data set"
            )
        net = np.abs(frame.arrays["forces"].sum(axis=0)).max()
        if not net < MAX_NET_FORCE:
            raise ValueError(f"{name}: forces add up to {net:.3g} eV/A")
    residuals = [residual_energy(frame, published.baseline) for frame in frames]
    print(
        f"{len(frames)} frames; energies per atom {1000 * min(residuals):.2f} to "
        f"{1000 * max(residuals):.2f} meV from the baseline"
    )


def residual_energy(frame: ase.Atoms, baseline: dict[str, float]) -> float:
    """Energy per atom after the baseline, in eV."""
    return (frame.info["energy"] - sum(baseline[s] for s in frame.symbols)) / len(frame)


def split(
    frames: list[ase.Atoms], published: Published, seed: int, is_incomplete: bool
) -> dict[str, list[ase.Atoms]]:
    """Training, validation and test frames, of the paper's sizes.

    :raises ValueError: if the number of frames is another one
    """
    test, rest = [], []
    for frame in frames:
        tests = published.test is not None and "test" in frame.info["file"].lower()
        (test if tests else rest).append(frame)
    expected = published.training + published.validation
    if not is_incomplete and (len(rest) < expected or len(test) < (published.test or 0)):
        raise ValueError(
            f"{len(rest)} frames for training and validation and {len(test)} for the test, "
            f"expected {expected} and {published.test or 0}; `--incomplete` goes on"
        )
    share = published.validation / expected
    number = published.validation if not is_incomplete else round(share * len(rest))
    generator = np.random.default_rng(seed)
    chosen = set()
    for group, size in groups(rest, published.by_class, number):
        chosen.update(generator.permutation(group)[:size].tolist())
    free = generator.permutation([i for i in range(len(rest)) if i not in chosen])
    training = sorted(free if is_incomplete else free[: published.training])
    if published.test is not None and not test and not is_incomplete:
        test = [rest[i] for i in sorted(free[published.training :])]
    parts = {
        "train": [rest[i] for i in training],
        "val": [rest[i] for i in sorted(chosen)],
    }
    return {**parts, "test": test} if test else parts


def groups(
    frames: list[ase.Atoms], by_class: bool, number: int
) -> Iterable[tuple[list[int], int]]:
    """Indices of each class, and how many of them are validation frames."""
    if not by_class:
        yield list(range(len(frames))), number
        return
    names = [str(frame.info.get("label", "")) for frame in frames]
    for name in sorted(set(names)):
        group = [i for i, other in enumerate(names) if other == name]
        yield group, round(number * len(group) / len(frames))


def write(path: Path, frames: list[ase.Atoms]) -> None:
    """Extended XYZ with 17 digits: energies of -1.5e6 eV must not be rounded."""
    with path.open("w") as file:
        for frame in frames:
            cell = " ".join(f"{value:.12g}" for value in frame.cell[:].ravel())
            header = f'Lattice="{cell}" ' if frame.pbc.any() else ""
            header += "Properties=species:S:1:pos:R:3:forces:R:3 "
            header += f"energy={frame.info['energy']!r} "
            label = frame.info.get("label")
            header += f"label={label} " if label is not None else ""
            header += 'pbc="' + " ".join("FT"[int(p)] for p in frame.pbc) + '"'
            rows = zip(frame.symbols, frame.positions, frame.arrays["forces"], strict=True)
            lines = [
                f"{symbol} " + " ".join(f"{value:.10g}" for value in (*position, *force))
                for symbol, position, force in rows
            ]
            file.write("\n".join([str(len(frame)), header, *lines]) + "\n")


if __name__ == "__main__":
    main()
