"""The four systems of the paper's ablation and its four variants."""

from pathlib import Path
from typing import NamedTuple


HERE = Path(__file__).parent
OPTIONS = HERE.parents[1] / "options" / "paper"

# Long range: off, or up to a degree of the charges
VARIANTS = {
    "no long range": ["architecture.model.long_range.enable=false"],
    "l = 0": ["architecture.model.long_range.max_degree=0"],
    "l = 1": ["architecture.model.long_range.max_degree=1"],
    "l = 2": ["architecture.model.long_range.max_degree=2"],
}


class System(NamedTuple):
    """One row of the table and its figure.

    The paper's root mean square errors are those of ``VARIANTS``, in meV/atom and meV/A.
    """

    title: str
    energy: tuple[float, float, float, float]
    forces: tuple[float, float, float, float]
    tested_on: str  # what the paper takes its errors from
    abscissa: str  # info key of the curves of the figure; empty: errors per class
    label: str  # of the abscissa
    plane: tuple[int, int]  # axes that a drawing of a structure shows
    moving: tuple[int, ...]  # atoms that move along the curves
    claim: str


SYSTEMS = {
    "mgo_surface": System(
        "Au2 on MgO(001)",
        (2.234, 0.063, 0.062, 0.064),
        (61.487, 5.870, 5.284, 4.076),
        "validation",
        "distance",
        "height of Au2 above the surface / A",
        (0, 2),
        (-1, -2),
        "A dopant below the cutoff of Au2 decides which of two adsorption geometries is "
        "stable; scalar charges suffice.",
    ),
    "nacl_cluster": System(
        "Na9Cl8+ and Na8Cl8+",
        (1.582, 0.113, 0.111, 0.112),
        (50.110, 1.243, 1.062, 1.155),
        "validation",
        "distance",
        "distance between Na atoms 0 and 3 / A",
        (0, 1),
        (0,),
        "A sodium atom at one end shifts the minimum at the other; scalar charges suffice.",
    ),
    "biodimers": System(
        "Pairs of molecules",
        (8.259, 0.302, 0.329, 0.222),
        (16.452, 1.677, 1.725, 1.646),
        "test",
        "",
        "class of the pair",
        (0, 1),
        (),
        "Charged, polar and apolar molecules beyond the cutoff need long range in all "
        "classes.",
    ),
    "cumulene": System(
        "C9H4",
        (16.203, 15.793, 5.576, 3.309),
        (126.000, 133.092, 85.956, 50.084),
        "test",
        "angle",
        "angle between the planes of the rotors / degrees",
        (0, 2),
        (9, 10),
        "Only charges of degree 2 tell how one rotor is turned against the other.",
    ),
}


def folder_name(variant: str) -> str:
    return variant.replace(" = ", "").replace(" ", "_")
