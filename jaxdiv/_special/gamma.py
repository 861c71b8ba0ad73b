r"""The logarithm of the gamma function, by differences that do not cancel.

With $X = x + n$, $\log\Gamma(x) = \log\Gamma(X) - \sum_{k<n} \log(x + k)$ and Stirling's series at
$X$. Every convex piece of that has a Bregman remainder of its own that is not negative, so their
sum has the digits of its largest term, and no logarithm of a gamma function is ever subtracted from
another. Differences $d = x_1 - x_0$ are arguments: the caller has them exactly.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from jaxtyping import ArrayLike as Number

from .base import arrays, horner, summed, terms
from .generators import phi_series

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
# Where the digamma function is zero: 1.4616321449683623412..., in two parts.
_ROOT = (1.46163177490234375, 3.7006601869126e-07)


def stirling_series(x: Array) -> tuple[float, ...]:
    r"""The coefficients of $X^{-1}, X^{-2}, \dots$ for the dtype of `x`."""
    return _STIRLING if x.dtype == jnp.float64 else _SINGLE


def shifted(x: Array) -> Array:
    """The $X$ of an $x$."""
    return x + terms(x, 1, 10)


def over_shifts(term: Callable[..., Array], *xs: Array) -> Array:
    r"""$\sum_{k<n}$ of `term` of the `xs` with $k$ added."""
    shifts = np.arange(terms(xs[0], 1, 10))
    return summed(lambda k: term(*(x + k for x in xs)), xs[0], shifts)


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


def curvature_series(u: Array) -> Array:
    r"""The second derivative of what Stirling's series adds up to, at $X = 1/u$."""
    return u * u * u * horner(u, [k * (k + 1) * c for k, c in enumerate(stirling_series(u), 1)])


def trigamma(x: Number) -> Float[Array, "..."]:
    r"""$\frac{d^2}{dx^2} \log\Gamma(x)$ for $x > 0$.

    >>> print(f"{trigamma(1.):.6f}")
    1.644934
    """
    (x,) = arrays(x)
    u = 1 / shifted(x)
    return over_shifts(lambda y: 1 / (y * y), x) + (u + 0.5 * u * u + curvature_series(u))


@jax.custom_jvp
def _digamma_difference(x1, x0, d):
    end1, end0 = shifted(x1), shifted(x0)
    u, v = 1 / end0, 1 / end1
    near = over_shifts(lambda y1, y0: d / y0 / y1, x1, x0)
    stirling = d * (0.5 * u * v + power_slopes(u, v, stirling_series(x0)))
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
    end1, end0 = shifted(x1), shifted(x0)
    parts = over_shifts(lambda y1, y0: _itakura_saito(y1, y0, d), x1, x0)
    ends = end1 * _itakura_saito(end0, end1, -d) + 0.5 * _itakura_saito(end1, end0, d)
    return parts + ends + d * d * power_remainders(1 / end0, 1 / end1, stirling_series(x0))


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
    series = horner(u, [-k * (k + 1) ** 2 * c for k, c in enumerate(stirling_series(x0), 1)])
    rest = jnp.where(far, u * u * (-0.5 + u * series), trigamma(x0) + x0 * steep)
    change = (rest - x1 * steep) * tangents[1] - trigamma(x0) * tangents[0]
    return _bregman_slope(x1, x0, d), change


def gamma_bregman(x1: Number, x0: Number, d: Number) -> Float[Array, "..."]:
    r"""$\log\Gamma(x_1) - \log\Gamma(x_0) - \psi(x_0)\,d \ge 0$; `d` is $x_1 - x_0$.

    >>> print(f"{gamma_bregman(1.0001, 1., 1e-4):.3e}")
    8.224e-09
    """
    return _gamma_bregman(*arrays(x1, x0, d))


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
