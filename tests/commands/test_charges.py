"""``mtt-lorem charges``: page and plot of the charges that atoms exchange."""

import shutil
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from helpers.lorem_models import make_model
from helpers.systems import crystal, molecule

from metatrain_lorem.cli import main
from metatrain_lorem.commands import charges
from metatrain_lorem.commands.charges_page import vectors_of
from metatrain_lorem.commands.charges_plot import plot_charges


BROWSER = next(filter(None, map(shutil.which, ["chromium", "google-chrome"])), None)


def to_ase(structure):
    return ase.Atoms(
        structure.species.numpy(),
        structure.positions.numpy(),
        cell=structure.cell.numpy(),
        pbc=structure.pbc.numpy(),
    )


FRAMES = [to_ase(molecule()), to_ase(crystal())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, one without long range, and structures."""
    path = tmp_path_factory.mktemp("charges")
    make_model().export().save(str(path / "model.pt"))
    make_model(long_range={"enable": False}).export().save(str(path / "short.pt"))
    ase.io.write(path / "two.xyz", FRAMES)
    return path


def test_vectors_rotate(folder):
    """Those of degree 1 are vectors, with x, y and z in place; the scalar stays."""
    pytest.importorskip("scipy")
    from scipy.spatial.transform import Rotation

    matrix = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    rotated = FRAMES[0].copy()
    rotated.positions = rotated.positions @ matrix.T
    values = charges._charges(str(folder / "model.pt"), [FRAMES[0], rotated])
    first, second = vectors_of(values)
    np.testing.assert_allclose(second, first @ matrix.T, atol=1e-12)
    assert np.abs(first).max() > 1e-4
    np.testing.assert_allclose(values[0][:, 0], values[1][:, 0], atol=1e-12)


def test_plot():
    pytest.importorskip("matplotlib")
    values = [np.random.RandomState(0).randn(len(atoms), 10) for atoms in FRAMES]
    figure = plot_charges(FRAMES, values, "title")
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert labels == ["H", "O", "Na", "Cl"]
    heights = [sum(bar.get_height() for bar in axis.patches) for axis in figure.axes]
    assert heights == [2, 1, 4, 4]  # each atom once


def test_errors(folder, tmp_path, capsys, monkeypatch):
    model, frames = str(folder / "model.pt"), str(folder / "two.xyz")
    page = str(tmp_path / "page.html")
    FRAMES[0].copy().write(tmp_path / "gold.xyz")
    text = (tmp_path / "gold.xyz").read_text().replace("O ", "Au ")
    (tmp_path / "gold.xyz").write_text(text)
    left = FRAMES[0].copy()
    left.positions[1, :2] = 6000.0  # where the neighbor list would end Python
    left.write(tmp_path / "left.xyz")
    (tmp_path / "there.svg").write_text("mine")
    there = str(tmp_path / "there.html")
    for arguments, message in [
        ([str(tmp_path / "no.pt"), frames, "-o", page], "there is no model"),
        ([frames, frames, "-o", page], "no exported model"),
        ([model, str(tmp_path / "no.xyz"), "-o", page], "there is no structure file"),
        ([model, frames, "-o", page, "--index", "9"], "has no frame '9'"),
        ([model, frames, "-o", page, "--index", "9:"], "has no frame '9:'"),
        ([model, str(tmp_path / "gold.xyz"), "-o", page], "does not know Au of frame 0"),
        ([model, str(tmp_path / "left.xyz"), "-o", page], "too wide and too thin"),
        ([str(folder / "short.pt"), frames, "-o", page], "has no charges"),
        ([model, frames, "-o", str(tmp_path / "page")], "has to end with '.html'"),
        ([model, frames, "-o", there], "there.svg' is there"),
    ]:
        with pytest.raises(SystemExit) as end:
            main(["charges", *arguments])
        assert end.value.code == 1
        assert message in capsys.readouterr().err
    for missing in ("chemiscope", "matplotlib.figure"):
        if missing != "chemiscope":
            pytest.importorskip("chemiscope")
        with monkeypatch.context() as context:
            context.setitem(sys.modules, missing, None)
            with pytest.raises(SystemExit):
                main(["charges", model, frames, "-o", page])
        assert "pip install 'metatrain-lorem[charges]'" in capsys.readouterr().err
    assert (tmp_path / "there.svg").read_text() == "mine"
    assert not (tmp_path / "page.html").exists()


@pytest.fixture
def page(folder, tmp_path, capsys):
    pytest.importorskip("chemiscope")
    pytest.importorskip("matplotlib")
    path = tmp_path / "page.html"
    path.write_text("old")
    paths = [str(folder / "model.pt"), str(folder / "two.xyz")]
    main(["charges", *paths, "-o", str(path), "--force"])
    plot = path.with_suffix(".svg")
    assert capsys.readouterr().out == f"Wrote '{path}' and '{plot}'\n"
    assert "<svg" in plot.read_text()
    return path


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_page_in_browser(page):
    """It opens without a network, and a picture has the colors of the charges."""
    image = page.with_name("page.png")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]
    options += ["--virtual-time-budget=20000", "--window-size=1200,900"]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND"]
    command = [BROWSER, *options, f"--screenshot={image}", page.as_uri()]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    pixels = pytest.importorskip("matplotlib.image").imread(image)[..., :3]
    right = pixels[200:550, 650:1100].reshape(-1, 3)  # the structure, not the map
    colored = right[np.ptp(right, axis=1) > 0.3]
    assert len(colored) > 500
