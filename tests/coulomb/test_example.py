"""The example of the package runs where there is nothing but torch."""

import subprocess
import sys


SCRIPT = """
import builtins, doctest

import torch

original = builtins.__import__

def only_torch(name, *args, **kwargs):
    if name.split(".")[0] in ("e3nn", "metatensor", "metatomic", "metatrain", "vesin"):
        raise ImportError(name)
    return original(name, *args, **kwargs)

builtins.__import__ = only_torch
import metatrain_lorem.coulomb

print(doctest.testmod(metatrain_lorem.coulomb, raise_on_error=True))
"""


def test_example():
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    failed, attempted = result.stdout.split("failed=")[1].split(", attempted=")
    assert int(failed) == 0
    assert int(attempted.split(")")[0]) > 10
