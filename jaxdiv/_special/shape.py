r"""$g(x) = \log\Gamma(x) - x\log x + x$: what the shape of a gamma distribution costs.

It is convex, as $\log\Gamma$ is, and $g(y) - g(y + 1) = (y + 1)\log(1 + 1/y) - 1$.
"""

from math import log, pi

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from jaxtyping import ArrayLike as Number

from .base import arrays, horner, summed, terms
from .gamma import (
    curvature_series,
    itakura_saito,
    over_shifts,
    power_remainders,
    power_slopes,
    shifted,
    stirling_series,
)
from .generators import phi, phi_series

_HALF_LOG_2PI = 0.5 * log(2 * pi)


def shape_curvature(x: Number) -> Float[Array, "..."]:
    r"""$\psi'(x) - 1/x > 0$, about $1/2x^2$.

    >>> print(f"{shape_curvature(1.):.6f}")
    0.644934
    """
    (x,) = arrays(x)
    u = 1 / shifted(x)
    steps = over_shifts(lambda y: 1 / (y * y) / (y + 1), x)
    return steps + (0.5 * u * u + curvature_series(u))


def _step(y1: Array, y0: Array, d: Array) -> tuple[Array, Array, Array]:
    r"""With $e = d/((y_0 + 1) y_1)$ whether it is small, then $\phi(-e)$, else $\log(1 - e)$."""
    e = d / ((y0 + 1) * y1)
    small = abs(e) < 0.5
    ratio = jnp.where(small, 1, (y0 / y1) * ((y1 + 1) / (y0 + 1)))
    return small, phi_series(jnp.where(small, -e, 0)), jnp.log(ratio)


@jax.custom_jvp
def _shape_difference(x1, x0, d):
    def step(y1, y0):
        small, near, log_far = _step(y1, y0, d)
        rise = d / y0 / y1
        return jnp.where(small, rise / (y0 + 1) - near, rise + log_far)

    u, v = 1 / shifted(x0), 1 / shifted(x1)
    return over_shifts(step, x1, x0) + d * (0.5 * u * v + power_slopes(u, v, stirling_series(x0)))


@_shape_difference.defjvp
def _(primals, tangents):
    x1, x0, _ = primals
    change = shape_curvature(x1) * tangents[0] - shape_curvature(x0) * tangents[1]
    return _shape_difference(*primals), change


def shape_difference(x1: Number, x0: Number, d: Number) -> Float[Array, "..."]:
    r"""$g'(x_1) - g'(x_0)$; `d` is $x_1 - x_0$.

    >>> print(f"{shape_difference(2., 1., 1.):.6f}")
    0.306853
    """
    return _shape_difference(*arrays(x1, x0, d))


@jax.custom_jvp
def _shape_bregman(x1, x0, d):
    def step(y1, y0):
        small, near, log_far = _step(y1, y0, d)
        close = d / y0 * (d / y1) / (y0 + 1) - (y1 + 1) * near
        return jnp.where(small, close, (y1 + 1) * log_far + d / y0)

    end1, end0 = shifted(x1), shifted(x0)
    stirling = d * d * power_remainders(1 / end0, 1 / end1, stirling_series(x0))
    return over_shifts(step, x1, x0) + (0.5 * itakura_saito(end1, end0, d) + stirling)


@_shape_bregman.defjvp
def _(primals, tangents):
    x1, x0, d = primals
    change = _shape_difference(x1, x0, d) * tangents[0] - d * shape_curvature(x0) * tangents[1]
    return _shape_bregman(x1, x0, d), change


def shape_bregman(x1: Number, x0: Number, d: Number) -> Float[Array, "..."]:
    r"""$g(x_1) - g(x_0) - g'(x_0)\,d \ge 0$ for $g(x) = \log\Gamma(x) - x\log x + x$.

    >>> print(f"{shape_bregman(1.0001, 1., 1e-4):.3e}")
    3.224e-09
    """
    return _shape_bregman(*arrays(x1, x0, d))


def _shape_slope_excess(x1: Array, x0: Array, d: Array) -> Array:
    r"""$g'(x_0) + g''(x_0)\,d - g'(x_1) \ge 0$."""

    def step(y1, y0):
        small, near, log_far = _step(y1, y0, d)
        e = d / ((y0 + 1) * y1)
        return d / y0 * (d / y1) / y0 / (y0 + 1) + jnp.where(small, near, -e - log_far)

    u, v = 1 / shifted(x0), 1 / shifted(x1)
    slopes = [0.5, *(k * c for k, c in enumerate(stirling_series(x0), 1))]
    return over_shifts(step, x1, x0) + d * d * power_remainders(u, v, slopes)


def shape_excess(x1: Array, x0: Array, d: Array, r1: Array, r0: Array, rise: Array) -> Array:
    r"""`shape_bregman(x1, x0, d)` less that of $x_1 + r_1$ and $x_0 + r_0$, $r_i \le x_i/8$.

    Here `rise` is $r_1 - r_0$. As an integral from the one to the other, by Gauss's rule.
    """
    nodes, weights = np.polynomial.legendre.leggauss(terms(x0, 3, 8))

    def at(tau, weight):
        y1, y0, gap = x1 + tau * r1, x0 + tau * r0, d + tau * rise
        curved = r1 * _shape_slope_excess(y1, y0, gap) - rise * gap * shape_curvature(y0)
        return weight * curved

    return summed(at, x0, (1 + nodes) / 2, weights / 2)


@jax.custom_jvp
def _shape_slope(x):
    u = 1 / shifted(x)
    series = u * u * horner(u, [k * c for k, c in enumerate(stirling_series(x), 1)])
    return -(over_shifts(lambda y: phi(1 / y), x) + (0.5 * u + series))


@_shape_slope.defjvp
def _(primals, tangents):
    return _shape_slope(*primals), shape_curvature(*primals) * tangents[0]


@jax.custom_jvp
def _shape_value(x):
    end = shifted(x)
    series = horner(1 / end, list(stirling_series(x))) / end

    def step(y):
        small = y < 0.5  # where 1/y would take all digits
        near, far = jnp.where(small, y, 0.5), jnp.where(small, 0.5, y)
        direct = (near + 1) * (jnp.log1p(near) - jnp.log(near)) - 1
        return jnp.where(small, direct, 1 / far - (far + 1) * phi(1 / far))

    steps = over_shifts(step, x)
    return steps - 0.5 * jnp.log(end) + _HALF_LOG_2PI + series


@_shape_value.defjvp
def _(primals, tangents):
    return _shape_value(*primals), _shape_slope(*primals) * tangents[0]


def shape_value(x: Number) -> Float[Array, "..."]:
    r"""$g(x) = \log\Gamma(x) - x\log x + x$.

    >>> print(f"{shape_value(1.):.6f}")
    1.000000
    """
    return _shape_value(*arrays(x))


def shape_slope(x: Number) -> Float[Array, "..."]:
    r"""$g'(x) = \psi(x) - \log x < 0$, about $-1/2x$.

    >>> print(f"{shape_slope(1.):.6f}")
    -0.577216
    """
    return _shape_slope(*arrays(x))
