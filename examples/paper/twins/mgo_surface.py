r"""Twin of Au2 on MgO(001): a charge-equilibration model, whose exact answer is known.

    OMP_NUM_THREADS=1 python mgo_surface.py

writes ``mgo_surface.xyz.gz`` within minutes (``pip install ase torch``).

Periodic GFN1-xTB of tblite has the :math:`\Gamma` point only, which does not describe a
metal on a cell of 9 A. The energy is a formula instead. Magnesium and oxygen carry fixed
charges; those of aluminium and gold minimize, at total charge zero,

.. math::

    E(q) = \sum_i \left(\chi_i q_i + \tfrac{1}{2} J_i q_i^2\right)
    + \frac{2 \pi k_e}{V} \sum_{0 < |k| < K} \frac{1}{k^2}
    \Big| \sum_j q_j e^{-k^2 \sigma_j^2 / 2 + i k r_j} \Big|^2

(the first sum over aluminium and gold), to which repulsions and the bonds of gold are
added, pair by pair within 4 A. A dopant at the bottom of the slab, 8.5 A below Au2, acts on
it through the charges alone: aluminium replaces magnesium and gives charge to Au2, which
stands above an oxygen ("upright", non-wetting) or lies above two magnesiums ("flat").
"""

import math

import ase
import numpy as np
import torch
from ase.build import fcc100
from frames import assign_splits, write


COULOMB = 14.399645  # eV A / e^2
SPACING = 2.12  # A, between Mg and O
LAYERS = 4
HEIGHT = 36.0  # A, of the cell
CUTOFF = 4.0  # A, of all terms but the charges
K_MAX = 6.2  # 1/A; the narrowest densities are damped to 1e-8 there
# fixed charge or none, electronegativity (eV/e), hardness (eV/e^2), width (A)
IONS = {
    "Mg": (1.2, 0.0, 0.0, 0.7),
    "O": (-1.2, 0.0, 0.0, 0.7),
    "Al": (None, -24.0, 4.0, 0.7),
    "Au": (None, 6.0, 3.0, 1.0),
}
# Born-Mayer: a exp(-r / b); eV, A
REPULSION = {("Mg", "O"): (460.0, 0.30), ("Al", "O"): (460.0, 0.30)}
# Morse: d ((1 - exp(-a (r - r0)))^2 - 1); eV, 1/A, A
MORSE = {
    ("Au", "Au"): (2.2, 1.6, 2.5),
    ("Au", "O"): (0.6, 1.1, 2.5),
    ("Au", "Mg"): (0.15, 1.1, 2.9),
}
RATTLE = 0.05  # A, standard deviation of each coordinate
HEIGHTS = (1.7, 3.3)  # A, of the lowest gold above the surface
SCAN = np.arange(1.8, 3.2001, 0.05)
COUNTS = {"train": 75, "val": 12, "test": 25}  # for each of the four curves


