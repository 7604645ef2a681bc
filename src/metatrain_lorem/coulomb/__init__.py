"""Coulomb sums for any periodicity, on plain tensors."""

from .potentials import coulomb_potentials
from .solver import CoulombPotential


__all__ = ["CoulombPotential", "coulomb_potentials"]
