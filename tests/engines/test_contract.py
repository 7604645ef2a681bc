"""What MD engines rely on, tested without any engine: for 3D systems, slabs, molecules and
batches of all of them, in both precisions, eager, scripted and read from a file.

Selections of atoms in the model itself, the interaction range and loading where this
package is missing are tested in `test_model.py`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Optional

import pytest
import torch
from helpers.lorem_models import fit, make_model
from helpers.systems import (
    Structure,
    crystal,
    distant_atoms,
    make_structure,
    molecule,
    permuted,
    rattled,
    repeated,
    shifted,
    single_atom,
    skewed_crystal,
    slab,
    transformed,
)
from metatensor.torch import Labels, TensorBlock
from metatomic.torch import (
    ModelEvaluationOptions,
    ModelOutput,
    NeighborListOptions,
    System,
    load_atomistic_model,
)

from metatrain_lorem.coulomb.neighbors import neighbor_list


# metatomic warns about pairs without a graph: the model takes their indices only
pytestmark = pytest.mark.filterwarnings(
    "ignore:This system's positions or cell requires grad"
)
CUTOFF = 4.0  # of `make_model`
OPTIONS = NeighborListOptions(cutoff=CUTOFF, full_list=True, strict=True)
DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Relative to the largest value. Energies of all electrons are most of the total energy:
# in float32, 1e-6 of it is all there is.
TOLERANCES = {torch.float32: 2e-4, torch.float64: 1e-11}
FORMS = ["eager", "scripted", "reloaded"]
BATCHES: dict[str, list[Structure]] = {
    "3D": [skewed_crystal()],
    "slab": [slab()],
    "molecule": [molecule()],
    "mixed": [crystal(), molecule(), slab(), single_atom(), distant_atoms()],
}

# TorchScript wraps errors of Python, and keeps their message
REFUSALS = (ValueError, RuntimeError, torch.jit.Error)
Form = tuple[torch.nn.Module, torch.dtype]


class Results(NamedTuple):
    """Of a batch: energies ``[S]``, forces ``[N, 3]`` and virials ``[S, 3, 3]``."""

    energies: torch.Tensor
    forces: torch.Tensor
    virials: torch.Tensor


@pytest.fixture(scope="module")
def forms(tmp_path_factory) -> dict[tuple[str, str], Form]:
    """The same model as engines may get it."""
    folder: Path = tmp_path_factory.mktemp("forms")
    made: dict[tuple[str, str], Form] = {}
    for name, dtype in DTYPES.items():
        # Without all electrons, float32 would be too coarse to see anything
        model = fit(make_model(), atomic_baseline={"energy": 0.0}).to(dtype)
        exported = model.export()
        path = str(folder / f"{name}.pt")
        exported.save(path)
        made["eager", name] = (exported, dtype)
        made["scripted", name] = (torch.jit.script(exported), dtype)
        made["reloaded", name] = (load_atomistic_model(path), dtype)
    return made


@pytest.fixture(params=FORMS)
def form_name(request) -> str:
    return request.param


@pytest.fixture(params=DTYPES)
def form(request, forms, form_name) -> Form:
    return forms[form_name, request.param]


@pytest.fixture(params=BATCHES)
def batch(request) -> list[Structure]:
    return BATCHES[request.param]


def make_system(
    structure: Structure,
    dtype: torch.dtype,
    strain: torch.Tensor | None = None,
    change_pairs: Callable[[torch.Tensor], torch.Tensor] = lambda pairs: pairs,
    length_unit: float = 1.0,
) -> System:
    """As an engine makes it: positions that require gradients, pairs with vectors.

    :param strain: multiplies positions and lattice vectors
    :param change_pairs: function of rows ``(i, j, shifts)`` that does not change the set
    :param length_unit: in Angstrom
    """
    pairs = neighbor_list(structure.positions, structure.cell, structure.pbc, CUTOFF)
    centers, neighbors, shifts = pairs
    rows = change_pairs(torch.cat([centers[:, None], neighbors[:, None], shifts], dim=1))
    if strain is None:
        strain = torch.eye(3, dtype=dtype)
    leaf = (structure.positions / length_unit).to(dtype).requires_grad_()
    positions = leaf @ strain
    positions.retain_grad()
    cell = (structure.cell / length_unit).to(dtype) @ strain
    system = System(structure.species.int(), positions, cell, structure.pbc)
    with torch.no_grad():
        first, second = rows[:, 0].long(), rows[:, 1].long()
        vectors = positions[second] - positions[first] + rows[:, 2:].to(dtype) @ cell
    names = ["first_atom", "second_atom", "cell_shift_a", "cell_shift_b", "cell_shift_c"]
    block = TensorBlock(
        values=vectors.unsqueeze(2),
        samples=Labels(names, rows),
        components=[Labels("xyz", torch.arange(3).unsqueeze(1))],
        properties=Labels("distance", torch.zeros(1, 1, dtype=torch.int64)),
    )
    system.add_neighbor_list(OPTIONS, block)
    return system


def request(
    sample_kind: str = "system",
    selected: Optional[Labels] = None,
    length_unit: str = "Angstrom",
    unit: str = "eV",
) -> ModelEvaluationOptions:
    outputs = {"energy": ModelOutput(unit=unit, sample_kind=sample_kind)}
    return ModelEvaluationOptions(length_unit, outputs, selected)


def block_of(
    form: Form, structures: list[Structure], options: ModelEvaluationOptions
) -> TensorBlock:
    systems = [make_system(structure, form[1]) for structure in structures]
    return form[0](systems, options, check_consistency=True)["energy"].block()


def evaluate(form: Form, structures: list[Structure], **changes) -> Results:
    model, dtype = form
    strains = [torch.eye(3, dtype=dtype, requires_grad=True) for _ in structures]
    systems = [
        make_system(structure, dtype, strain, **changes)
        for structure, strain in zip(structures, strains, strict=True)
    ]
    return gradients(model, systems, strains)


def gradients(
    model: torch.nn.Module, systems: list[System], strains: list[torch.Tensor]
) -> Results:
    result = model(systems, request(), check_consistency=False)["energy"].block()
    energies = result.values.flatten()
    inputs = [system.positions for system in systems] + strains
    derivatives = torch.autograd.grad(energies.sum(), inputs)
    forces, virials = derivatives[: len(systems)], list(derivatives[len(systems) :])
    virials = torch.stack(virials) if strains else torch.zeros(0, 3, 3)
    return Results(energies.detach(), -torch.cat(forces), -virials)


def assert_same(results: Results, expected: Results, form: Form) -> None:
    for value, reference in zip(results, expected, strict=True):
        scale = max(float(reference.abs().max()), 1.0)
        tolerance = TOLERANCES[form[1]] * scale
        torch.testing.assert_close(
            value.double(), reference.double(), rtol=0, atol=tolerance
        )


# --- 1. interaction range and neighbor lists --------------------------------------------


def test_range_and_neighbor_lists(form):
    """An infinite range forbids domains, but never means infinite neighbor lists."""
    model = form[0]
    assert model.capabilities().interaction_range == float("inf")
    (requested,) = model.requested_neighbor_lists()
    assert requested.cutoff == CUTOFF
    assert requested.engine_cutoff("nm") == pytest.approx(CUTOFF / 10)
    assert requested.full_list
    assert requested.strict


# --- 2. selected atoms ------------------------------------------------------------------


def selections(structures: list[Structure]) -> dict[str, torch.Tensor]:
    """Rows ``(system, atom)``."""
    every = torch.tensor(
        [(i, atom) for i, s in enumerate(structures) for atom in range(len(s.species))]
    )
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(every), generator=generator)
    return {
        "all": every,
        "some": every[::2],
        "none": every[:0],
        "reordered": every[order],
        "some, reordered": every[order[::2]],
    }


@pytest.mark.parametrize("name", selections(BATCHES["mixed"]))
@pytest.mark.parametrize("integers", [torch.int32, torch.int64])
def test_selected_atoms(form, batch, name, integers):
    """The slice of the full result, in the order of the selection."""
    rows = selections(batch)[name]
    every = selections(batch)["all"].tolist()
    selected = Labels(["system", "atom"], rows.to(integers))
    full = block_of(form, batch, request("atom")).values
    part = block_of(form, batch, request("atom", selected))
    assert part.samples.values.tolist() == rows.tolist()
    positions = [every.index(row) for row in rows.tolist()]
    tolerance = TOLERANCES[form[1]]
    torch.testing.assert_close(part.values, full[positions], rtol=tolerance, atol=tolerance)
    total = block_of(form, batch, request("system", selected)).values.sum()
    torch.testing.assert_close(
        total, full[positions].sum(), rtol=tolerance, atol=10 * tolerance
    )


def test_selection_of_forces(form, batch):
    """Forces of the energy of a few atoms act on all atoms: the rest is not cut off."""
    model, dtype = form
    systems = [make_system(structure, dtype) for structure in batch]
    selected = Labels(["system", "atom"], torch.tensor([[0, 0]]))
    result = model(systems, request("system", selected), check_consistency=True)
    energy = result["energy"].block().values.sum()
    (forces,) = torch.autograd.grad(energy, [systems[0].positions])
    assert bool((forces.abs().sum(1) > 0).all())


# --- 3. energies per system and atom, conservative forces and stress --------------------


def test_forms_agree(forms, form, batch):
    """Also in a batch: as the same model in float64, one system after the other."""
    reference = forms["eager", "float64"]
    parts = [evaluate(reference, [structure]) for structure in batch]
    expected = Results(*(torch.cat(values) for values in zip(*parts, strict=True)))
    assert_same(evaluate(form, batch), expected, form)


def test_atoms_sum_to_systems(form, batch):
    atoms = block_of(form, batch, request("atom"))
    systems = block_of(form, batch, request("system")).values
    expected = torch.zeros_like(systems).index_add(
        0, atoms.samples.column("system").long(), atoms.values
    )
    tolerance = TOLERANCES[form[1]]
    torch.testing.assert_close(systems, expected, rtol=tolerance, atol=10 * tolerance)


def test_conservative(forms, form_name, batch):
    """Forces and virials against central differences, along one random direction each."""
    form = forms[form_name, "float64"]
    size = 1e-5
    results = evaluate(form, batch)
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(results.forces.shape, generator=generator).double()
    strain = 0.3 * torch.randn(3, 3, generator=generator).double()
    counts = [len(structure.species) for structure in batch]
    differences = torch.zeros(2, dtype=torch.float64)
    for sign in (1, -1):
        moved = [
            s._replace(positions=s.positions + sign * size * d)
            for s, d in zip(batch, direction.split(counts), strict=True)
        ]
        matrix = torch.eye(3) + sign * size * strain
        strained = [transformed(structure, matrix.T) for structure in batch]
        for i, structures in enumerate((moved, strained)):
            differences[i] -= sign * evaluate(form, structures).energies.sum()
    expected = differences / (2 * size)
    works = [(results.forces * direction).sum(), (results.virials * strain).sum()]
    torch.testing.assert_close(torch.stack(works), expected, rtol=1e-6, atol=1e-6)


def test_no_other_forces(form):
    """An engine that finds non-conservative outputs may use them."""
    assert not any("non_conservative" in name for name in form[0].capabilities().outputs)


# --- 4. one file, both precisions, any device -------------------------------------------


def test_precision(form):
    model, dtype = form
    assert DTYPES[model.capabilities().dtype] == dtype
    assert block_of(form, [molecule()], request()).values.dtype == dtype


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_other_device(forms, batch):
    form = forms["reloaded", "float64"]
    expected = block_of(form, batch, request()).values
    systems = [make_system(structure, form[1]).to("cuda") for structure in batch]
    model = form[0].to("cuda")
    try:
        results = model(systems, request(), check_consistency=True)["energy"].block()
        torch.testing.assert_close(results.values.cpu(), expected, rtol=1e-10, atol=1e-10)
    finally:
        model.to("cpu")


# --- 5. order of atoms and pairs, layout of tensors -------------------------------------


def test_order_of_pairs(form, batch):
    """Grouped by neighbor instead of center, reversed, or in random order."""
    expected = evaluate(form, batch)
    generator = torch.Generator().manual_seed(1)
    changes: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda rows: rows.flip(0),
        lambda rows: rows[torch.argsort(rows[:, 1], stable=True)],
        lambda rows: rows[torch.randperm(len(rows), generator=generator)],
    ]
    for change in changes:
        assert_same(evaluate(form, batch, change_pairs=change), expected, form)


def test_order_of_atoms_and_systems(form, batch):
    expected = evaluate(form, batch)
    generator = torch.Generator().manual_seed(2)
    counts = [len(structure.species) for structure in batch]
    orders = [torch.randperm(count, generator=generator) for count in counts]
    shuffled = [permuted(s, order) for s, order in zip(batch, orders, strict=True)]
    results = evaluate(form, shuffled[::-1])
    forces = results.forces.split(counts[::-1])[::-1]
    inverse = [f[torch.argsort(order)] for f, order in zip(forces, orders, strict=True)]
    results = Results(results.energies.flip(0), torch.cat(inverse), results.virials.flip(0))
    assert_same(results, expected, form)


def strided(tensor: torch.Tensor) -> torch.Tensor:
    """The same values with gaps between all of them, in Fortran's order."""
    wide = torch.full((2 * tensor.shape[1], 3 * tensor.shape[0]), 1e6, dtype=tensor.dtype)
    view = wide[::2, ::3].T
    view.copy_(tensor)
    return view


