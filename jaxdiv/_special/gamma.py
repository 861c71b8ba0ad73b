r"""The logarithm of the gamma function, by differences that do not cancel.

With $X = x + n$, $\log\Gamma(x) = \log\Gamma(X) - \sum_{k<n} \log(x + k)$ and Stirling's series at
$X$. Every convex piece of that has a Bregman remainder of its own that is not negative, so their
sum has the digits of its largest term, and no logarithm of a gamma function is ever subtracted from
another. Differences $d = x_1 - x_0$ are arguments: the caller has them exactly.
"""

from collections.abc import Callable, Sequence
from math import log, pi

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from jaxtyping import ArrayLike as Number

from .base import arrays, horner, terms
from .generators import phi, phi_series

# Of 1/X, 1/X^2, ...: Stirling's, and those that come nearest from X = 1 on: with them the second
# derivative of g, below, is right to 1e-8 for every x = X - 1 > 0.
_STIRLING = (
    *(1 / 12, 0, -1 / 360, 0, 1 / 1260, 0, -1 / 1680, 0, 1 / 1188, 0),
    *(-691 / 360360, 0, 1 / 156, 0, -3617 / 122400),
)
_SINGLE = (
    *(8.33334843e-2, -2.79755938e-6, -2.75173235e-3, -1.38778974e-4),
    *(1.24199829e-3, -8.73539532e-4, 2.93247118e-4, -4.04078232e-5),
)
_EULER = 0.57721566490153286061
_HALF_LOG_2PI = 0.5 * log(2 * pi)
# Where the digamma function is zero: 1.4616321449683623412..., in two parts.
_ROOT = (1.46163177490234375, 3.7006601869126e-07)


def _series(x: Array) -> tuple[float, ...]:
    return _STIRLING if x.dtype == jnp.float64 else _SINGLE


def _end(x: Array) -> Array:
    return x + terms(x, 1, 10)


def _over_shifts(term: Callable[..., Array], *xs: Array) -> Array:
    r"""$\sum_{k<n}$ of `term` of the `xs` with $k$ added: along a new axis, to compile it once."""
    n = terms(xs[0], 1, 10)
    if n == 1:
        return term(*xs)
    k = jnp.arange(n, dtype=xs[0].dtype).reshape(-1, *(1,) * xs[0].ndim)
    return jnp.sum(term(*(x + k for x in xs)), 0)


# x/y - 1 - log(x/y)


@jax.custom_jvp
def _itakura_saito(x, y, d):
    t = d / y
    near = (t > -0.5) & (t < 1)
    ratio = jnp.where(near, 2, x / y)
    return jnp.where(near, phi_series(jnp.where(near, t, 0)), (ratio - 1) - jnp.log(ratio))


@_itakura_saito.defjvp
def _(primals, tangents):
    x, y, d = primals
    t = d / y
    return _itakura_saito(x, y, d), t / x * tangents[0] - t / y * tangents[1]


def itakura_saito(x: Number, y: Number, d: Number | None = None) -> Float[Array, "..."]:
    r"""$x/y - 1 - \log(x/y) \ge 0$ for positive `x`, `y`; `d` is $x - y$.

    >>> print(f"{itakura_saito(1.0001, 1.):.1e}")
    5.0e-09
    """
    if d is None:
        x, y = arrays(x, y)
        d = x - y
    return _itakura_saito(*arrays(x, y, d))


@jax.custom_jvp
def _log_ratio(x, y, d):
    t = d / y
    near = (t > -0.5) & (t < 1)
    close = t - phi_series(jnp.where(near, t, 0))
    return jnp.where(near, close, jnp.log(jnp.where(near, 1, x / y)))


@_log_ratio.defjvp
def _(primals, tangents):
    x, y, _ = primals
    return _log_ratio(*primals), tangents[0] / x - tangents[1] / y


def log_ratio(x: Number, y: Number, d: Number | None = None) -> Float[Array, "..."]:
    r"""$\log(x/y)$ for positive `x`, `y`; `d` is $x - y$.

    >>> print(f"{log_ratio(1.0001, 1.):.3e}")
    1.000e-04
    """
    if d is None:
        x, y = arrays(x, y)
        d = x - y
    return _log_ratio(*arrays(x, y, d))


