r"""The Rényi kernel and link, smooth in their order through 1 and 0.

$E(r, a) = \int_0^r e^{-(1-a)t} (1 - e^{-at})/a\,dt = [\psi(r) - \psi((1-a)r)/(1-a)]/a$.
"""

from collections.abc import Callable
from functools import partial
from math import comb, factorial

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float
from jaxtyping import ArrayLike as Number

from .base import arrays, finite, horner, log1p, over, terms
from .elementary import expm1
from .generators import phi


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _moment(k, x):
    r"""$\mu_k(x) = \int_0^1 u^k e^{xu} du$, so $\mu_0 = (e^x - 1)/x$ and $\mu_k' = \mu_{k+1}$."""
    near = jnp.abs(x) < 2
    u = jnp.where(near, x, 0)
    count = terms(x, 14, 24)
    series = horner(u, [1 / (factorial(n) * (n + k + 1)) for n in range(count)])
    v = jnp.where(near, 2, x)
    top = jnp.exp(v)
    huge = jnp.isinf(top)
    value, top = jnp.expm1(v) / v, jnp.where(huge, 0, top)
    for j in range(1, k + 1):
        value = (top - j * jnp.where(huge, 0, value)) / v
    return jnp.where(near, series, jnp.where(huge, jnp.inf, value))


@_moment.defjvp
def _(k, primals, tangents):
    (x,), (dx,) = primals, tangents
    return _moment(k, x), finite(_moment(k + 1, x)) * dx


def _renyi_series(s, a, order):
    """E and its first two derivatives in a, by the power series in s (for s max(1, |1-a|) < 2)."""
    y, w = -s, (a - 1) * s
    # h_n(y, w) is the complete homogeneous polynomial; d/dw of it differentiates the powers of w.
    powers = [jnp.ones_like(s)]
    total, h = jnp.zeros_like(s), jnp.zeros_like(s)
    for n in range(terms(s, 16, 26)):
        falling = 1
        for j in range(order):
            falling *= n - j
        h = y * h
        if n >= order:
            h = h + falling * powers[n - order]
            powers.append(powers[-1] * w)
        total = total + h * (1 / factorial(n + 2))
    return s ** (2 + order) * total


def _renyi_large(s, a, order):
    """The same away from s = 0, from whichever end (a = 1 or a = 0) does not cancel."""
    upper = a >= 0.5
    au, al = jnp.where(upper, a, 1), jnp.where(upper, 0, a)
    bu, bl = 1 - au, 1 - al
    decay = jnp.expm1(-s)
    up = (s * _moment(0, -bu * s) + decay) / au
    # exp(-s) mu_k(a s), never overflowing: for a > 0 it is exp(-b s) times an integral of exp(-au).
    m = [_moment(k, -jnp.abs(al) * s) for k in range(order + 1)]
    flip = [sum((-1) ** j * comb(k, j) * m[j] for j in range(k + 1)) for k in range(order + 1)]
    scale = jnp.exp(-s * jnp.where(al > 0, bl, 1))
    tail = [scale * jnp.where(al > 0, f, g) for f, g in zip(flip, m, strict=True)]
    low = (-decay - s * tail[0]) / bl
    for k in range(1, order + 1):
        up = (s ** (k + 1) * _moment(k, -bu * s) - k * up) / au
        low = (k * low - s ** (k + 1) * tail[k]) / bl
    return jnp.where(upper, up, low)


def _renyi_raw(s, a, order):
    """The derivative of E(s, a) of that order in a, for s >= 0."""
    bounded = s != jnp.inf
    t = jnp.where(bounded, s, 1)
    near = t * jnp.maximum(1, jnp.abs(1 - a)) < 2
    small = _renyi_series(jnp.where(near, t, 0), jnp.where(near, a, 1), order)
    # Selected against, s = 2 keeps the other branch finite and never negative.
    large = _renyi_large(jnp.where(near, 2, t), jnp.where(near, 1, a), order)
    b = 1 - a
    limit = jnp.where(b > 0, factorial(order) / jnp.where(b > 0, b, 1) ** (order + 1), jnp.inf)
    return jnp.where(bounded, jnp.where(near, small, large), limit)


