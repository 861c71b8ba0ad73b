"""Quotients, logarithms and powers of masses, whose slopes do not overflow before they must.

JAX differentiates x/y by way of y^-2, which is infinite below 5e-20 in float32.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from jaxtyping import ArrayLike as Number

from .base import arrays, log1p


def _scaled(x, y):
    """Both by the power of two that brings y near 1."""
    _, exponent = jnp.frexp(lax.stop_gradient(y))
    exponent = jnp.minimum(exponent - 1, jnp.finfo(y.dtype).maxexp - 2)
    scale = jnp.ldexp(jnp.ones_like(y), -exponent)
    return x * scale, y * scale


def _quotient(x, y):
    x, y = _scaled(x, y)
    return x / y


@jax.custom_jvp
def _log_quotient(p, q):
    x, y = _scaled(p, jnp.where(q == 0, 1, q))
    ratio = x / y
    near, apart = abs(ratio - 1) <= 0.5, (ratio == 0) | (ratio == jnp.inf)
    # The difference of two near masses is exact.
    close = log1p(jnp.where(near, (x - y) / y, 0))
    r = jnp.where(apart, _log(p) - _log(jnp.where(q == 0, 1, q)), _log(jnp.where(apart, 1, ratio)))
    r = jnp.where(near, close, r)
    return jnp.where(q == 0, jnp.where(p == 0, 0, jnp.where(p > 0, jnp.inf, jnp.nan)), r)


@_log_quotient.defjvp
def _(primals, tangents):
    (p, q), (dp, dq) = primals, tangents
    both = (p > 0) & (q > 0)
    x, y = jnp.where(both, p, 1), jnp.where(both, q, 1)
    change = _quotient(dp, x) - _quotient(dq, y)
    return _log_quotient(p, q), jnp.where(both, change, 0)


@jax.custom_jvp
def _log(m):
    positive = m > 0
    below = jnp.where(m == 0, -jnp.inf, jnp.nan)
    return jnp.where(positive, jnp.log(jnp.where(positive, m, 1)), below)


@_log.defjvp
def _(primals, tangents):
    (m,), (dm,) = primals, tangents
    positive = m > 0
    return _log(m), jnp.where(positive, _quotient(dm, jnp.where(positive, m, 1)), 0)


def _halves(x):
    """The leading half of the digits, and the rest (Veltkamp 1968)."""
    scaled = x * (2 ** (np.finfo(x.dtype).nmant // 2 + 2) + 1)
    high = scaled - (scaled - x)
    return high, x - high


def _product(x, y):
    """`x y` and its rounding error (Dekker 1971)."""
    product = x * y
    (a, b), (c, d) = _halves(x), _halves(y)
    return product, ((a * c - product) + a * d + b * c) + b * d


@jax.custom_jvp
def _power(ratio, r, exponent, low):
    whole = jnp.exp(r)
    known = (ratio > 0) & (ratio < jnp.inf) & (whole > 0) & (whole < jnp.inf)
    # What the rounding of r has left out of the ratio.
    rest = jnp.where(known, jnp.where(known, ratio, 1) / jnp.where(known, whole, 1) - 1, 0)
    high, error = _product(exponent, r)
    return jnp.exp(high) * (1 + (error + low * r + exponent * rest))


@_power.defjvp
def _(primals, tangents):
    ratio, r, exponent, low = primals
    _, dr, de, _ = tangents
    value = _power(ratio, r, exponent, low)
    return value, value * (exponent * dr + r * de)


def quotient(x: Number, y: Number) -> Float[Array, "..."]:
    """$x/y$ for $y > 0$.

    >>> slope = jax.jvp(jax.grad(lambda y: quotient(1e-30, y)), (1e-30,), (1e-30,))[1]
    >>> print(f"{slope:.0e}")
    2e+30
    """
    return _quotient(*arrays(x, y))


def log_mass(m: Number) -> Float[Array, "..."]:
    r"""$\log m$, -inf at 0 with slope 0, NaN below.

    >>> print(log_mass(1.0), jax.grad(log_mass)(0.0))
    0.0 0.0
    """
    return _log(jnp.asarray(m))  # a weak type stays weak


def log_quotient(p: Number, q: Number) -> Float[Array, "..."]:
    r"""$\log p - \log q$, relatively accurate; ±inf where one is 0 and 0 where both are.

    >>> print(f"{log_quotient(1.0, 0.999):.6e}")
    1.000500e-03
    """
    return _log_quotient(*arrays(p, q))


def in_two(x: Number, dtype: Any) -> tuple[Array, Array]:
    """A Python number as a floating one and what that has rounded off; an array as it is."""
    high = jnp.asarray(x, dtype)
    rest = float(x) - float(np.asarray(x, dtype)) if isinstance(x, (int, float)) else 0.0
    return high, jnp.asarray(rest, dtype)


def power(ratio: Number, r: Number, exponent: Number, rest: Number = 0.0) -> Float[Array, "..."]:
    r"""`ratio` to a power, for r = log(ratio): as accurate as the ratio, where $e^{xr}$ loses |xr|.

    The derivatives are those in r and in the exponent, whose further digits are `rest`. A ratio
    that is 0 or infinite is taken from r alone.

    >>> print(f"{power(jnp.float32(3e7), jnp.log(jnp.float32(3e7)), 2.0):.6e}")
    9.000000e+14
    """
    return _power(*arrays(ratio, r, exponent, rest))
