"""Checkpoints are read as data; what is wrong with them is named."""

import copy
import pickle
import re
import zipfile

import pytest
import torch
from helpers.evil import Evil
from helpers.lorem_models import energies_of, fit, make_model
from helpers.systems import molecule

from metatrain_lorem.checkpoint_files import VERSIONS, read_checkpoint, read_model


@pytest.fixture(scope="module")
def model():
    return fit(make_model())


@pytest.fixture(scope="module")
def content(model):
    return model.get_checkpoint()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.ckpt"


def test_same_model(model, content, path):
    torch.save(content, path)
    loaded = read_model(path).eval()
    assert torch.equal(energies_of(loaded, molecule()), energies_of(model, molecule()))


@pytest.mark.parametrize("where", ["beside", "inside", "alone", "plain pickle"])
def test_nothing_is_executed(where, content, path, tmp_path):
    """Each of these files makes a folder if it is loaded carelessly."""
    evil = Evil(tmp_path / "witness")
    if where == "beside":
        torch.save({**content, "x": evil}, path)
    elif where == "inside":
        data = {**content["model_data"], "model_hypers": evil}
        torch.save({**content, "model_data": data}, path)
    elif where == "alone":
        torch.save(evil, path)
    else:
        path.write_bytes(pickle.dumps(evil))
    with pytest.raises(ValueError, match="'.*model.ckpt'"):
        read_checkpoint(path)
    assert not (tmp_path / "witness").exists()
    if where in ("beside", "inside"):  # the test of the test
        torch.load(path, weights_only=False)
        assert (tmp_path / "witness").exists()


def test_the_culprit_is_named(content, path, tmp_path):
    torch.save({**content, "x": Evil(tmp_path / "witness")}, path)
    with pytest.raises(
        ValueError, match="asks for '(posix|nt).mkdir', which no checkpoint"
    ):
        read_checkpoint(path)


def damaged(kind: str, data: bytes) -> bytes:
    return {
        "empty": b"",
        "text": b"seed: 1\n",
        "half": data[: len(data) // 2],
        "start": data[:100],
        "end": data[-100:],
        "zeros": bytes(len(data)),
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "text", "half", "start", "end", "zeros"])
def test_damaged_files(kind, content, path):
    torch.save(content, path)
    path.write_bytes(damaged(kind, path.read_bytes()))
    with pytest.raises(ValueError, match="'.*model.ckpt' is damaged, or no checkpoint"):
        read_checkpoint(path)


def test_damaged_weights_in_a_file(content, path):
    """A byte of one tensor is another one: its checksum tells."""
    torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        info = max(archive.infolist(), key=lambda i: i.file_size)
    data = bytearray(path.read_bytes())
    data[info.header_offset + info.file_size // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is damaged, .* .checksum of model/data"):
        read_model(path)


def without(*keys):
    def change(content):
        for key in keys:
            del content[key]

    return change


def setting(key, value):
    return lambda content: content.update({key: value})


def weight(change):
    def apply(content):
        state = content["best_model_state_dict"] = dict(content["best_model_state_dict"])
        change(state)

    return apply


def hyper(key, value):
    return lambda content: content["model_data"]["model_hypers"].update({key: value})


LAYER = "network.species.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("architecture_name"), "is not a checkpoint of metatrain"),
        (setting("architecture_name", 3), "is not a checkpoint of metatrain"),
        (setting("architecture_name", "pet"), "is a checkpoint of 'pet', not of LOREM"),
        (without("model_data"), "is damaged: it lacks model_data"),
        (without("model_state_dict", "best_model_state_dict"), "model_state_dict, best"),
        (setting("model_ckpt_version", 99), "later version .*model version 99, .*upgrade"),
        (setting("model_ckpt_version", "x"), "later version of metatrain-lorem"),
        (setting("trainer_ckpt_version", 99), "later .*trainer version 99, .*reads up to"),
        (weight(lambda s: s.pop(LAYER)), "is damaged .KeyError: 'network.species"),
        (weight(lambda s: s.update(x=torch.ones(1))), "do not fit: .*Unexpected key"),
        (weight(lambda s: s.update({LAYER: torch.ones(2, 2)})), "fit: .*size mismatch"),
        (weight(lambda s: s.update({LAYER: s[LAYER] * float("nan")})), "are not finite"),
        (hyper("num_features", 3), "do not fit: .*size mismatch"),
        (hyper("num_features", -3), "damaged .*'num_features' is -3"),
        (hyper("unknown", 1), "damaged .*unknown hyper-parameter 'unknown'"),
    ],
)
def test_wrong_content(change, words, content, path):
    state = content["model_state_dict"]
    wrong = copy.deepcopy({k: v for k, v in content.items() if v is not state})
    wrong["model_state_dict"], wrong["best_model_state_dict"] = dict(state), dict(state)
    change(wrong)
    torch.save(wrong, path)
    with pytest.raises(ValueError, match="'.*model.ckpt'") as error:
        read_model(path)
    assert re.search(words, str(error.value))


def test_no_such_file(path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint '.*model.ckpt'"):
        read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        read_checkpoint(path.parent)


@pytest.mark.parametrize("content", [[], 3, {}, {"a": torch.ones(2)}], ids=str)
def test_other_content(content, path):
    torch.save(content, path)
    with pytest.raises(ValueError, match="is not a checkpoint of metatrain"):
        read_checkpoint(path)


def test_versions():
    assert set(VERSIONS) == {"model", "trainer"}