@jax.custom_jvp
def _renyi_half(s, a):
    return _renyi_raw(s, a, 0)


@jax.custom_jvp
def _renyi_order(s, a):
    return _renyi_raw(s, a, 1)


@jax.custom_jvp
def _renyi_slope(s, a):
    r"""$\partial_s E = s e^{-(1-a)s}\mu_0(-as)$."""
    t = jnp.where(s == jnp.inf, 0, s)
    # For a < 0 the exponentials go the other way round, lest one of them overflow.
    up = jnp.exp(-(1 - jnp.maximum(a, 0)) * t) * _moment(0, -jnp.maximum(a, 0) * t)
    low = jnp.exp(-t) * _moment(0, jnp.minimum(a, 0) * t)
    return t * jnp.where(a >= 0, up, low)


def _renyi_mixed(s, a):
    r"""$\partial_a \partial_s E = s^2 e^{-(1-a)s} (\mu_0 - \mu_1)(-as)$."""
    t = jnp.where(s == jnp.inf, 0, s)
    x = -jnp.maximum(a, 0) * t
    up = jnp.exp(-(1 - a) * t) * (_moment(0, x) - _moment(1, x))
    low = jnp.exp(-t) * _moment(1, jnp.minimum(a, 0) * t)
    return finite(t * t * jnp.where(a >= 0, up, low))


def _renyi_curvature(s, a):
    r"""$\partial_s^2 E = e^{-(1-a)s} (1 - s \mu_0(-as))$."""
    t = jnp.where(s == jnp.inf, 0, s)
    # For a < 0 as in the slope, lest 0 meet infinity.
    up = jnp.exp(-(1 - jnp.maximum(a, 0)) * t) * (1 - t * _moment(0, -jnp.maximum(a, 0) * t))
    below = jnp.minimum(a, 0)
    low = jnp.exp(-(1 - below) * t) - t * jnp.exp(-t) * _moment(0, below * t)
    return jnp.where(s == jnp.inf, 0, finite(jnp.where(a >= 0, up, low)))


def _tangent(primals, tangents, in_s, in_a):
    """A fixed order costs nothing: its slope is not formed."""
    change = jnp.zeros_like(primals[0])
    for slope, tangent in zip((in_s, in_a), tangents, strict=True):
        if not isinstance(tangent, SymbolicZero):
            change = change + slope(*primals) * tangent
    return change


@partial(_renyi_half.defjvp, symbolic_zeros=True)
def _(primals, tangents):
    def in_s(s, a):
        return finite(_renyi_slope(s, a))

    def in_a(s, a):
        return finite(_renyi_order(s, a))

    return _renyi_half(*primals), _tangent(primals, tangents, in_s, in_a)


@partial(_renyi_slope.defjvp, symbolic_zeros=True)
def _(primals, tangents):
    value = _renyi_slope(*primals)
    return value, _tangent(primals, tangents, _renyi_curvature, _renyi_mixed)


@partial(_renyi_order.defjvp, symbolic_zeros=True)
def _(primals, tangents):
    def in_a(s, a):
        return finite(_renyi_raw(s, a, 2))

    return _renyi_order(*primals), _tangent(primals, tangents, _renyi_mixed, in_a)


def renyi_term(r: Number, order: Number) -> Float[Array, "..."]:
    r"""$E(r, a) = [\psi(r) - \psi((1-a)r)/(1-a)]/a \ge 0$, with $E(r, 1) = \psi(r)$.

    With $r = \log p/q$, $S = \sum p\,E(r, a)$ is $(1 - \sum p^a q^{1-a})/(a(1-a))$ for normalised
    $p$ and $q$: KL at $a = 1$, and $KL(q‖p)$ at $a = 0$. Smooth in $r$ and in $a$. Where
    $p = 0 < q$ the product is 0 · inf: use `renyi_node`.

    >>> print(f"{renyi_term(1e-3, 1.):.4e} {renyi_term(1e-3, 0.5):.4e}")
    4.9983e-07 4.9975e-07
    """
    r, a = arrays(r, order)
    above = r >= 0
    up = _renyi_half(jnp.where(above, r, 0), a)
    # E(r, a) = exp(-r) E(-r, 1-a)
    beyond = r == -jnp.inf
    s = jnp.where(above | beyond, 0, -r)
    down = jnp.exp(s) * _renyi_half(s, 1 - a)
    return jnp.where(above, up, jnp.where(beyond, jnp.inf, down))