# Sums over Stirling's series of differences and remainders of powers.


def power_remainders(u: Array, v: Array, coefficients: Sequence[float]) -> Array:
    r"""$\sum_{k \ge 1} c_k [v^k - u^k + k\,d\,u^{k+1}] / d^2$, $u = 1/X_0$ and $v = 1/X_1$."""
    total, inner, power = jnp.zeros_like(u), jnp.zeros_like(u), u
    for k, c in enumerate(coefficients, 1):
        power = power * u
        inner = v * inner + k * power * v
        if c:
            total = total + c * inner
    return total


def power_slopes(u: Array, v: Array, coefficients: Sequence[float]) -> Array:
    r"""$\sum_{k \ge 1} k\,c_k [u^{k+1} - v^{k+1}] / d$, as `power_remainders`."""
    total, inner, power = jnp.zeros_like(u), u * v, u
    for k, c in enumerate(coefficients, 1):
        power = power * u
        inner = v * inner + power * v
        if c:
            total = total + k * c * inner
    return total


def _curvature_series(u: Array) -> Array:
    return u * u * u * horner(u, [k * (k + 1) * c for k, c in enumerate(_series(u), 1)])


def trigamma(x: Number) -> Float[Array, "..."]:
    r"""$\frac{d^2}{dx^2} \log\Gamma(x)$ for $x > 0$.

    >>> print(f"{trigamma(1.):.6f}")
    1.644934
    """
    (x,) = arrays(x)
    u = 1 / _end(x)
    return _over_shifts(lambda y: 1 / (y * y), x) + (u + 0.5 * u * u + _curvature_series(u))


@jax.custom_jvp
def _digamma_difference(x1, x0, d):
    end1, end0 = _end(x1), _end(x0)
    u, v = 1 / end0, 1 / end1
    near = _over_shifts(lambda y1, y0: d / y0 / y1, x1, x0)
    stirling = d * (0.5 * u * v + power_slopes(u, v, _series(x0)))
    return near + _log_ratio(end1, end0, d) + stirling


@_digamma_difference.defjvp
def _(primals, tangents):
    x1, x0, _ = primals
    change = trigamma(x1) * tangents[0] - trigamma(x0) * tangents[1]
    return _digamma_difference(*primals), change


def digamma_difference(x1: Number, x0: Number, d: Number) -> Float[Array, "..."]:
    r"""$\psi(x_1) - \psi(x_0)$ for the digamma function $\psi$; `d` is $x_1 - x_0$.

    >>> print(f"{digamma_difference(2., 1., 1.):.6f}")
    1.000000
    """
    return _digamma_difference(*arrays(x1, x0, d))


@jax.custom_jvp
def _gamma_bregman(x1, x0, d):
    end1, end0 = _end(x1), _end(x0)
    parts = _over_shifts(lambda y1, y0: _itakura_saito(y1, y0, d), x1, x0)
    ends = end1 * _itakura_saito(end0, end1, -d) + 0.5 * _itakura_saito(end1, end0, d)
    return parts + ends + d * d * power_remainders(1 / end0, 1 / end1, _series(x0))


@_gamma_bregman.defjvp
def _(primals, tangents):
    x1, x0, d = primals
    change = _digamma_difference(x1, x0, d) * tangents[0] + _bregman_slope(x1, x0, d) * tangents[1]
    return _gamma_bregman(x1, x0, d), change


@jax.custom_jvp
def _bregman_slope(x1, x0, d):
    return -d * trigamma(x0)


@_bregman_slope.defjvp
def _(primals, tangents):
    # Of psi'(x0) - d psi''(x0) the leading terms cancel where x1 is much the less.
    x1, x0, d = primals
    steep, far = jax.grad(lambda x: jnp.sum(trigamma(x)))(x0), x0 > 8
    u = 1 / jnp.where(far, x0, 8)
    series = horner(u, [-k * (k + 1) ** 2 * c for k, c in enumerate(_series(x0), 1)])
    rest = jnp.where(far, u * u * (-0.5 + u * series), trigamma(x0) + x0 * steep)
    change = (rest - x1 * steep) * tangents[1] - trigamma(x0) * tangents[0]
    return _bregman_slope(x1, x0, d), change


