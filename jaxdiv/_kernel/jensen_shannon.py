r"""The Jensen-Shannon divergence (of weight one half) of two rows of logits.

With $f(r) = \tfrac12\log\frac{2p}{p + q} = \tfrac12(\log 2 - \log(1 + e^{-r}))$ it is
$\sum p\,f(r) + q\,f(-r)$, and its slopes are $p\,(f(r) - \sum p f)$ and $q\,(f(-r) - \sum q f)$.
"""

from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._special import js_kernel, sigmoid, softplus
from .._special.base import log1p
from .pairs import Pair, pair_and_origins, tanh_parts
from .reduction import AxisName, on, total, two_totals
from .rows import Origin, sought
from .rules import from_statistics, with_slopes
from .softmax import log_ratio, softmax

_LOG_2 = log(2.0)


@jax.custom_jvp
def _share(r: Array, apart: Array) -> Array:
    r"""$f(r)$, less $\tfrac12\log 2$ where `apart`: small where r is, or is large."""
    near = jnp.abs(r) < 1
    x = jnp.where(near, 0.5 * r, 0)
    t, _ = tanh_parts(x)
    close = 0.5 * (x + 0.5 * log1p(-t * t))
    away = -0.5 * softplus(-jnp.where(jnp.isnan(r), r, jnp.maximum(r, jnp.finfo(r.dtype).min)))
    f = jnp.where(near, close, 0.5 * _LOG_2 + away)
    return jnp.where(apart, away, f)


@_share.defjvp
def _(primals, tangents):
    (r, apart), (dr, _) = primals, tangents
    return _share(r, apart), 0.5 * sigmoid(-r) * dr


class _Centre(NamedTuple):
    pair: Pair
    at_top: Float[Array, "*batch 1"]
    """the log-ratio at the top class"""
    mean: Float[Array, "*batch 1"]


def _excess(r: Array, at_top: Array) -> Array:
    """f(r) less that at the top class; finite."""
    apart = at_top > 2
    return _share(jnp.maximum(r, jnp.finfo(r.dtype).min), apart) - _share(at_top, apart)


def _terms(r: Array, p: Array, q: Array) -> Array:
    near = jnp.abs(r) < 1
    t, _ = tanh_parts(jnp.where(near, 0.5 * r, 0))
    size = jnp.where(near, 1, jnp.abs(r))
    less = jnp.minimum(p, q)
    apart = (p + q) * (_LOG_2 - jnp.log1p(jnp.exp(-size))) - less * jnp.where(less == 0, 0, size)
    return 0.5 * jnp.where(near, (p + q) * js_kernel(t), apart)


def _entries(side: int, pair: Pair, a: Array, b: Array) -> tuple[Array, Array]:
    """The log-ratio and the probability of one side."""
    r, p, q = pair.entries(a, b)
    return (-r, q) if side else (r, p)


def _weighted(side: int, pair: Pair, top: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """P and the excess of f, which is 0 at the top class and where p is."""
    r, p = _entries(side, pair, a, b)
    return p, _excess(jnp.where(p == 0, top, r), top)


class _Both(NamedTuple):
    pair: Pair
    origins: tuple[Origin, Origin]


def _at_top(side: int, axis_name: AxisName, both: _Both, a: Array, b: Array) -> Array:
    """The log-ratio at the top class of that side: inf where the other has no such class."""
    start = sought(axis_name, both.origins[side], *((b, a) if side else (a, b)))
    r, _ = _entries(side, both.pair, *((start.b, start.a) if side else start))
    return jnp.where(start.a == (both.pair.a, both.pair.b)[side].top, r, jnp.inf)


def _slope(side: int):
    def definition(axis_name, a, b):
        fixed = lax.stop_gradient((a, b))
        pair, origins = pair_and_origins(axis_name, *fixed, (side,))
        top = _at_top(side, axis_name, _Both(pair, origins), *fixed)
        p = softmax(axis_name, (a, b)[side])
        r = (1, -1)[side] * log_ratio(axis_name, a, b)
        e = _excess(jnp.where(p == 0, top, r), top)
        return p * (e - total(p * e, axis_name))

    @from_statistics(definition)
    def slope(axis_name: AxisName, centre: _Centre, a: Array, b: Array) -> Array:
        p, e = _weighted(side, centre.pair, centre.at_top, a, b)
        return p * (e - centre.mean)

    return slope


def _prepare(
    axis_name: AxisName, live: tuple[int, ...], both: _Both, a: Array, b: Array
) -> list[_Centre]:
    both = lax.optimization_barrier(both)
    tops = [_at_top(side, axis_name, both, a, b) for side in live]

    def terms(statistics, a, b):
        pair, tops = statistics
        sides = [_weighted(side, pair, top, a, b) for side, top in zip(live, tops, strict=True)]
        moments = [p * e for p, e in sides]
        return moments[0], moments[-1]

    means = two_totals(terms, axis_name, (both.pair, tops), a, b)
    return [_Centre(both.pair, top, mean) for top, mean in zip(tops, means, strict=False)]


def _value(axis_name: AxisName, live: tuple[int, ...], a: Array, b: Array) -> tuple[Array, _Both]:
    pair, origins = pair_and_origins(axis_name, a, b, live)

    def terms(pair, a, b):
        x = _terms(*pair.entries(a, b))
        return x, jnp.zeros_like(x)

    def on_cpu(pair, a, b):
        return two_totals(terms, axis_name, pair, a, b)[0]

    def elsewhere(pair, a, b):
        return total(_terms(*pair.entries(a, b)), axis_name)

    return on(on_cpu, elsewhere, pair, a, b)[..., 0], _Both(pair, origins)


jensen_shannon = with_slopes(_value, (_slope(0), _slope(1)), _prepare)