def renyi_node(p: Number, q: Number, r: Number, order: Number) -> Float[Array, "..."]:
    r"""$p\,E(\log p/q, a) = q\,E(\log q/p, 1-a)$, from whichever of the two cannot overflow.

    At $p = 0 < q$ it is $q/a$ (inf for $a \le 0$); at $q = 0 < p$, $p/(1-a)$ (inf for $a \ge 1$).

    Args:
        p: probability under the first distribution.
        q: probability under the second.
        r: $\log p/q$, ±inf where one of them is 0; 0 where both are.
        order: $a$.

    >>> print(renyi_node(0., 0.25, -jnp.inf, 0.5), renyi_node(0.25, 0., jnp.inf, 0.5))
    0.5 0.5
    """
    p, q, r, a = arrays(p, q, r, order)
    above = r >= 0
    value = _renyi_half(jnp.where(above, r, -r), jnp.where(above, a, 1 - a))
    weight = jnp.where(above, p, q)
    return weight * jnp.where(weight == 0, 0, value)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _log1p_moment(k, x):
    r"""$\lambda_k(x) = \int_0^1 u^k (1+xu)^{-k-1} du$.

    $\lambda_0 = \log(1+x)/x$ and $\lambda_k' = -(k+1)\lambda_{k+1}$.
    """
    w = 1 / (1 + x)
    z = x * w
    near = jnp.abs(z) < 0.3
    u = jnp.where(near, z, 0)
    series = horner(u, [1 / (n + k + 1) for n in range(terms(x, 15, 31))])
    v = jnp.where(near, 1, z)
    value = log1p(jnp.where(near, 1, x)) / v
    for j in range(1, k + 1):
        value = (value - 1 / j) / v
    return w ** (k + 1) * jnp.where(near, series, value)


@_log1p_moment.defjvp
def _(k, primals, tangents):
    (x,), (dx,) = primals, tangents
    return _log1p_moment(k, x), -(k + 1) * _log1p_moment(k + 1, x) * dx


def _link_argument(total, a):
    x = -a * (1 - a) * jnp.where(total == jnp.inf, 0, total)
    return x, (x > -1) & (total < jnp.inf)


@jax.custom_jvp
def _renyi_link(total, a):
    x, inside = _link_argument(total, a)
    value = a * jnp.where(inside, total, 0) * _log1p_moment(0, jnp.where(inside, x, 0))
    outside = jnp.where((x == -1) | (total == jnp.inf), jnp.inf, jnp.nan)
    return jnp.where(inside, value, outside)


@_renyi_link.defjvp
def _(primals, tangents):
    (total, a), (ds, da) = primals, tangents
    x, inside = _link_argument(total, a)
    s, y = jnp.where(inside, total, 0), jnp.where(inside, x, 0)
    in_s = jnp.where(inside, over(a, 1 + y), 0)
    in_a = s * _log1p_moment(0, y) + a * s * s * (1 - 2 * a) * _log1p_moment(1, y)
    return _renyi_link(total, a), in_s * ds + jnp.where(inside, in_a, 0) * da


def renyi_link(total: Number, order: Number) -> Float[Array, "..."]:
    r"""$D_a = -\log(1 - a(1-a)S)/(1-a)$ from $S$ = `total`; $S$ itself at $a = 1$.

    inf where the supports are disjoint ($a(1-a)S = 1$) or $S$ is inf. At $a = 0$ it is 0: there
    $D_0 = -\log q(p > 0)$ needs the supports, which $S$ does not hold.

    >>> print(f"{renyi_link(0.5, 1.):.4f} {renyi_link(0.5, 2.):.4f}")
    0.5000 0.6931
    """
    return _renyi_link(*arrays(total, order))


