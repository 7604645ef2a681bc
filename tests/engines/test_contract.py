"""What MD engines rely on, tested without any engine: for a batch of 3D systems, slabs and
molecules, in the model as it is exported and as it is read from a file.

TorchScript runs the same operations for every kind of system and request: most statements
are tested for a file in double precision and for the batch of all kinds of systems.
Selections of atoms in the model itself, the interaction range and loading where this
package is missing are tested in `test_outputs.py` and `test_export.py`.
"""

from collections.abc import Callable

import pytest
import torch
from helpers.engine_tools import (
    CUTOFF,
    OPTIONS,
    Form,
    Results,
    block_of,
    evaluate,
    gradients,
    make_system,
    request,
)
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
from metatensor.torch import Labels
from metatomic.torch import System, load_atomistic_model


# metatomic warns about pairs without a graph: the model takes their indices only
pytestmark = pytest.mark.filterwarnings(
    "ignore:This system's positions or cell requires grad"
)
# Relative to the largest value. Energies of all electrons are most of the total energy:
# in float32, 1e-6 of it is all there is.
TOLERANCES = {torch.float32: 2e-4, torch.float64: 1e-11}
FORMS = ["eager", "file", "file in float32"]
MIXED = [crystal(), molecule(), slab(), single_atom(), distant_atoms()]
BATCHES: dict[str, list[Structure]] = {
    "3D": [skewed_crystal()],
    "slab": [slab()],
    "molecule": [molecule()],
    "mixed": MIXED,
}
# TorchScript wraps errors of Python, and keeps their message
REFUSALS = (ValueError, RuntimeError, torch.jit.Error)


@pytest.fixture(scope="module")
def forms(tmp_path_factory) -> dict[str, Form]:
    """The same model as engines may get it."""
    folder = tmp_path_factory.mktemp("forms")
    made: dict[str, Form] = {}
    for name, dtype in (("file in float32", torch.float32), ("file", torch.float64)):
        # Without all electrons, float32 would be too coarse to see anything
        model = fit(make_model(), atomic_baseline={"energy": 0.0}).to(dtype)
        exported = model.export()
        path = str(folder / f"{dtype}.pt")
        exported.save(path)
        made[name] = Form(load_atomistic_model(path), torch.float64, TOLERANCES[dtype])
    return {**made, "eager": Form(exported, torch.float64, TOLERANCES[torch.float64])}


@pytest.fixture(params=FORMS)
def form(request, forms) -> Form:
    return forms[request.param]


@pytest.fixture
def file(forms) -> Form:
    return forms["file"]


def assert_same(results: Results, expected: Results, form: Form) -> None:
    for value, reference in zip(results, expected, strict=True):
        scale = max(float(reference.abs().max()), 1.0)
        tolerance = form.tolerance * scale
        torch.testing.assert_close(
            value.double(), reference.double(), rtol=0, atol=tolerance
        )


# --- 1. interaction range and neighbor lists --------------------------------------------


def test_range_and_neighbor_lists(form):
    """An infinite range forbids domains, but never means infinite neighbor lists."""
    assert form.model.capabilities().interaction_range == float("inf")
    (requested,) = form.model.requested_neighbor_lists()
    assert requested.cutoff == CUTOFF
    assert requested.engine_cutoff("nm") == pytest.approx(CUTOFF / 10)
    assert requested.full_list
    assert requested.strict


# --- 2. selected atoms ------------------------------------------------------------------

