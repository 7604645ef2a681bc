"""Import paths that the documentation has published stay what they are."""

import metatrain_lorem.convert
import metatrain_lorem.coulomb
import metatrain_lorem.network
from metatrain_lorem.coulomb.potentials import coulomb_potentials
from metatrain_lorem.lorem_jax.convert import from_jax, to_jax
from metatrain_lorem.network.lorem import Network


def test_published_paths():
    assert metatrain_lorem.convert.from_jax is from_jax
    assert metatrain_lorem.convert.to_jax is to_jax
    assert metatrain_lorem.coulomb.coulomb_potentials is coulomb_potentials
    assert metatrain_lorem.network.Network is Network
