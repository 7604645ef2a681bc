"""Models of lorem-jax, the reference code."""
