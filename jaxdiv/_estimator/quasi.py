r"""Scrambled Sobol' points: jit-able, independent from key to key, even over the cube in each.

The first $2^m$ points of a Sobol' sequence are the span of $m$ direction numbers over the field of
two elements, coordinate by coordinate. A random linear scrambling of their digits with a digital
shift (Matousek 1998, "On the L2-discrepancy for anchored boxes") makes each point uniform and
leaves them as even as they were. A mean over them has the variance of Owen's scrambling, which is
$O(n^{-3} \log^{d-1} n)$ for smooth integrands (Owen 1997).
"""

import functools
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, UInt32

from .._operand.from_bits import as_normal

_BITS = 32


@functools.cache
def _directions(count: int, dim: int) -> np.ndarray:
    """The first `count` direction numbers of each coordinate: Joe & Kuo 2008, as SciPy has them."""
    from scipy.stats import qmc  # here, since it takes a second

    points = qmc.Sobol(dim, scramble=False, bits=_BITS).random_base2(count)
    bits = np.ldexp(points, _BITS).astype(np.uint32)
    # SciPy goes in the order of Gray's code, in which two numbers are new at each power of two.
    gray = bits[2 ** np.arange(count)]
    return np.bitwise_xor.accumulate(gray, 0)


def sobol_bits(n: int, dim: int, key: Key[Array, ""]) -> UInt32[Array, "n dim"]:
    """The first `n` points of a scrambled Sobol' sequence, in units of 2^-32."""
    count = max(n - 1, 1).bit_length()
    directions = jnp.asarray(_directions(count, dim))
    key_digits, key_shift = jr.split(key)
    # Digit i of a scrambled number: digit i, and a random selection of those before it.
    place = jnp.asarray([1 << (_BITS - 1 - i) for i in range(_BITS)], jnp.uint32)[:, None]
    before = ~(place | (place - 1))
    rows = place | (jr.bits(key_digits, (_BITS, dim), jnp.uint32) & before)
    digits = lax.population_count(rows[:, None] & directions) & 1
    scrambled = jnp.sum(digits * place[:, None], 0, dtype=jnp.uint32)
    index = jnp.arange(n, dtype=jnp.uint32)[:, None]
    points = jnp.broadcast_to(jr.bits(key_shift, (dim,), jnp.uint32), (n, dim))
    for i in range(count):
        points = points ^ jnp.where((index >> i) & 1 == 1, scrambled[i], 0)
    return points


def normal_draws(n: int, dim: int, key: Key[Array, ""], dtype: Any = None) -> Float[Array, "n dim"]:
    r"""Standard normals of mean 0 and covariance exactly $I$: antithetic, quasi-random, whitened.

    The second half is the first with its sign changed. With the covariance $S$ of scrambled Sobol'
    normals, $Z \leftarrow Z\,\mathrm{chol}(S)^{-T}$. Averages of any quadratic are exact; those of
    others have a bias of order $1 / n$.

    Args:
        n: an even number, at least $2 d$.
        dim: $d$.
        key: of the scrambling.
        dtype: floating; the default one if not given.
    """
    if n % 2 or n < 2 * dim:
        raise ValueError(
            f"normal_draws: n must be even and at least 2 * dim = {2 * dim}, so that the draws can "
            f"have a covariance of the identity; got n={n}."
        )
    half = as_normal(sobol_bits(n // 2, dim, key), dtype or jnp.result_type(float))
    tril = jnp.linalg.cholesky(half.T @ half / half.shape[0])
    half = lax.linalg.triangular_solve(tril, half, lower=True, transpose_a=True)
    return jnp.concatenate([half, -half])