class Energy:
    """Energy and forces of structures that share elements and cell."""

    def __init__(self, atoms: ase.Atoms) -> None:
        symbols = list(atoms.symbols)
        ions = [IONS[symbol] for symbol in symbols]
        columns = zip(*[(q or 0.0, *others) for q, *others in ions], strict=True)
        values = [torch.tensor(column, dtype=torch.float64) for column in columns]
        self.fixed, self.chi, self.hardness, self.width = values
        self.free = torch.tensor([i for i, ion in enumerate(ions) if ion[0] is None])
        self.cell = torch.tensor(atoms.cell[:])
        self.k_vectors = self._k_vectors()
        squares = self.k_vectors.square().sum(1)
        volume = float(torch.linalg.det(self.cell).abs())
        # twice, as each vector stands for its negative, too
        self.factors = 2 * 4 * math.pi * COULOMB / volume / squares
        self.damping = torch.exp(-squares[:, None] * self.width**2 / 2)  # [K, N]
        self.pairs = [
            (kind, torch.tensor(self._of(symbols, *pair)), constants)
            for kind, table in (("repulsion", REPULSION), ("morse", MORSE))
            for pair, constants in table.items()
        ]

    def _k_vectors(self) -> torch.Tensor:
        """Half of those within ``K_MAX``."""
        reciprocal = 2 * math.pi * torch.linalg.inv(self.cell).T
        limits = (K_MAX * torch.linalg.norm(self.cell, dim=1) / (2 * math.pi)).int() + 1
        axes = [torch.arange(-int(n), int(n) + 1, dtype=torch.float64) for n in limits]
        numbers = torch.cartesian_prod(*axes)
        order = numbers @ torch.tensor([1e6, 1e3, 1.0], dtype=torch.float64)
        vectors = numbers[order > 0] @ reciprocal
        return vectors[vectors.square().sum(1) < K_MAX**2]

    @staticmethod
    def _of(symbols: list[str], first: str, second: str) -> list[tuple[int, int]]:
        """Ordered pairs of two elements, each once."""
        places = range(len(symbols))
        return [
            (i, j)
            for i in places
            for j in places
            if symbols[i] == first and symbols[j] == second and (first != second or i < j)
        ] or [(0, 0)]

    def __call__(self, positions: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy (eV), forces (eV/A) and charges (e)."""
        place = torch.tensor(positions, requires_grad=True)
        interaction = self._interaction(place)  # [N, N]
        charges = self._charges(interaction.detach())
        own = self.chi * charges + 0.5 * self.hardness * charges**2
        energy = own.sum() + 0.5 * charges @ interaction @ charges + self._short(place)
        # the charges minimize the energy: their own change does not count
        (gradient,) = torch.autograd.grad(energy, place)
        return float(energy.detach()), -gradient.numpy(), charges.numpy()

    def _interaction(self, place: torch.Tensor) -> torch.Tensor:
        phases = self.k_vectors @ place.T
        waves = torch.cat([phases.cos() * self.damping, phases.sin() * self.damping])
        return waves.T @ (self.factors.repeat(2)[:, None] * waves)

    def _charges(self, interaction: torch.Tensor) -> torch.Tensor:
        """Those that are free follow from linear equations, their sum from the others."""
        free, count = self.free, len(self.free)
        matrix = torch.zeros(count + 1, count + 1, dtype=torch.float64)
        matrix[:count, :count] = interaction[free][:, free] + self.hardness[free].diag()
        matrix[count, :count] = matrix[:count, count] = 1.0
        potential = (interaction @ self.fixed)[free]
        right = torch.cat([-self.chi[free] - potential, -self.fixed.sum()[None]])
        charges = self.fixed.clone()
        charges[free] = torch.linalg.solve(matrix, right)[:count]
        return charges

    def _short(self, place: torch.Tensor) -> torch.Tensor:
        """Repulsions and bonds with the nearest image, times (1 - (r/CUTOFF)^2)^2."""
        total = place.new_zeros(())
        for kind, pairs, constants in self.pairs:
            vectors = place[pairs[:, 1]] - place[pairs[:, 0]]
            shifts = (vectors.detach() @ torch.linalg.inv(self.cell)).round()
            squares = (vectors - shifts @ self.cell).square().sum(1)
            near = (squares < CUTOFF**2) & (squares > 0)
            r = squares[near].sqrt()
            if kind == "repulsion":
                values = constants[0] * torch.exp(-r / constants[1])
            else:
                depth, a, r0 = constants
                values = depth * ((1 - torch.exp(-a * (r - r0))) ** 2 - 1)
            total = total + (values * (1 - (r / CUTOFF) ** 2) ** 2).sum()
        return total


def slab(is_doped: bool) -> ase.Atoms:
    """Slab of 72 ions; the dopant is in the lowest layer, below the center of the cell."""
    side = math.sqrt(2) * SPACING
    atoms = fcc100("Mg", (3, 3, LAYERS), a=2 * SPACING, vacuum=0.0)
    atoms.info.clear()  # sites of adsorption, which are of no use here
    oxygens = atoms.copy()
    oxygens.symbols[:] = "O"
    oxygens.positions += [side / 2, side / 2, 0.0]
    atoms += oxygens
    atoms.cell, atoms.pbc = [3 * side, 3 * side, HEIGHT], True
    atoms.wrap()
    atoms.positions[:, 2] += 5.0 - atoms.positions[:, 2].min()
    if is_doped:
        center = np.array([1.5 * side, 1.5 * side, 5.0])
        distances = np.linalg.norm(atoms.positions - center, axis=1)
        distances[[symbol != "Mg" for symbol in atoms.symbols]] = np.inf
        atoms.symbols[int(distances.argmin())] = "Al"
    return atoms


def with_gold(atoms: ase.Atoms, geometry: str, height: float) -> ase.Atoms:
    """Au2 at the center of the cell, its lowest atom so far above the highest layer."""
    top = atoms.positions[:, 2].max()
    layer = np.flatnonzero(atoms.positions[:, 2] > top - 0.1)
    center = np.array([atoms.cell[0, 0] / 2, atoms.cell[1, 1] / 2, top])
    below = "O" if geometry == "upright" else "Mg"
    sites = [i for i in layer if atoms.symbols[i] == below]
    sites.sort(key=lambda i: float(np.linalg.norm(atoms.positions[i] - center)))
    first = atoms.positions[sites[0]] + [0.0, 0.0, height]
    if geometry == "upright":
        second = first + [0.0, 0.0, MORSE["Au", "Au"][2]]
    else:
        along = atoms.positions[sites[1]] - atoms.positions[sites[0]]
        shift = along * MORSE["Au", "Au"][2] / np.linalg.norm(along)
        first, second = first + (along - shift) / 2, first + (along + shift) / 2
    return atoms + ase.Atoms("Au2", [first, second])


def labelled(atoms: ase.Atoms, model: Energy, **info: object) -> ase.Atoms:
    frame = atoms.copy()
    frame.info.update(info)
    frame.info["energy"], frame.arrays["forces"], charges = model(frame.positions)
    frame.info["charge_of_gold"] = float(charges[-2:].sum())
    return frame


def main() -> None:
    generator = np.random.default_rng(3)
    everything = []
    for geometry in ("upright", "flat"):
        for is_doped in (False, True):
            base = slab(is_doped)
            model = Energy(with_gold(base, geometry, 2.5))
            curve = f"{geometry}-{'doped' if is_doped else 'undoped'}"
            frames = []
            for height in generator.uniform(*HEIGHTS, size=sum(COUNTS.values())):
                frame = with_gold(base, geometry, height)
                frame.positions += RATTLE * generator.normal(size=(len(frame), 3))
                info = {"curve": curve, "distance": float(height)}
                frames.append(labelled(frame, model, **info))
            assign_splits(frames, COUNTS, generator)
            check(frames[0], model)
            scan = []
            for height in SCAN:
                info = {"curve": curve, "distance": float(height), "split": "scan"}
                scan.append(labelled(with_gold(base, geometry, height), model, **info))
            tell(curve, frames, scan)
            everything += frames + scan
    write("mgo_surface", everything)


def check(frame: ase.Atoms, model: Energy, step: float = 1e-4) -> None:
    """Forces on a gold and another atom against central differences."""
    for atom in (0, len(frame) - 1):
        energies = []
        for sign in (1, -1):
            positions = frame.positions.copy()
            positions[atom, 2] += sign * step
            energies.append(model(positions)[0])
        force = -(energies[0] - energies[1]) / (2 * step)
        assert abs(force - frame.arrays["forces"][atom, 2]) < 1e-5


def tell(curve: str, frames: list[ase.Atoms], scan: list[ase.Atoms]) -> None:
    energies = np.array([frame.info["energy"] for frame in scan])
    lowest = scan[int(energies.argmin())]
    forces = np.concatenate([frame.arrays["forces"] for frame in frames])
    charge = lowest.info["charge_of_gold"]
    print(
        f"{curve}: minimum {energies.min():.3f} eV at {lowest.info['distance']:.2f} A, "
        f"span {np.ptp(energies):.3f} eV, charge of Au2 {charge:.2f}, "
        f"root mean square force {np.sqrt(np.square(forces).mean()):.2f} eV/A",
        flush=True,
    )


if __name__ == "__main__":
    main()
