"""Names of structures."""

import yaml
from helpers.tiny_runs import data
from torch.utils.data import Subset

from metatrain_lorem.training.frames import OPTIONS_FILE, Frames, name_frames, read_options


def section(*files: str) -> list:
    return [{"systems": {"read_from": file}} for file in files]


def test_names():
    frames = Frames(Subset(data(0, 1, 2), [2, 0, 1]), "training set", "a.xyz")
    assert frames.name(0) == "frame 2 (from 0) of 'a.xyz'"
    assert Frames(data(0), "training set").name(0) == "frame 0 (from 0) of the training set"
    assert len(frames) == 3


def test_files_of_several_sets():
    sets = [data(0), data(1)]
    named = name_frames(sets, "training set", section("a.xyz", "b.xyz"))
    assert [one.source for one in named] == ["a.xyz", "b.xyz"]
    assert [one.what for one in named] == ["training set 0", "training set 1"]
    # parts of the training set, indices of it, and files of their own
    for own in (0.1, {"indices": [1]}, [{"indices": [1]}, {"indices": [2]}]):
        named = name_frames(sets, "validation set", own, section("a.xyz", "b.xyz"))
        assert [one.source for one in named] == ["a.xyz", "b.xyz"]
    named = name_frames(sets, "validation set", section("c", "d"), section("a", "b"))
    assert [one.source for one in named] == ["c", "d"]
    assert name_frames(sets, "training set", None)[1].source is None


def test_options_beside_the_checkpoints(tmp_path):
    assert read_options("") == read_options(tmp_path) == {}
    (tmp_path / OPTIONS_FILE).write_text(yaml.safe_dump({"seed": 1}))
    assert read_options(str(tmp_path)) == {"seed": 1}
    (tmp_path / OPTIONS_FILE).write_text("")
    assert read_options(tmp_path) == {}
