"""Draws as smooth functions of points of the cube: what quasi-random and antithetic draws need."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

from .._special import expm1
from .._special.base import log1p
from .base import floating
from .cauchy import Cauchy
from .exponential import Exponential
from .gumbel import Gumbel, Weibull
from .half_normal import HalfNormal
from .independent import Independent
from .kumaraswamy import Kumaraswamy
from .laplace import Laplace
from .log_normal import AbstractNormalImage
from .logistic import Logistic
from .low_rank_normal import LowRankMultivariateNormal
from .multivariate_normal import MultivariateNormal
from .normal import Normal
from .pareto import Pareto
from .transformed import Transformed
from .uniform import Uniform
from .univariate import Shifted

_BITS = 32
_HALF = np.uint32(1 << (_BITS - 1))  # which is no Python integer, for want of a 33rd bit


class FromBits(NamedTuple):
    """How many coordinates of the cube a draw takes, and `[*sample, *batch, size]` as draws."""

    size: int
    draws: Callable[[UInt32[Array, "..."]], Array]


@functools.singledispatch
def from_bits(dist: Any) -> FromBits:
    """Draws of `dist` from points in units of 2^-32, increasing in each where that has a meaning.

    Raises:
        TypeError: no such map is known.
    """
    raise TypeError(
        f"no map from points of the cube to draws of {type(dist).__name__} is known, which "
        "Antithetic() and RandomizedQMC() need (normals and their images have one, and what has a "
        "quantile in closed form): use draws=IndependentDraws(), the default."
    )


def as_uniform(bits: UInt32[Array, "..."], dtype: Any) -> Float[Array, "..."]:
    """Strictly between 0 and 1, which float32 would round to with all of the digits."""
    used = min(_BITS, jnp.finfo(dtype).nmant)
    return (bits >> (_BITS - used)).astype(dtype) * 2.0**-used + 2.0 ** (-used - 1)


def as_normal(bits: UInt32[Array, "..."], dtype: Any) -> Float[Array, "..."]:
    """The standard normal quantile."""
    lower, tail = _tails(bits, dtype)
    z = jax.scipy.special.ndtri(tail)
    return jnp.where(lower, z, -z)


def _tails(bits: Array, dtype: Any) -> tuple[Array, Array]:
    """Whether the point is below 1/2, and its distance to the nearer end, with all its digits."""
    lower = bits < _HALF
    return lower, (jnp.where(lower, bits, ~bits).astype(dtype) + 0.5) * 2.0**-_BITS


def _as_exponential(bits: Array, dtype: Any) -> Array:
    lower, tail = _tails(bits, dtype)
    return -jnp.where(lower, log1p(-tail), jnp.log(tail))


def _as_laplace(bits: Array, dtype: Any) -> Array:
    lower, tail = _tails(bits, dtype)
    return jnp.where(lower, 1, -1) * jnp.log(2 * tail)


def _as_logistic(bits: Array, dtype: Any) -> Array:
    lower, tail = _tails(bits, dtype)
    return jnp.where(lower, 1, -1) * (jnp.log(tail) - log1p(-tail))


def _as_cauchy(bits: Array, dtype: Any) -> Array:
    lower, tail = _tails(bits, dtype)
    return jnp.where(lower, -1, 1) / jnp.tan(math.pi * tail)


def _as_gumbel(bits: Array, dtype: Any) -> Array:
    return -jnp.log(_as_exponential(~bits, dtype))


@from_bits.register(Normal | Laplace | Logistic | Cauchy | Gumbel)
def _(dist):
    standard = {
        Normal: as_normal,
        Laplace: _as_laplace,
        Logistic: _as_logistic,
        Cauchy: _as_cauchy,
        Gumbel: _as_gumbel,
    }[type(dist)]
    loc, scale = floating(dist.loc, dist.scale)
    return FromBits(1, lambda bits: loc + scale * standard(bits[..., 0], loc.dtype))


@from_bits.register
def _(dist: Exponential):
    (rate,) = dist.parameters()
    return FromBits(1, lambda bits: _as_exponential(bits[..., 0], rate.dtype) / rate)


@from_bits.register
def _(dist: Weibull):
    scale, k = dist.parameters()
    return FromBits(1, lambda bits: scale * _as_exponential(bits[..., 0], k.dtype) ** (1 / k))


@from_bits.register
def _(dist: Pareto):
    scale, a = dist.parameters()
    return FromBits(1, lambda bits: scale * jnp.exp(_as_exponential(bits[..., 0], a.dtype) / a))


@from_bits.register
def _(dist: Kumaraswamy):
    a, b = dist.parameters()

    def draws(bits: Array) -> Array:
        return (-expm1(-_as_exponential(bits[..., 0], a.dtype) / b)) ** (1 / a)

    return FromBits(1, draws)


@from_bits.register
def _(dist: Uniform):
    low, high = dist.parameters()
    return FromBits(1, lambda bits: low + (high - low) * as_uniform(bits[..., 0], low.dtype))


@from_bits.register
def _(dist: HalfNormal):
    (scale,) = dist.parameters()
    return FromBits(1, lambda bits: scale * as_normal((bits[..., 0] >> 1) | _HALF, scale.dtype))


@from_bits.register
def _(dist: AbstractNormalImage):
    base = from_bits(dist.normal())
    return FromBits(base.size, lambda bits: dist.forward(base.draws(bits)))


@from_bits.register
def _(dist: Transformed):
    base = from_bits(dist.base)
    return FromBits(base.size, lambda bits: dist.bijection.forward(base.draws(bits)))


@from_bits.register
def _(dist: Shifted):
    base = from_bits(dist.base)

    def draws(bits: Array) -> Array:
        x, shift = floating(base.draws(bits), dist.shift)
        return x + shift

    return FromBits(base.size, draws)


@from_bits.register
def _(dist: MultivariateNormal):
    loc, tril = floating(dist.loc, dist.factor())

    def draws(bits: Array) -> Array:
        return loc + jnp.einsum("...ij,...j->...i", tril, as_normal(bits, loc.dtype))

    return FromBits(loc.shape[-1], draws)


@from_bits.register
def _(dist: LowRankMultivariateNormal):
    loc, factor, diagonal = dist.parameters()
    rank = factor.shape[-1]

    def draws(bits: Array) -> Array:
        z = as_normal(bits, loc.dtype)
        low = jnp.einsum("...ij,...j->...i", factor, z[..., :rank])
        return loc + low + jnp.sqrt(diagonal) * z[..., rank:]

    return FromBits(rank + loc.shape[-1], draws)


@from_bits.register
def _(dist: Independent):
    base = from_bits(dist.base)
    batch = dist.base.batch_shape
    inner = batch[len(batch) - dist.ndims :]

    def draws(bits: Array) -> Array:
        return base.draws(bits.reshape(*bits.shape[:-1], *inner, base.size))

    return FromBits(math.prod(inner) * base.size, draws)
