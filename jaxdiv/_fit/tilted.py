"""Moments of a Gaussian cavity times one site: quadrature on nodes that follow the product."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

_REACH = 12.0  # standard deviations either side
_MOST_MOVES = 30  # of the nodes
# The nodes are where they should be if the mean is as near to their centre, and the standard
# deviation as near to their unit, as this: then they reach 8 of them.
_OFF_CENTRE, _TOO_NARROW, _TOO_WIDE = 1.0, 1.3, 1 / 3


class Tilted(NamedTuple):
    """The normaliser, mean and variance of cavity times site."""

    log_norm: Float[Array, ""]
    mean: Float[Array, ""]
    variance: Float[Array, ""]
    error: Float[Array, ""]
    found: Bool[Array, ""]


def tilted_moments(
    log_site: Callable[[Array], Array],
    mean: Float[Array, ""],
    variance: Float[Array, ""],
    start: tuple[Float[Array, ""], Float[Array, ""]],
    *,
    num_nodes: int,
) -> Tilted:
    r"""$\hat Z$, mean and variance of $N(f; m, v)\, t(f)$ by the trapezoidal rule, in log space.

    The rule converges exponentially on what is smooth and vanishes at both ends (Trefethen &
    Weideman 2014). The nodes lie about a centre in units of a standard deviation, first those of
    `start`, then those found, until they agree: at a fixed point of expectation propagation they do
    so at once. `error` is what a rule with half of the nodes, and without the outer tenths, makes
    of it.
    """
    dtype = mean.dtype
    nodes = np.linspace(-_REACH, _REACH, num_nodes)
    t, spacing = jnp.asarray(nodes, dtype), float(nodes[1] - nodes[0])
    half = (np.arange(num_nodes) % 2 == (num_nodes // 2) % 2) & (abs(nodes) <= 0.9 * _REACH)

    def weigh(centre: Array, unit: Array) -> tuple[Array, Array]:
        f = centre + unit * t
        log_weight = jax.vmap(log_site)(f) - 0.5 * (f - mean) ** 2 / variance
        top = jax.lax.stop_gradient(jnp.max(log_weight))
        return jnp.exp(log_weight - top), top

    def fits(first: Array, second: Array) -> Array:
        right_unit = (second <= _TOO_NARROW**2) & (second >= _TOO_WIDE**2)
        return (abs(first) <= _OFF_CENTRE) & right_unit

    def move(carry):
        k, centre, unit, _ = carry
        _, first, second = _moments(weigh(centre, unit)[0], t)
        settled = fits(first, second) | ~jnp.isfinite(first)
        # Where all the weight is on one node, half the way to its neighbours is the new unit.
        moved = centre + unit * first, unit * jnp.maximum(jnp.sqrt(second), 0.5 * spacing)
        centre, unit = (
            jnp.where(settled, a, b) for a, b in zip((centre, unit), moved, strict=True)
        )
        return k + 1, centre, unit, settled

    def proceed(carry):
        k, _, _, settled = carry
        return (k < _MOST_MOVES) & ~settled

    begin = jnp.array(0), *start, jnp.array(False)
    _, centre, unit, _ = jax.lax.stop_gradient(jax.lax.while_loop(proceed, move, begin))

    weight, top = weigh(centre, unit)
    total, first, second = _moments(weight, t)
    _, coarse_first, coarse_second = _moments(jnp.where(half, weight, 0.0), t)
    error = jnp.maximum(
        abs(coarse_first - first) / jnp.sqrt(second), abs(jnp.log(coarse_second / second))
    )
    width = unit * spacing / jnp.sqrt(variance)
    return Tilted(
        log_norm=top + jnp.log(total * width) - 0.5 * math.log(2 * math.pi),
        mean=centre + unit * first,
        variance=unit * unit * second,
        error=jax.lax.stop_gradient(error),
        found=jnp.isfinite(top) & fits(first, second),
    )


def _moments(weight: Array, t: Array) -> tuple[Array, Array, Array]:
    total = jnp.sum(weight)
    first = jnp.sum(weight * t) / total
    return total, first, jnp.sum(weight * (t - first) ** 2) / total
