"""Softmax, its logarithm, and the log-ratio of two: entry by entry."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from .pairs import pair_and_origins
from .reduction import total
from .rows import centred, row


def softmax_tangent(axis_name, z, dz):
    p, e = softmax(axis_name, z), centred(dz, z, axis_name)
    return p * (e - total(p * e, axis_name))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def softmax(axis_name, z):
    return row(z, axis_name).probability(z)


@softmax.defjvp
def _(axis_name, primals, tangents):
    return softmax(axis_name, *primals), softmax_tangent(axis_name, *primals, *tangents)


def _log_tangent(axis_name, z, dz):
    """The tangent of log softmax; 0 where masked."""
    e = centred(dz, z, axis_name)
    mean = total(softmax(axis_name, z) * e, axis_name)
    return jnp.where(z == -jnp.inf, 0, e - mean)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def log_softmax(axis_name, z):
    a = row(z, axis_name)
    return a.gap(z)[0] - a.log_sum


@log_softmax.defjvp
def _(axis_name, primals, tangents):
    return log_softmax(axis_name, *primals), _log_tangent(axis_name, *primals, *tangents)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def log_ratio(axis_name, a, b):
    return pair_and_origins(axis_name, a, b)[0].entries(a, b)[0]


@partial(log_ratio.defjvp, symbolic_zeros=True)
def _(axis_name, primals, tangents):
    (a, b), (da, db) = primals, tangents
    both = (a != -jnp.inf) & (b != -jnp.inf)
    change = jnp.zeros_like(a)
    if not isinstance(da, SymbolicZero):
        change = change + _log_tangent(axis_name, a, da)
    if not isinstance(db, SymbolicZero):
        change = change - _log_tangent(axis_name, b, db)
    return log_ratio(axis_name, a, b), jnp.where(both, change, 0)
