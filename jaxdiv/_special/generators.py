r"""Non-negative generators of divergences, with their derivatives."""

from math import factorial, log

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from jaxtyping import ArrayLike as Number

from .base import arrays, finite, horner, log1p, over, terms
from .elementary import expm1

# phi(t) = t - log1p(t)


def phi_series(t: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""$t - \log(1 + t)$ for $-1/2 \le t \le 1$."""
    # With s = t/(2+t), log1p(t) = 2 atanh(s) and t - 2s = s t: no cancellation near 0.
    s = t / (2 + t)
    z = s * s
    return s * (t - 2 * z * horner(z, [1 / (2 * k + 3) for k in range(terms(t, 8, 17))]))


@jax.custom_jvp
def _phi(t):
    near = (t > -0.5) & (t < 1)
    v = jnp.where(t == jnp.inf, 1, t)
    far = jnp.where(t == jnp.inf, t, v - log1p(v))
    return jnp.where(near, phi_series(jnp.where(near, t, 0)), far)


@jax.custom_jvp
def _phi_slope(t):
    """$t/(1+t)$."""
    v = jnp.where(t == jnp.inf, 0, t)
    return jnp.where(t == jnp.inf, 1, over(v, 1 + v))


@_phi_slope.defjvp
def _(primals, tangents):
    (t,), (dt,) = primals, tangents
    w = over(jnp.ones_like(t), 1 + t)
    return _phi_slope(t), finite(w * w) * dt


@_phi.defjvp
def _(primals, tangents):
    (t,), (dt,) = primals, tangents
    return _phi(t), _phi_slope(t) * dt


def phi(t: Number) -> Float[Array, "..."]:
    r"""$\phi(t) = t - \log(1 + t) \ge 0$ for $t \ge -1$; inf at -1 (with slope reported as 0).

    The series is that of DiDonato and Morris's `rlog1` (TOMS 708, 1992).

    >>> print(f"{phi(1e-4):.3e}")
    5.000e-09
    """
    return _phi(*arrays(t))


# psi(x) = exp(-x) - 1 + x


def expm1_series(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""$e^x - 1$ for $|x| \le 1/2$: half the time of `jnp.expm1` on a CPU."""
    return x * horner(x, [1 / factorial(k + 1) for k in range(terms(x, 8, 14))])


def psi_series(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""$e^{-x} - 1 + x$ for $|x| \le 1$."""
    return x * x * horner(x, [(-1.0) ** k / factorial(k + 2) for k in range(terms(x, 11, 18))])


@jax.custom_jvp
def _psi(x):
    near = jnp.abs(x) < 1
    v = jnp.where(x == -jnp.inf, 0, x)
    far = jnp.where(x == -jnp.inf, jnp.inf, jnp.expm1(-v) + v)
    return jnp.where(near, psi_series(jnp.where(near, x, 0)), far)


@_psi.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _psi(x), finite(-expm1(-x)) * dx


def psi(x: Number) -> Float[Array, "..."]:
    r"""$\psi(x) = e^{-x} - 1 + x \ge 0$; inf at ±inf.

    The mean of $\psi(\log p/q)$ under $p$ is $KL(p‖q)$ when both are normalised.

    >>> print(f"{psi(1e-4):.3e}")
    5.000e-09
    """
    return _psi(*arrays(x))


# bd0(x, y) = x log(x/y) - x + y


@jax.custom_jvp
def _bd0(x, y):
    inside = (x > 0) & (y > 0)
    xs, ys = jnp.where(inside, x, 1), jnp.where(inside, y, 1)
    gap = ys - xs
    ratio = ys / xs
    t = gap / xs
    huge = jnp.isinf(t)
    above = jnp.where(huge, ys, xs * _phi(jnp.where(huge | (ratio < 0.5), 0, t)))
    tiny = ratio < jnp.finfo(x.dtype).tiny
    minus_log = jnp.where(tiny, jnp.log(xs) - jnp.log(ys), -jnp.log(jnp.where(tiny, 1, ratio)))
    value = jnp.where(ratio < 0.5, xs * minus_log + gap, above)
    edge = jnp.where(x == 0, y, jnp.where(y == 0, jnp.inf, jnp.nan))
    edge = jnp.where((x < 0) | (y < 0) | jnp.isnan(x) | jnp.isnan(y), jnp.nan, edge)
    return jnp.where(inside, value, edge)


@jax.custom_jvp
def _log_quotient(x, y):
    r"""$\log(x/y)$, relatively accurate near $x = y$; 0 where either is 0."""
    inside = (x > 0) & (y > 0)
    xs, ys = jnp.where(inside, x, 1), jnp.where(inside, y, 1)
    near = (ys > 0.5 * xs) & (ys < 2 * xs)
    t = jnp.where(near, (ys - xs) / xs, 0)
    ratio = xs / ys
    safe = (ratio >= jnp.finfo(x.dtype).tiny) & (ratio < jnp.inf)
    far = jnp.where(safe, jnp.log(jnp.where(safe, ratio, 1)), jnp.log(xs) - jnp.log(ys))
    return jnp.where(inside, jnp.where(near, -log1p(t), far), 0)


@_log_quotient.defjvp
def _(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    one = jnp.ones_like(x)
    return _log_quotient(x, y), over(one, x) * dx - over(one, y) * dy


@jax.custom_jvp
def _relative_gap(x, y):
    r"""$(y - x)/y$; 0 at $y = 0$."""
    return over(y - x, y)


@_relative_gap.defjvp
def _(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    w = over(jnp.ones_like(y), y)
    return _relative_gap(x, y), over(over(x, y), y) * dy - w * dx


@_bd0.defjvp
def _(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    return _bd0(x, y), _log_quotient(x, y) * dx + _relative_gap(x, y) * dy


def bd0(x: Number, y: Number) -> Float[Array, "..."]:
    r"""$h(x, y) = x\log(x/y) - x + y \ge 0$: $y$ at $x = 0$, inf at $y = 0 < x$, 0 at $x = y$.

    Loader's (2000) saddle-point deviance. $\partial_x = \log(x/y)$ and $\partial_y = 1 - x/y$;
    where the limit is infinite (or the value is) 0 is reported. NaN for negative arguments.

    >>> print(f"{bd0(0.5, 0.5 + 2**-16):.3e}", bd0(0., 0.3), bd0(0.3, 0.), bd0(0., 0.))
    2.328e-10 0.3 inf 0.0
    """
    return _bd0(*arrays(x, y))


# K(y) = ((1+y) log1p(y) + (1-y) log1p(-y))/2


@jax.custom_jvp
def _js_kernel(y):
    a = jnp.abs(y)
    near = a <= 0.5
    z = jnp.where(near, a, 0) ** 2
    series = [1 / ((2 * k) * (2 * k - 1)) for k in range(1, terms(y, 11, 25))]
    inside = a < 1
    b = jnp.where(inside, a, 0)
    far = 0.5 * ((1 + b) * log1p(b) + (1 - b) * log1p(-b))
    edge = jnp.where(a == 1, log(2), jnp.nan)
    return jnp.where(near, z * horner(z, series), jnp.where(inside, far, edge))


@jax.custom_jvp
def _atanh(y):
    inside = ~(jnp.abs(y) >= 1)
    b = jnp.where(inside, y, 0)
    return 0.5 * (log1p(b) - log1p(-b))


@_atanh.defjvp
def _(primals, tangents):
    (y,), (dy,) = primals, tangents
    return _atanh(y), over(jnp.ones_like(y), (1 - y) * (1 + y)) * dy


@_js_kernel.defjvp
def _(primals, tangents):
    (y,), (dy,) = primals, tangents
    return _js_kernel(y), _atanh(y) * dy


def js_kernel(y: Number) -> Float[Array, "..."]:
    r"""$K(y) = \tfrac12[(1+y)\log(1+y) + (1-y)\log(1-y)]$ on $[-1, 1]$; $\log 2$ at the ends.

    $K'(y) = \operatorname{artanh} y$, reported as 0 at $\pm 1$. With $y = (p-q)/(p+q)$ the
    Jensen-Shannon divergence is $\sum \tfrac12(p+q) K(y)$. NaN outside.

    >>> print(f"{js_kernel(1e-4):.3e} {js_kernel(1.):.4f}")
    5.000e-09 0.6931
    """
    return _js_kernel(*arrays(y))


# -p log p and -p log q


@jax.custom_jvp
def _entr(p):
    zero = p == 0
    return jnp.where(zero, 0, -p * jnp.log(jnp.where(zero, 1, p)))


_INVERSE_E = {
    False: (0.3678794503211975, 2.4871612953553090e-08),
    True: (0.36787944117144233, 3.3784855259134225e-17),
}


@jax.custom_jvp
def _entr_slope(p):
    r"""$-(1 + \log p)$, relatively accurate around its zero at $1/e$; 0 at 0."""
    near = (p > 0.2) & (p < 0.6)
    # 1/e rounded to the dtype, and what the rounding leaves in 1 + log(p) = log(p e).
    inv_e, residual = _INVERSE_E[p.dtype == jnp.float64]
    v = jnp.where(near, (p - inv_e) / inv_e, 0)
    zero = p == 0
    far = 1 + jnp.log(jnp.where(zero, 1, p))
    return jnp.where(zero, 0, -jnp.where(near, log1p(v) + residual, far))


@_entr_slope.defjvp
def _(primals, tangents):
    (p,), (dp,) = primals, tangents
    return _entr_slope(p), -over(jnp.ones_like(p), p) * dp


@_entr.defjvp
def _(primals, tangents):
    (p,), (dp,) = primals, tangents
    return _entr(p), _entr_slope(p) * dp


def entr(p: Number) -> Float[Array, "..."]:
    r"""$-p\log p$, 0 at 0, where its derivatives are reported as 0; NaN for $p < 0$.

    >>> print(entr(0.), jax.grad(entr)(0.))
    0.0 0.0
    """
    return _entr(*arrays(p))


@jax.custom_jvp
def _neg_xlogy(p, log_q):
    zero = p == 0
    return jnp.where(zero, 0, -p * jnp.where(zero, 0, log_q))


@_neg_xlogy.defjvp
def _(primals, tangents):
    (p, log_q), (dp, dl) = primals, tangents
    return _neg_xlogy(p, log_q), -finite(log_q) * dp - p * dl


def neg_xlogy(p: Number, log_q: Number) -> Float[Array, "..."]:
    r"""$-p\log q$ from $p$ and $\log q$: 0 at $p = 0$ whatever $q$, inf at $p > 0 = q$.

    $\partial_p = -\log q$, reported as 0 at $\log q = -\infty$.

    >>> print(neg_xlogy(0., -jnp.inf), neg_xlogy(0.5, -jnp.inf))
    0.0 inf
    """
    return _neg_xlogy(*arrays(p, log_q))
