"""A page with chemiscope inside: structures colored by their charges.

The page holds chemiscope's own script, so that it opens without a network.
"""

import html
import json
from pathlib import Path
from typing import Any

import ase
import ase.data
import numpy as np


SCALAR, VECTOR, LENGTH = "scalar charge", "charges of degree 1", "length of degree 1"
LONGEST = 2.0  # Angstrom, of an arrow
MEANING = (
    "Charges that the atoms of the model exchange, in its own units: not elementary "
    "charges, unless it was trained on charges. Sign and scale are arbitrary; compare "
    "atoms of one model only."
)
# No format string: scripts and styles are full of braces
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body { font-family: sans-serif; margin: 1em; color: #222; }
h1 { font-size: 1.2em; }
main { display: flex; flex-wrap: wrap; gap: 1em; }
#map, #structure-info { flex: 1 1 28em; min-width: 0; }
#map, #structure { height: 30em; position: relative; }
</style>
</head>
<body>
<h1>Charges: {title}</h1>
<p>{meaning}</p>
<div id="meta"></div>
<main>
<div id="map"></div>
<div id="structure-info"><div id="structure"></div><div id="info"></div></div>
</main>
<p><a href="{plot}">The charges of each species</a></p>
<script>{script}</script>
<script>
const names = { meta: "meta", map: "map", structure: "structure", info: "info" };
Chemiscope.DefaultVisualizer.load(names, {data})
  .then(() => { document.body.dataset.state = "ready"; })
  .catch((error) => {
    document.body.dataset.state = "failed";
    document.querySelector("p").textContent = String(error);
  });
</script>
</body>
</html>
"""


def page_of(
    frames: list[ase.Atoms], charges: list[np.ndarray], title: str, plot: str
) -> str:
    """The page, as text.

    :param charges: of each frame ``[N, C]``: the scalar charge, then components ``(l, m)``
    :param plot: link to the plot
    :raises RuntimeError: without chemiscope
    """
    chemiscope = _chemiscope()
    folder = Path(chemiscope.__file__).parent
    script = (folder / "sphinx" / "static" / "chemiscope.min.js").read_text("utf-8")
    data = json.dumps(_data(chemiscope, frames, charges, title)).replace("</", "<\\/")
    parts = {
        "{title}": html.escape(title),
        "{meaning}": MEANING,
        "{plot}": html.escape(plot),
        "{data}": data,
        "{script}": script,
    }
    page = PAGE
    for name, part in parts.items():
        page = page.replace(name, part, 1 if name == "{script}" else -1)
    return page


def _chemiscope() -> Any:
    try:
        import chemiscope
    except ImportError:
        raise RuntimeError(
            "pages need chemiscope: pip install 'metatrain-lorem[charges]'"
        ) from None
    return chemiscope


def _data(
    chemiscope: Any, frames: list[ase.Atoms], charges: list[np.ndarray], title: str
) -> dict[str, Any]:
    """Data set of chemiscope: properties of atoms, arrows, settings."""
    frames = [_bare(atoms) for atoms in frames]
    scalars = np.concatenate([values[:, 0] for values in charges])
    symbols = [symbol for atoms in frames for symbol in atoms.symbols]
    numbers = np.concatenate([np.arange(len(atoms)) for atoms in frames])
    properties = {
        SCALAR: {"target": "atom", "values": scalars},
        "species": {"target": "atom", "values": symbols},
        "atom": {
            "target": "atom",
            "values": numbers,
        },
    }
    vectors = vectors_of(charges)
    shapes, across = None, "atom"
    if vectors is not None:
        lengths = np.linalg.norm(np.concatenate(vectors), axis=1)
        properties[LENGTH] = {"target": "atom", "values": lengths}
        across = LENGTH
        for atoms, own in zip(frames, vectors):
            atoms.arrays[VECTOR] = own * (LONGEST / max(lengths.max(), 1e-30))
        arrows = chemiscope.ase_vectors_to_arrows(
            frames, VECTOR, target="atom", radius=0.08
        )
        shapes = {VECTOR: arrows}
    return chemiscope.create_input(
        structures=frames,
        metadata={"name": title},
        properties=properties,
        environments=chemiscope.all_atomic_environments(frames),
        shapes=shapes,
        settings=_settings(chemiscope, scalars, across, shapes is not None, frames),
    )


def _settings(
    chemiscope: Any,
    scalars: np.ndarray,
    across: str,
    has_arrows: bool,
    frames: list[ase.Atoms],
) -> dict[str, Any]:
    """Blue, white and red from the lowest to the highest charge, white for zero."""
    largest = float(np.abs(scalars).max()) or 1.0
    return chemiscope.quick_settings(
        x=SCALAR,
        y=across,
        map_color=SCALAR,
        symbol="species",
        target="atom",
        structure_settings={
            "color": {"property": SCALAR, "min": -largest, "max": largest},
            "environments": {"activated": False},
            "shape": [VECTOR] if has_arrows else [],
            "unitCell": bool(frames[0].pbc.any()),
            "supercell": [1, 1, 1],
        },
    )


def vectors_of(charges: list[np.ndarray]) -> list[np.ndarray] | None:
    """Charges of degree 1 as vectors ``(x, y, z)``, of each frame ``[N, 3]``.

    :return: ``None`` for a model with charges of degree 0
    """
    if charges[0].shape[1] < 5:
        return None
    # Columns: the scalar charge, degree 0, then degree 1 as y, z, x
    return [values[:, [4, 2, 3]] for values in charges]


def _bare(atoms: ase.Atoms) -> ase.Atoms:
    """Without labels of the data set, which chemiscope would take along."""
    return ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
