"""Powers of a ratio of masses that outgrow the masses."""

import math

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float

from .._special import in_two, power
from .base import Pair


def outgrowth(
    pair: Pair, up: ArrayLike, down: ArrayLike, where: Bool[Array, "*batch n"]
) -> tuple[Float[Array, "*batch n"], Bool[Array, "*batch n"]]:
    r"""$p\,(p/q)^u$ where $p > q$, $q\,(q/p)^d$ where $q > p$; and where that is infinite.

    0 but `where` it is wanted. Both exponents are never negative there.
    """
    dtype = pair.r.dtype
    r = jnp.where(where, pair.finite_r, 0.0)
    upper, s = r >= 0, abs(r)
    most, least = jnp.where(upper, pair.p, pair.q), jnp.where(upper, pair.q, pair.p)
    exponent, rest = (
        jnp.where(upper, x, y) for x, y in zip(in_two(up, dtype), in_two(down, dtype), strict=True)
    )
    # In a logarithm, which has a meaning where a mass is flushed to zero.
    whole = jnp.where(where, jnp.where(upper, pair.log_p, pair.log_q) + exponent * s, 0.0)
    infinite = whole > math.log(float(jnp.finfo(dtype).max))
    flushed = where & (least == 0) & ~infinite
    direct = where & ~flushed & ~infinite
    # Half of the power at a time, lest it be infinite where the product is not.
    ratio = most / jnp.where(direct, least, 1.0)
    half = power(ratio, jnp.where(direct, s, 0.0), 0.5 * exponent, 0.5 * rest)
    far = jnp.where(flushed, jnp.exp(jnp.where(flushed, whole, 0.0)), 0.0)
    return jnp.where(direct, (most * half) * half, far), infinite
