"""Files of lorem-jax are read and written to the byte."""

import msgpack
import numpy as np
import pytest
from helpers.parity_tools import CHECKPOINT, FILES

from metatrain_lorem.lorem_jax.files import (
    read_jax_model,
    read_parameters,
    write_jax_model,
    write_parameters,
)


def test_files_round_trip(jax_model, tmp_path):
    """What flax and lorem-jax wrote comes out again to the byte."""
    write_jax_model(tmp_path, jax_model)
    for name in FILES:
        expected = (CHECKPOINT / "model" / name).read_bytes()
        assert (tmp_path / "model" / name).read_bytes() == expected
    with pytest.raises(FileExistsError):
        write_jax_model(tmp_path, jax_model)


def test_parameter_files():
    parameters = {"a/b": np.arange(6.0).reshape(2, 3), "a/a": np.ones(1, np.float32)}
    data = write_parameters(parameters)
    result = read_parameters(data)
    assert list(result) == ["a/a", "a/b"]
    for path, values in parameters.items():
        assert result[path].dtype == values.dtype
        np.testing.assert_array_equal(result[path], values)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"params": {"x": 1.0}}, "'params/x' is a float"),
        ({"params": [1]}, "'params' is a list"),
        ({"x": {"__msgpack_chunked_array__": True}}, "'x' is split into chunks"),
        ({"x": msgpack.ExtType(2, b"")}, "extension of type 2"),
    ],
)
def test_wrong_parameter_files(tree, message):
    with pytest.raises(ValueError, match=message):
        read_parameters(msgpack.packb(tree))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file '.*model.yaml': give the folder"):
        read_jax_model(tmp_path)
