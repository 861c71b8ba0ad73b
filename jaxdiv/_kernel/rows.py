r"""Statistics of rows of logits: the class axis is the last, and may be split over a mesh axis."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._special.base import log1p

AxisName = str | tuple[str, ...] | None


def widen(*zs: Array) -> tuple[Array, ...]:
    """Broadcasts and widens to float32, or to float64 if any is: half precision is exact there."""
    arrays = [jnp.asarray(z) for z in zs]
    double = any(z.dtype == jnp.float64 for z in arrays)
    dtype = jnp.float64 if double else jnp.float32
    return tuple(jnp.broadcast_arrays(*(z.astype(dtype) for z in arrays)))


def total(x: Float[Array, "*batch v"], axis_name: AxisName) -> Float[Array, "*batch 1"]:
    """The sum over the class axis."""
    local = jnp.sum(x, -1, keepdims=True)
    return local if axis_name is None else lax.psum(local, axis_name)


def largest(x: Float[Array, "*batch v"], axis_name: AxisName) -> Float[Array, "*batch 1"]:
    """The maximum over the class axis, not differentiated."""
    local = jnp.max(lax.stop_gradient(x), -1, keepdims=True)
    return local if axis_name is None else lax.pmax(local, axis_name)


def class_index(shape: tuple[int, ...], axis_name: AxisName) -> Array:
    """The index of each class, counted over all shards."""
    index = lax.broadcasted_iota(jnp.int32, shape, len(shape) - 1)
    return index if axis_name is None else index + lax.axis_index(axis_name) * shape[-1]


def two_difference(x: Array, y: Array) -> tuple[Array, Array]:
    """`x - y` and its rounding error, exactly (Knuth's TwoSum); the error is 0 at an infinite x."""
    d = x - y
    z = d - x
    return d, jnp.where(jnp.isinf(x), 0, (x - (d - z)) - (y + z))


class Row(NamedTuple):
    """What the kernels need of a row of logits. Nothing in it is differentiated."""

    gap: Float[Array, "*batch v"]
    """z - max: -inf where masked"""
    low: Float[Array, "*batch v"]
    """the rounding error of `gap`"""
    weight: Float[Array, "*batch v"]
    """exp(z - max): 0 where masked"""
    axis_name: AxisName

    @property
    def sum(self) -> Float[Array, "*batch 1"]:
        """The normaliser relative to the maximum; 1 for an empty row."""
        weights = total(self.weight, self.axis_name)
        return jnp.where(weights == 0, 1, weights)

    @property
    def log_sum(self) -> Float[Array, "*batch 1"]:
        """log(1 + s) with s the weights of all but one top class: exact digits at a point mass."""
        top = self.gap == 0
        others = total(jnp.where(top, 0, self.weight), self.axis_name)
        ties = total(top.astype(others.dtype), self.axis_name)
        return log1p(others + jnp.maximum(ties - 1, 0))

    @property
    def probability(self) -> Float[Array, "*batch v"]:
        """By division: exp(z - logsumexp) would lose |z| ulps."""
        return self.weight / self.sum


def row(z: Float[Array, "*batch v"], axis_name: AxisName) -> Row:
    """The statistics of each row, from its largest entry."""
    top = largest(z, axis_name)
    gap, low = two_difference(z, jnp.where(top == -jnp.inf, 0, top))
    # At a gap of 80 the rounding of z - max alone would cost 30 ulp of the exponential.
    return Row(gap, low, jnp.exp(gap) * (1 + low), axis_name)


def centred(
    x: Float[Array, "*batch v"], key: Float[Array, "*batch v"], axis_name: AxisName
) -> Float[Array, "*batch v"]:
    """`x` minus its entry where `key` is largest (its mean over ties); 0 where `key` is -inf."""
    top = key == largest(key, axis_name)
    ties = total(top.astype(x.dtype), axis_name)
    return jnp.where(key == -jnp.inf, 0, x - total(jnp.where(top, x, 0), axis_name) / ties)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def gap_below_top(axis_name: AxisName, z: Float[Array, "*batch v"]) -> Float[Array, "*batch v"]:
    """`z` minus its maximum; 0 where masked."""
    return jnp.where(z == -jnp.inf, 0, z - largest(z, axis_name))


@gap_below_top.defjvp
def _(axis_name, primals, tangents):
    (z,), (dz,) = primals, tangents
    return gap_below_top(axis_name, z), centred(dz, z, axis_name)


def _shared(a, b):
    """`a`, and -inf where `b` is masked."""
    return jnp.where(b == -jnp.inf, -jnp.inf, a)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def centred_ratio(axis_name: AxisName, a: Array, b: Array) -> Array:
    """`a - b` minus the same at the top class of `a`, relatively accurate; 0 where either is -inf.

    The normalisers drop out, and so do offsets.
    """
    key = _shared(a, b)
    top = largest(key, axis_name)
    high_a, low_a = two_difference(a, top)
    high_b, low_b = two_difference(b, largest(jnp.where(key == top, b, -jnp.inf), axis_name))
    return jnp.where(key == -jnp.inf, 0, (high_a - high_b) + (low_a - low_b))


@centred_ratio.defjvp
def _(axis_name, primals, tangents):
    (a, b), (da, db) = primals, tangents
    return centred_ratio(axis_name, a, b), centred(da - db, _shared(a, b), axis_name)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def centred_score(axis_name: AxisName, a: Array, b: Array) -> Array:
    """`b` minus its entry at the top class of `a`; 0 where either is -inf."""
    key = _shared(a, b)
    origin = largest(jnp.where(key == largest(key, axis_name), b, -jnp.inf), axis_name)
    return jnp.where(key == -jnp.inf, 0, b - origin)


@centred_score.defjvp
def _(axis_name, primals, tangents):
    (a, b), (_, db) = primals, tangents
    return centred_score(axis_name, a, b), centred(db, _shared(a, b), axis_name)