@pytest.mark.parametrize("integers", [torch.int32, torch.int64])
def test_layout_of_tensors(form, batch, integers):
    """Views into arrays of an engine, and integers of both sizes."""
    model, dtype = form
    expected = evaluate(form, batch)
    systems = []
    for structure in batch:
        plain = make_system(structure, dtype, change_pairs=lambda rows: rows.to(integers))
        positions = strided(plain.positions.detach()).requires_grad_()
        types = torch.stack([plain.types, plain.types], dim=1)[:, 0]
        assert positions.numel() <= 3 or not positions.is_contiguous()
        system = System(types, positions, strided(plain.cell.detach()), plain.pbc)
        system.add_neighbor_list(OPTIONS, plain.get_neighbor_list(OPTIONS))
        systems.append(system)
    results = gradients(model, systems, [])
    energies_and_forces = Results(*results[:2], expected.virials)
    assert_same(energies_and_forces, expected, form)


def test_atoms_outside_of_the_cell(form, batch):
    """Engines differ in when they wrap atoms back into the cell."""
    expected = evaluate(form, batch)
    moved = [shifted(structure) for structure in batch]
    # What a shift does to the virial is rounding only, times far larger positions
    results = evaluate(form, moved)._replace(virials=expected.virials)
    assert_same(results, expected, form)


