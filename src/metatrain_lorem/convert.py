"""The published path of the conversion, which lives in :mod:`.lorem_jax.convert`."""

from .lorem_jax.convert import from_jax, to_jax


__all__ = ["from_jax", "to_jax"]
