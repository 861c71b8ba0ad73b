"""What rounding takes away from sums and products, kept in a second number."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from jaxtyping import ArrayLike as Number

from .base import arrays


def two_sum(x: Array, y: Array) -> tuple[Array, Array]:
    """`x + y` and what it lacks (Knuth)."""
    s = x + y
    z = s - x
    return s, (x - (s - z)) + (y - z)


def total(high: Array, low: Array) -> tuple[Array, Array]:
    """The sum of `high` and `low` over the first axis, in two parts, by halves."""
    while len(high) > 1:
        half = len(high) // 2
        odd = high[2 * half :], low[2 * half :]
        high, lack = two_sum(high[:half], high[half : 2 * half])
        low = (low[:half] + low[half : 2 * half]) + lack
        high, low = (jnp.concatenate([x, y]) for x, y in zip((high, low), odd, strict=True))
    return two_sum(high[0], low[0])


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """$ab$ and what it lacks (Dekker 1971)."""
    split = 2.0 ** (12 if a.dtype == jnp.float32 else 27) + 1
    parts = []
    for x in (a, b):
        high = split * x - (split * x - x)
        parts.append((high, x - high))
    (a1, a2), (b1, b2) = parts
    product = a * b
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


@jax.custom_jvp
def _product_difference(a, b, c, d):
    (one, less), (other, least) = _two_product(a, b), _two_product(c, d)
    value = (one - other) + (less - least)
    # Beyond what splitting can hold there is nothing to be gained from it.
    return jnp.where(jnp.isfinite(value), value, a * b - c * d)


@_product_difference.defjvp
def _(primals, tangents):
    a, b, c, d = primals
    da, db, dc, dd = tangents
    return _product_difference(a, b, c, d), b * da + a * db - d * dc - c * dd


def product_difference(a: Number, b: Number, c: Number, d: Number) -> Float[Array, "..."]:
    r"""$ab - cd$, with the digits that cancel.

    >>> print(f"{product_difference(4097., 4097., 4096., 4098.):.1f}")
    1.0
    """
    return _product_difference(*arrays(a, b, c, d))