def test_supercell(forms, form_name):
    """More atoms and another grid in k-space for the same physics."""
    form = forms[form_name, "float64"]
    small = skewed_crystal()
    energy = evaluate(form, [small]).energies[0]
    repeats = (2, 1, 2)
    large = evaluate(form, [repeated(small, repeats)]).energies[0]
    torch.testing.assert_close(large, 4 * energy, rtol=1e-6, atol=1e-6)


# --- 6. nothing but species, positions and cell -----------------------------------------


def test_no_further_inputs(form):
    """Most engines cannot give charges, spins or fields."""
    assert form[0].requested_inputs(use_new_names=True) == {}


# --- 7. refusals, see `docs/engines.md` --------------------------------------------------


def test_wire_is_refused(form):
    wire = make_structure(
        [1, 8], [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[3.0, 0, 0]] * 3, (True, False, False)
    )
    message = "system 1 is periodic in one direction only; long-range interactions need"
    with pytest.raises(REFUSALS, match=message):
        block_of(form, [molecule(), wire], request())


def test_unsupported_species_are_refused(form):
    cesium = molecule()._replace(species=torch.tensor([55, 1, 1]))
    message = "does not support the atomic type '55'"
    with pytest.raises(REFUSALS, match=message):
        block_of(form, [cesium], request())


