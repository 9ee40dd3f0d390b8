from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from zoo.analysis import Exchange, exchanges

MESH = Mesh(np.asarray(jax.devices()[:2]), ("data",))
SPLIT, WHOLE = NamedSharding(MESH, PartitionSpec("data")), NamedSharding(MESH, PartitionSpec())


def compile_on_two(function, shape, dtype, out):
    return jax.jit(function, out_shardings=out).lower(jax.ShapeDtypeStruct(shape, dtype, sharding=SPLIT)).compile()


def test_a_sum_over_devices_and_what_is_brought_together():
    total = compile_on_two(lambda x: x.sum(0), (8, 3, 5), jnp.float32, WHOLE)
    assert exchanges(total) == [Exchange("all-reduce", 15, 60)]
    gathered = compile_on_two(lambda x: x + 1, (8, 6), jnp.uint8, WHOLE)
    assert exchanges(gathered) == [Exchange("all-gather", 48, 48)]


def test_nothing_is_exchanged_where_each_device_keeps_its_share():
    assert exchanges(compile_on_two(lambda x: x * 2, (8, 6), jnp.float32, SPLIT)) == []
    assert exchanges(jax.jit(jnp.sum).lower(jnp.zeros(3)).compile()) == []
