"""The Jensen-Shannon divergence of many distributions."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._special import expm1, psi
from .._special.base import log1p
from .base import Pair


def multi_jensen_shannon(pair: Pair, weights: Float[Array, "K"]) -> Float[Array, "*batch"]:
    r"""$\sum_k w_k \mathrm{KL}(P_k \| M)$, $M = \sum_k w_k P_k$.

    `pair` holds every $P_k$ (on the last batch axis) against the first of them. With
    $x_k = \log p_k / m$ it is $\sum w_k p_k (e^{-x_k} - 1 + x_k)$: never negative.
    """
    w = weights[:, None]
    zero = (pair.log_p == -jnp.inf) | (w == 0)
    p = jnp.where(zero, 0.0, pair.p)
    # Log-ratios to the largest mass of each outcome; by logarithms where the first has none.
    place = jnp.where(pair.log_q == -jnp.inf, pair.log_p, pair.r)
    place = jnp.where(zero, 0.0, place)
    top = jnp.max(jnp.where(zero, -jnp.inf, lax.stop_gradient(place)), -2, keepdims=True)
    d = jnp.where(zero, 0.0, place - jnp.where(jnp.isinf(top), 0.0, top))
    change = jnp.sum(w * jnp.where(zero, -1.0, expm1(d)), -2, keepdims=True)
    near = change > -0.5
    share = jnp.sum(w * jnp.where(zero, 0.0, jnp.exp(d)), -2, keepdims=True)
    far = jnp.log(jnp.where(near | (share <= 0), 1.0, share))
    x = d - jnp.where(near, log1p(jnp.where(near, change, 0.0)), far)
    mixed = jnp.sum(w * p, -2, keepdims=True)
    small = abs(x) < 1
    inside = jnp.where(small, p * psi(jnp.where(small, x, 0.0)), p * x - p + mixed)
    return jnp.sum(weights * pair.total(jnp.where(zero, mixed, inside)), -1)