def expm1_over(c: Number, x: Number) -> Float[Array, "..."]:
    r"""$(e^{c x} - 1)/c$, $x$ at $c = 0$; smooth, with slope $e^{c x}$ in $x$ wherever.

    >>> print(f"{expm1_over(0., 2.):.1f} {expm1_over(1., 2.):.4f}")
    2.0 6.3891
    """
    c, x = arrays(c, x)
    near = jnp.abs(c * x) < 0.5
    close = x * _moment(0, jnp.where(near, c * x, 0))
    return jnp.where(near, close, expm1(jnp.where(near, 0, c * x)) / jnp.where(near, 1, c))


def log1prel(x: Number) -> Float[Array, "..."]:
    r"""$\log(1 + x)/x$ for $x > -1$, 1 at 0; smooth.

    >>> print(f"{log1prel(0.):.1f} {log1prel(1e-3):.6f}")
    1.0 0.999500
    """
    return _log1p_moment(0, *arrays(x))


def divided(
    fn: Callable[[Array], Array], x: Array, a: Array, series: tuple[float, ...]
) -> Float[Array, "..."]:
    """`fn(a * x) / a`: around `a * x = 0`, `x` times a power series in `a * x`."""
    y = a * x
    tiny = abs(y) < jnp.finfo(y.dtype).eps ** (1 / 3)
    small, total = jnp.where(tiny, y, 0.0), jnp.zeros_like(y)
    for c in reversed(series):
        total = total * small + c
    return jnp.where(tiny, x * total, fn(jnp.where(tiny, 1.0, y)) / jnp.where(tiny, 1.0, a))


def log_mixture_gap(log_ratio: Array, t: Array, s: Array, order: Array) -> Float[Array, "..."]:
    r"""$(\log(1 + \alpha t) - \alpha\log(1 + t)) / (1 - \alpha) \ge 0$, smooth through 1.

    Here $1 + t = e^{r}$ for the logarithm $r$ of a ratio of rates or variances, and
    $1 + s = e^{-r}$. With $\beta = 1 - \alpha$ it is $\phi(s) - \phi(\beta s) / \beta$, used near
    equality, and $\log(1 + \beta s) / \beta + r$, used elsewhere; small orders by the mirrored
    forms.
    """
    high = order >= 0.5
    beta = 1 - order
    x, a = jnp.where(high, s, t), jnp.where(high, beta, order)
    near = (x > -0.5) & (x < 1)
    u, v = jnp.where(near, x, 0.0), jnp.where(near, 1.0, x)
    close = phi(u) - divided(phi, u, a, (0.0, 1 / 2, -1 / 3, 1 / 4))
    log_x = jnp.where(high, -1.0, 1.0) * jnp.where(near, 0.0, log_ratio)
    far = divided(log1p, v, a, (1.0, -1 / 2, 1 / 3, -1 / 4)) - log_x
    return jnp.where(near, close, far) * jnp.where(high, 1.0, order / jnp.where(high, 1.0, beta))


def moment(k: int, x: Number) -> Float[Array, "..."]:
    r"""$\int_0^1 u^k e^{xu}\,du$: of $k = 0$ it is $(e^x - 1)/x$.

    >>> print(f"{moment(0, 0.0):.1f} {moment(1, 0.0):.1f}")
    1.0 0.5
    """
    return _moment(k, *arrays(x))


def log1prel_derivative(k: int, x: Number, a: Number) -> Float[Array, "..."]:
    r"""The derivative of order $k$ in $a$ of $\log(1 + ax)/a$.

    >>> print(f"{log1prel_derivative(0, 2.0, 0.0):.1f} {log1prel_derivative(1, 2.0, 0.0):.1f}")
    2.0 -2.0
    """
    x, a = arrays(x, a)
    return (-1) ** k * factorial(k) * x ** (k + 1) * _log1p_moment(k, a * x)