def gamma_bregman(x1: Number, x0: Number, d: Number) -> Float[Array, "..."]:
    r"""$\log\Gamma(x_1) - \log\Gamma(x_0) - \psi(x_0)\,d \ge 0$; `d` is $x_1 - x_0$.

    >>> print(f"{gamma_bregman(1.0001, 1., 1e-4):.3e}")
    8.224e-09
    """
    return _gamma_bregman(*arrays(x1, x0, d))


# g(x) = log Gamma(x) - x log x + x, convex as well: what a gamma distribution's shape costs once
# its mean is accounted for. g(y) - g(y + 1) = (y + 1) log(1 + 1/y) - 1.


def shape_curvature(x: Number) -> Float[Array, "..."]:
    r"""$\psi'(x) - 1/x > 0$, about $1/2x^2$.

    >>> print(f"{shape_curvature(1.):.6f}")
    0.644934
    """
    (x,) = arrays(x)
    u = 1 / _end(x)
    steps = _over_shifts(lambda y: 1 / (y * y) / (y + 1), x)
    return steps + (0.5 * u * u + _curvature_series(u))


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

    u, v = 1 / _end(x0), 1 / _end(x1)
    return _over_shifts(step, x1, x0) + d * (0.5 * u * v + power_slopes(u, v, _series(x0)))


@_shape_difference.defjvp
def _(primals, tangents):
    x1, x0, _ = primals
    change = shape_curvature(x1) * tangents[0] - shape_curvature(x0) * tangents[1]
    return _shape_difference(*primals), change


@jax.custom_jvp
def _shape_bregman(x1, x0, d):
    def step(y1, y0):
        small, near, log_far = _step(y1, y0, d)
        close = d / y0 * (d / y1) / (y0 + 1) - (y1 + 1) * near
        return jnp.where(small, close, (y1 + 1) * log_far + d / y0)

    end1, end0 = _end(x1), _end(x0)
    stirling = d * d * power_remainders(1 / end0, 1 / end1, _series(x0))
    return _over_shifts(step, x1, x0) + (0.5 * _itakura_saito(end1, end0, d) + stirling)


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


@jax.custom_jvp
def _shape_slope(x):
    u = 1 / _end(x)
    series = u * u * horner(u, [k * c for k, c in enumerate(_series(x), 1)])
    return -(_over_shifts(lambda y: phi(1 / y), x) + (0.5 * u + series))


@_shape_slope.defjvp
def _(primals, tangents):
    return _shape_slope(*primals), shape_curvature(*primals) * tangents[0]


@jax.custom_jvp
def _shape_value(x):
    end = _end(x)
    series = horner(1 / end, list(_series(x))) / end
    steps = _over_shifts(lambda y: 1 / y - (y + 1) * phi(1 / y), x)
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


@jax.custom_jvp
def _log_gamma(x):
    low = x < 1.5
    anchor, slope = jnp.where(low, 1, 2).astype(x.dtype), jnp.where(low, -_EULER, 1 - _EULER)
    d = x - anchor
    return _gamma_bregman(x, anchor, d) + slope.astype(x.dtype) * d


@_log_gamma.defjvp
def _(primals, tangents):
    return _log_gamma(*primals), digamma(*primals) * tangents[0]


def log_gamma(x: Number) -> Float[Array, "..."]:
    r"""$\log\Gamma(x)$ for $x > 0$, with the digits of its zeros at 1 and 2.

    >>> print(f"{log_gamma(5.):.6f}")
    3.178054
    """
    return _log_gamma(*arrays(x))


def digamma(x: Number) -> Float[Array, "..."]:
    r"""$\psi(x) = \frac{d}{dx}\log\Gamma(x)$ for $x > 0$, with the digits of its zero.

    >>> print(f"{digamma(1.):.6f}")
    -0.577216
    """
    (x,) = arrays(x)
    root = jnp.full_like(x, sum(_ROOT))
    return _digamma_difference(x, root, (x - _ROOT[0]) - _ROOT[1])


# a b - c d


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