EVERY = torch.tensor([(i, a) for i, s in enumerate(MIXED) for a in range(len(s.species))])
ORDER = torch.randperm(len(EVERY), generator=torch.Generator().manual_seed(0))
SELECTIONS = {
    "all": EVERY,
    "some": EVERY[::2],
    "none": EVERY[:0],
    "reordered": EVERY[ORDER],
    "some, reordered": EVERY[ORDER[::2]],
    "some, reordered, 64 bits": EVERY[ORDER[::2]].to(torch.int64),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_selected_atoms(file, name):
    """The slice of the full result, in the order of the selection."""
    rows = SELECTIONS[name]
    rows = rows if "64" in name else rows.to(torch.int32)
    selected = Labels(["system", "atom"], rows)
    full = block_of(file, MIXED, request("atom")).values
    part = block_of(file, MIXED, request("atom", selected))
    assert part.samples.values.tolist() == rows.tolist()
    positions = [EVERY.tolist().index(row) for row in rows.tolist()]
    tolerance = file.tolerance
    torch.testing.assert_close(part.values, full[positions], rtol=tolerance, atol=tolerance)
    total = block_of(file, MIXED, request("system", selected)).values.sum()
    torch.testing.assert_close(
        total, full[positions].sum(), rtol=tolerance, atol=10 * tolerance
    )


def test_selection_of_forces(file):
    """Forces of the energy of a few atoms act on all atoms: the rest is not cut off."""
    for structures in BATCHES.values():
        systems = [make_system(structure, file.dtype) for structure in structures]
        selected = Labels(["system", "atom"], torch.tensor([[0, 0]]))
        result = file.model(systems, request("system", selected), check_consistency=True)
        energy = result["energy"].block().values.sum()
        (forces,) = torch.autograd.grad(energy, [systems[0].positions])
        assert bool((forces.abs().sum(1) > 0).all())


# --- 3. energies per system and atom, conservative forces and stress --------------------


@pytest.mark.parametrize("batch", BATCHES)
def test_forms_agree(forms, form, batch):
    """Also in a batch: as the same model in float64, one system after the other."""
    structures = BATCHES[batch]
    parts = [evaluate(forms["eager"], [structure]) for structure in structures]
    expected = Results(*(torch.cat(values) for values in zip(*parts, strict=True)))
    assert_same(evaluate(form, structures), expected, form)


def test_atoms_sum_to_systems(form):
    atoms = block_of(form, MIXED, request("atom"))
    systems = block_of(form, MIXED, request("system")).values
    expected = torch.zeros_like(systems).index_add(
        0, atoms.samples.column("system").long(), atoms.values
    )
    tolerance = form.tolerance
    torch.testing.assert_close(systems, expected, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("batch", BATCHES)
def test_conservative(file, batch):
    """Forces and virials against central differences, along one random direction each."""
    structures, size = BATCHES[batch], 1e-5
    results = evaluate(file, structures)
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(results.forces.shape, generator=generator).double()
    strain = 0.3 * torch.randn(3, 3, generator=generator).double()
    counts = [len(structure.species) for structure in structures]
    differences = torch.zeros(2, dtype=torch.float64)
    for sign in (1, -1):
        moved = [
            s._replace(positions=s.positions + sign * size * d)
            for s, d in zip(structures, direction.split(counts), strict=True)
        ]
        matrix = torch.eye(3) + sign * size * strain
        strained = [transformed(structure, matrix.T) for structure in structures]
        for i, changed in enumerate((moved, strained)):
            differences[i] -= sign * evaluate(file, changed).energies.sum()
    expected = differences / (2 * size)
    works = [(results.forces * direction).sum(), (results.virials * strain).sum()]
    torch.testing.assert_close(torch.stack(works), expected, rtol=1e-6, atol=1e-6)


def test_no_other_forces(file):
    """An engine that finds non-conservative outputs may use them."""
    assert not any("non_conservative" in name for name in file.model.capabilities().outputs)


# --- 4. one file, both precisions, any device -------------------------------------------


def test_precision(form):
    assert f"torch.{form.model.capabilities().dtype}" == str(form.dtype)
    assert block_of(form, [molecule()], request()).values.dtype == form.dtype


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_other_device(file):
    expected = block_of(file, MIXED, request()).values
    systems = [make_system(structure, file.dtype).to("cuda") for structure in MIXED]
    model = file.model.to("cuda")
    try:
        results = model(systems, request(), check_consistency=True)["energy"].block()
        torch.testing.assert_close(results.values.cpu(), expected, rtol=1e-10, atol=1e-10)
    finally:
        model.to("cpu")


# --- 5. order of atoms and pairs, layout of tensors -------------------------------------


def test_order_of_pairs(form):
    """Grouped by neighbor instead of center, reversed, or in random order."""
    expected = evaluate(form, MIXED)
    generator = torch.Generator().manual_seed(1)
    changes: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda rows: rows.flip(0),
        lambda rows: rows[torch.argsort(rows[:, 1], stable=True)],
        lambda rows: rows[torch.randperm(len(rows), generator=generator)],
    ]
    for change in changes:
        assert_same(evaluate(form, MIXED, change_pairs=change), expected, form)


def test_order_of_atoms_and_systems(form):
    expected = evaluate(form, MIXED)
    generator = torch.Generator().manual_seed(2)
    counts = [len(structure.species) for structure in MIXED]
    orders = [torch.randperm(count, generator=generator) for count in counts]
    shuffled = [permuted(s, order) for s, order in zip(MIXED, orders, strict=True)]
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
def test_layout_of_tensors(file, integers):
    """Views into arrays of an engine, and integers of both sizes."""
    expected = evaluate(file, MIXED)
    systems = []
    for structure in MIXED:
        plain = make_system(
            structure, file.dtype, change_pairs=lambda rows: rows.to(integers)
        )
        positions = strided(plain.positions.detach()).requires_grad_()
        types = torch.stack([plain.types, plain.types], dim=1)[:, 0]
        assert positions.numel() <= 3 or not positions.is_contiguous()
        system = System(types, positions, strided(plain.cell.detach()), plain.pbc)
        system.add_neighbor_list(OPTIONS, plain.get_neighbor_list(OPTIONS))
        systems.append(system)
    results = gradients(file.model, systems, [])
    assert_same(results._replace(virials=expected.virials), expected, file)


def test_atoms_outside_of_the_cell(form):
    """Engines differ in when they wrap atoms back into the cell."""
    expected = evaluate(form, MIXED)
    moved = [shifted(structure) for structure in MIXED]
    # What a shift does to the virial is rounding only, times far larger positions
    results = evaluate(form, moved)._replace(virials=expected.virials)
    assert_same(results, expected, form)


def test_supercell(file):
    """More atoms and another grid in k-space for the same physics."""
    small = skewed_crystal()
    energy = evaluate(file, [small]).energies[0]
    large = evaluate(file, [repeated(small, (2, 1, 2))]).energies[0]
    torch.testing.assert_close(large, 4 * energy, rtol=1e-6, atol=1e-6)


# --- 6. nothing but species, positions and cell; units of engines ------------------------


def test_no_further_inputs(file):
    """Most engines cannot give charges, spins or fields."""
    assert file.model.requested_inputs(use_new_names=True) == {}


def test_units_of_engines(file):
    """Engines may work in other units, and say so."""
    structure = rattled(crystal(), seed=3)
    expected = block_of(file, [structure], request()).values
    system = make_system(structure, file.dtype, length_unit=10.0)  # nm
    options = request(length_unit="nm", unit="kJ/mol")
    # The values of its pairs are in nm, too: consistent, but not what is declared to the
    # neighbor list, so without check
    energy = file.model([system], options, check_consistency=False)["energy"].block().values
    torch.testing.assert_close(energy / 96.485332, expected, rtol=1e-7, atol=1e-7)


# --- 7. refusals, see `docs/engines.md`: our own words survive TorchScript ---------------


@pytest.mark.parametrize("name", ["eager", "file"])
def test_wire_is_refused(forms, name):
    wire = make_structure(
        [1, 8], [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[3.0, 0, 0]] * 3, (True, False, False)
    )
    message = "system 1 is periodic in one direction only; long-range interactions need"
    with pytest.raises(REFUSALS, match=message):
        block_of(forms[name], [molecule(), wire], request())


def test_unsupported_species_are_refused(file):
    cesium = molecule()._replace(species=torch.tensor([55, 1, 1]))
    message = "does not support the atomic type '55'"
    with pytest.raises(REFUSALS, match=message):
        block_of(file, [cesium], request())


def test_missing_neighbor_list_is_refused(file):
    system = make_system(crystal(), file.dtype)
    bare = System(system.types, system.positions, system.cell, system.pbc)
    message = r"No neighbor list for NeighborListOptions\(cutoff=4.000000"
    with pytest.raises(REFUSALS, match=message):
        file.model([bare], request(), check_consistency=False)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"length_unit": "parsec"}, "unknown unit 'parsec'"),
        ({"unit": "banana"}, "unknown unit 'banana'"),
        ({"unit": "Angstrom"}, "dimension mismatch"),
    ],
)
def test_wrong_units_are_refused(file, units, message):
    with pytest.raises(REFUSALS, match=message):
        block_of(file, [molecule()], request(**units))


def test_impossible_selection_is_refused(file):
    selected = Labels(["system", "atom"], torch.tensor([[0, 3]]))
    with pytest.raises(REFUSALS, match="invalid selected_atoms"):
        block_of(file, [molecule()], request("atom", selected))