def test_missing_neighbor_list_is_refused(form):
    model, dtype = form
    system = make_system(crystal(), dtype)
    bare = System(system.types, system.positions, system.cell, system.pbc)
    message = r"No neighbor list for NeighborListOptions\(cutoff=4.000000"
    with pytest.raises(REFUSALS, match=message):
        model([bare], request(), check_consistency=False)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"length_unit": "parsec"}, "unknown unit 'parsec'"),
        ({"unit": "banana"}, "unknown unit 'banana'"),
        ({"unit": "Angstrom"}, "dimension mismatch"),
    ],
)
def test_wrong_units_are_refused(form, units, message):
    with pytest.raises(REFUSALS, match=message):
        block_of(form, [molecule()], request(**units))


def test_impossible_selection_is_refused(form):
    selected = Labels(["system", "atom"], torch.tensor([[0, 3]]))
    with pytest.raises(REFUSALS, match="invalid selected_atoms"):
        block_of(form, [molecule()], request("atom", selected))


def test_units_of_engines(forms, form_name):
    """Engines may work in other units, and say so."""
    form = forms[form_name, "float64"]
    structure = rattled(crystal(), seed=3)
    expected = block_of(form, [structure], request()).values
    system = make_system(structure, form[1], length_unit=10.0)  # nm
    options = request(length_unit="nm", unit="kJ/mol")
    # The values of its pairs are in nm, too: consistent, but not what is declared to the
    # neighbor list, so without check
    energy = form[0]([system], options, check_consistency=False)["energy"].block().values
    torch.testing.assert_close(energy / 96.485332, expected, rtol=1e-7, atol=1e-7)
