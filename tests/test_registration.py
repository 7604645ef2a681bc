"""metatrain finds LOREM, and installing LOREM never touches a file of metatrain."""

import hashlib
import importlib.metadata
import os
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path, PurePosixPath

import hatchling.build
import pytest
from metatrain.utils.architectures import (
    find_all_architectures,
    get_default_hypers,
    get_hypers_classes,
    import_architecture,
)

import metatrain_lorem.documentation
from metatrain_lorem.model import LOREM
from metatrain_lorem.trainer import Trainer


ROOT = Path(__file__).parents[1]
SHIM = PurePosixPath("metatrain/metatrain_lorem")
SHIM_FILES = {"__init__.py", "documentation.py"}
NAME = "metatrain_lorem"


def files_of(distribution: str) -> set[PurePosixPath]:
    """Files of an installed distribution, relative to ``site-packages``."""
    files = importlib.metadata.files(distribution)
    assert files is not None, f"{distribution} was installed without a RECORD"
    return {PurePosixPath(file) for file in files if "__pycache__" not in file.parts}


def test_no_file_is_shared_with_metatrain():
    ours = files_of("metatrain-lorem")
    theirs = files_of("metatrain")
    assert PurePosixPath("metatrain/__init__.py") in theirs
    assert not [file for file in theirs if file.is_relative_to(SHIM)]
    # Folder by folder: ours inside `metatrain/` are exactly those of the shim
    inside = {file for file in ours if file.parts[0] == "metatrain"}
    assert inside == {SHIM / name for name in SHIM_FILES}


def test_installed_shim_is_current():
    """The shim is a copy, also in editable installs: reinstall after editing it."""
    overlay = ROOT / "overlay" / SHIM
    installed = importlib.metadata.distribution("metatrain-lorem").locate_file(SHIM)
    assert {file.name for file in overlay.glob("*.py")} == SHIM_FILES
    for name in SHIM_FILES:
        assert (overlay / name).read_text() == Path(installed, name).read_text()


def test_found():
    assert NAME in find_all_architectures()


def test_import():
    architecture = import_architecture(NAME)
    assert architecture.__model__ is LOREM
    assert architecture.__trainer__ is Trainer
    for people in (architecture.__authors__, architecture.__maintainers__):
        assert all(len(person) == 2 for person in people)


def test_hypers():
    classes = get_hypers_classes(NAME)
    assert classes["model"] is metatrain_lorem.documentation.ModelHypers
    assert classes["trainer"] is metatrain_lorem.documentation.TrainerHypers
    hypers = get_default_hypers(NAME)
    assert hypers["name"] == NAME
    assert hypers["model"]
    assert hypers["training"]


class Environment:
    """Virtual environment with its own copy of metatrain.

    Everything else comes from the environment that runs the tests, so nothing is
    downloaded.
    """

    def __init__(self, folder: Path):
        venv.create(folder, with_pip=False)
        self.python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
        purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.site = Path(self.run("-c", purelib))
        # Looked up after `self.site`, and its own `.pth` files are not read: neither
        # metatrain nor an editable metatrain-lorem is taken from there.
        dependencies = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
        (self.site / "dependencies.pth").write_text("\n".join(dependencies))

    def run(self, *args: str | Path) -> str:
        """Run the environment's Python and return what it prints."""
        command = [str(self.python), *map(str, args)]
        others = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        result = subprocess.run(command, capture_output=True, text=True, env=others)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout.strip()

    def pip(self, *args: str | Path) -> str:
        """Run this environment's pip without any network."""
        return self.run("-m", "pip", "--disable-pip-version-check", *args)

    def install(self, wheel: Path) -> None:
        options = ["--no-index", "--no-deps", "--no-compile", "--force-reinstall"]
        self.pip("install", *options, wheel)

    def uninstall(self) -> None:
        self.pip("uninstall", "--yes", "metatrain-lorem")

    def origin(self) -> Path:
        """Folder of the package which metatrain finds under LOREM's name."""
        lines = [
            "from pathlib import Path",
            "import metatrain.utils.architectures as architectures",
            "import metatrain_lorem",
            f"assert {NAME!r} in architectures.find_all_architectures()",
            f"model = architectures.import_architecture({NAME!r}).__model__",
            "assert model.__module__ == 'metatrain_lorem.model'",
            "print(Path(metatrain_lorem.__file__).parent)",
        ]
        return Path(self.run("-c", "\n".join(lines)))

    def hashes(self) -> dict[str, str]:
        """Checksum of each file in metatrain's folder except for compiled ones."""
        return {
            file.relative_to(self.site).as_posix(): hashlib.sha256(
                file.read_bytes()
            ).hexdigest()
            for file in sorted((self.site / "metatrain").rglob("*"))
            if file.is_file() and "__pycache__" not in file.parts
        }


@pytest.fixture(scope="module")
def metatrain_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of metatrain, packed again from the installed files."""
    distribution = importlib.metadata.distribution("metatrain")
    name = f"metatrain-{distribution.version}-py3-none-any.whl"
    wheel = tmp_path_factory.mktemp("metatrain") / name
    # Written by pip while installing
    written = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"}
    info = f"metatrain-{distribution.version}.dist-info"
    files = [
        file
        for file in files_of("metatrain")
        if ".." not in file.parts and file.name not in written
    ]
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in files:
            archive.write(Path(distribution.locate_file(file)), file.as_posix())
        rows = [f"{file},," for file in [*files, f"{info}/RECORD"]]
        archive.writestr(f"{info}/RECORD", "\n".join(rows) + "\n")
    return wheel


@pytest.fixture(scope="module")
def environment(metatrain_wheel, tmp_path_factory) -> Environment:
    """With metatrain, without metatrain-lorem."""
    environment = Environment(tmp_path_factory.mktemp("environment"))
    environment.install(metatrain_wheel)
    return environment


@pytest.mark.slow
@pytest.mark.parametrize(
    "build", ["build_wheel", pytest.param("build_editable", marks=pytest.mark.soak)]
)
def test_install_and_uninstall(build, environment, metatrain_wheel, tmp_path, monkeypatch):
    """metatrain stays as it was, whatever is installed or removed first."""
    monkeypatch.chdir(ROOT)
    wheel = tmp_path / getattr(hatchling.build, build)(str(tmp_path))  # as pip does
    before = environment.hashes()
    assert "metatrain/__init__.py" in before

    environment.install(wheel)
    with_shim = environment.hashes()
    shim = {f"{SHIM}/{name}" for name in SHIM_FILES}
    assert with_shim.keys() - before.keys() == shim
    expected = environment.site if build == "build_wheel" else ROOT / "src"
    assert environment.origin() == expected / "metatrain_lorem"

    # Another version of metatrain, or the same again, leaves the shim where it is
    environment.install(metatrain_wheel)
    assert environment.hashes() == with_shim

    environment.uninstall()
    assert environment.hashes() == before
    assert not (environment.site / SHIM).exists()
