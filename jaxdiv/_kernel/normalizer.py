"""The logarithm of the normaliser of a row of logits."""

import jax.numpy as jnp
from jaxtyping import Array

from .reduction import AxisName
from .rows import Row, row
from .rules import as_they_are, from_statistics, with_slopes
from .softmax import softmax


def _log_normalizer(axis_name: AxisName, live: tuple[int, ...], z: Array) -> tuple[Array, Row]:
    a = row(z, axis_name)
    return jnp.where(a.empty, 0, a.top + a.log_sum)[..., 0], a


@from_statistics(softmax)
def _slope(axis_name: AxisName, a: Row, z: Array) -> Array:
    return a.probability(z)


log_normalizer = with_slopes(_log_normalizer, (_slope,), as_they_are)
