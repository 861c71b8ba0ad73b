"""The beta and the Dirichlet distributions and their closed forms."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import (
    digamma_difference,
    itakura_saito,
    log_gamma,
    log_ratio,
    product_difference,
    shape_bregman,
    shape_curvature,
    shape_difference,
    shape_excess,
    shape_slope,
    shape_value,
    total,
    two_sum,
)
from .base import Check, field, floating, only_stratum
from .exponential_family import AbstractExponentialFamily, differences
from .statistics import Log, Log1m, Power
from .univariate import AbstractContinuous, Shifted, inside_support, on_unit_interval


class Beta(AbstractContinuous, AbstractExponentialFamily):
    r"""Density $x^{a-1} (1 - x)^{b-1} / B(a, b)$ on (0, 1).

    Args:
        concentration1: $a > 0$, the power of $x$.
        concentration0: $b > 0$, the power of $1 - x$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Beta(2.0, 2.0), jd.Beta(1.0, 1.0)):.6f}")
        0.125093
    """

    concentration1: Float[Any, "..."] = field(constraint="positive")
    concentration0: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = True

    @property
    def support(self):
        return 0.0, 1.0

    @property
    def mean(self):
        a, b = self.parameters()
        return a / (a + b)

    @property
    def variance(self):
        a, b = self.parameters()
        total = a + b
        return (a / total) * (b / total) / (total + 1)

    def log_prob(self, x):
        x, a, b = floating(x, self.concentration1, self.concentration0)
        inside, y = inside_support(x, 0.0, 1.0, 0.5)
        value = (a - 1) * jnp.log(y) + (b - 1) * jnp.log1p(-y)
        norm = log_gamma(a + b) - log_gamma(a) - log_gamma(b)
        return jnp.where(inside, value + norm, -jnp.inf)

    def sample(self, key, shape=()):
        a, b = self.parameters()
        return jr.beta(key, a, b, (*shape, *a.shape), a.dtype)

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        return on_unit_interval(self.mean, jnp.sqrt(self.variance))

    def natural(self):
        return self.parameters()

    def statistic(self, x):
        return jnp.log(x), jnp.log1p(-x)

    def expectation(self):
        a, b = self.parameters()
        return -digamma_difference(a + b, a, b), -digamma_difference(a + b, b, a)

    def from_natural(self, natural):
        return Beta(*natural)

    def natural_difference(self, other):
        return differences(self, other)

    def is_natural(self, natural):
        return (natural[0] > 0) & (natural[1] > 0)

    def fisher_form(self, direction):
        return _fisher_form(jnp.stack(self.parameters(), -1), jnp.stack(direction, -1))


class Dirichlet(AbstractExponentialFamily):
    r"""Density $\prod_k x_k^{\alpha_k - 1} / B(\alpha)$ on the simplex.

    With respect to the first $K - 1$ coordinates, as is usual.

    Args:
        concentration: $\alpha > 0$, `[*batch, K]`.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p, q = jd.Dirichlet(jnp.ones(3)), jd.Dirichlet(jnp.array([2.0, 1.0, 1.0]))
        >>> print(f"{jd.kl(p, q):.6f}")
        0.401388
    """

    concentration: Float[Any, "*batch K"] = field(constraint="positive", event_ndim=1)
    reparameterized: ClassVar[bool] = True
    integer: ClassVar[bool] = False

    @property
    def batch_shape(self):
        shape = jnp.shape(self.concentration)
        if not shape or shape[-1] < 2:
            raise ValueError(f"Dirichlet: expected concentration [..., K], K > 1, got {shape}.")
        return shape[:-1]

    @property
    def event_shape(self):
        return jnp.shape(self.concentration)[-1:]

    @property
    def normalized(self):
        return True

    @property
    def support(self):
        return 0.0, 1.0

    @property
    def mean(self):
        (alpha,) = floating(self.concentration)
        return alpha / jnp.sum(alpha, -1, keepdims=True)

    @property
    def variance(self):
        (alpha,) = floating(self.concentration)
        total = jnp.sum(alpha, -1, keepdims=True)
        return (alpha / total) * ((total - alpha) / total) / (total + 1)

    def log_prob(self, x):
        x, alpha = floating(x, self.concentration)
        inside = jnp.all(x > 0, -1)
        y = jnp.where(inside[..., None], x, 1.0)
        norm = log_gamma(jnp.sum(alpha, -1)) - jnp.sum(log_gamma(alpha), -1)
        return jnp.where(inside, jnp.sum((alpha - 1) * jnp.log(y), -1) + norm, -jnp.inf)

    def sample(self, key, shape=()):
        (alpha,) = floating(self.concentration)
        return jr.dirichlet(key, alpha, (*shape, *self.batch_shape), alpha.dtype)

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        raise TypeError(
            "Dirichlet lives on a simplex, over which Quadrature cannot integrate: use the closed "
            "form, or MonteCarlo(n)."
        )

    def value_checks(self):
        (alpha,) = floating(self.concentration)
        return [Check(~(alpha > 0), "Dirichlet: concentration must be positive")]

    def natural(self):
        return floating(self.concentration)

    def statistic(self, x):
        return (jnp.log(x),)

    def expectation(self):
        (alpha,) = floating(self.concentration)
        alpha = jnp.moveaxis(alpha, -1, 0)
        return (jnp.moveaxis(-digamma_difference(jnp.sum(alpha, 0), alpha, _others(alpha)), 0, -1),)

    def from_natural(self, natural):
        return Dirichlet(*natural)

    def natural_difference(self, other):
        return differences(self, other)

    def is_natural(self, natural):
        return jnp.all(natural[0] > 0, -1)

    def fisher_form(self, direction):
        return _fisher_form(*floating(self.concentration), *direction)


def _fisher_form(alpha: Array, change: Array) -> Array:
    total, sum_change = jnp.sum(alpha, -1), jnp.sum(change, -1)
    shapes = jnp.sum(shape_curvature(alpha) * change * change, -1)
    relative = change / alpha - (sum_change / total)[..., None]
    whole = shape_curvature(total) * sum_change * sum_change
    return (shapes - whole) + jnp.sum(alpha * relative * relative, -1)


# Between Dirichlet distributions. The classes are on the first axis: sums over it are faster.


class _Sums(NamedTuple):
    r"""Of $\alpha$, of $\beta$ and of $\delta = \beta - \alpha$; each of two numbers."""

    delta: tuple[Array, Array]
    s: tuple[Array, Array]
    t: tuple[Array, Array]
    rise: tuple[Array, Array]


def _sums(alpha: Array, beta: Array) -> _Sums:
    delta, none = two_sum(beta, -alpha), jnp.zeros_like(alpha)
    return _Sums(delta, total(alpha, none), total(beta, none), total(*delta))


@jax.custom_jvp
def _between_shapes(alpha: Array, beta: Array) -> Array:
    """The shapes' remainders less that of the sum.

    Where one entry is nearly all of the sum, both sums' remainders are nearly its own, and the
    difference between the two is taken first.
    """
    (delta, _), s, t, rise = _sums(alpha, beta)
    x0 = jnp.max(alpha, 0)
    top = alpha == x0
    x1 = jnp.max(jnp.where(top, beta, 0), 0)
    d, lack = two_sum(x1, -x0)
    r0, r1, turn = (s[0] - x0) + s[1], (t[0] - x1) + t[1], (rise[0] - d) + (rise[1] - lack)
    nearly_all = (8 * r0 <= x0) & (8 * r1 <= x1)
    x1, x0, d = (jnp.where(nearly_all, x, y[0]) for x, y in ((x1, t), (x0, s), (d, rise)))
    r1, r0, turn = (jnp.where(nearly_all, x, 0) for x in (r1, r0, turn))
    each = jnp.where(nearly_all & top, 0, shape_bregman(beta, alpha, delta))
    rest = jnp.where(nearly_all, shape_excess(x1, x0, d, r1, r0, turn), -shape_bregman(x1, x0, d))
    return jnp.sum(each, 0) + rest


@_between_shapes.defjvp
def _(primals, tangents):
    (alpha, beta), (da, db) = primals, tangents
    (delta, _), (s, _), (t, _), (rise, _) = _sums(alpha, beta)
    by_alpha = rise * shape_curvature(s) - delta * shape_curvature(alpha)
    by_beta = shape_difference(beta, alpha, delta) - shape_difference(t, s, rise)
    return _between_shapes(alpha, beta), jnp.sum(by_alpha * da + by_beta * db, 0)


@jax.custom_jvp
def _between_means(alpha: Array, beta: Array) -> Array:
    r"""$t$ times the KL divergence of $\beta/t$ from $\alpha/s$."""
    return jnp.sum(beta * itakura_saito(*_products(alpha, beta)), 0)


@_between_means.defjvp
def _(primals, tangents):
    # The rules of sums and products, in which the terms that cancel are left out.
    alpha, beta = primals
    change = _relative_gap(alpha, beta) * tangents[0] - _log_shares(alpha, beta) * tangents[1]
    return _between_means(alpha, beta), jnp.sum(change, 0)


def _products(alpha: Array, beta: Array) -> tuple[Array, Array, Array]:
    r"""$\alpha t$ and $\beta s$, and their difference, in which nothing is lost."""
    (delta, lack), s, t, rise = _sums(alpha, beta)
    gap = product_difference(alpha, rise[0], delta, s[0])
    return alpha * t[0], beta * s[0], gap + (alpha * rise[1] - delta * s[1] - lack * s[0])


@jax.custom_jvp
def _relative_gap(alpha: Array, beta: Array) -> Array:
    r"""$t/s - \beta/\alpha$."""
    return _products(alpha, beta)[2] / jnp.sum(alpha, 0) / alpha


@_relative_gap.defjvp
def _(primals, tangents):
    (alpha, beta), (da, db) = primals, tangents
    s, t, ds, dt = (jnp.sum(x, 0) for x in (alpha, beta, da, db))
    turn = _share_change(alpha, da)
    # Of d(beta/alpha) what the sums share with it is left out as well.
    change = _share_change(beta, db) - turn
    return _relative_gap(alpha, beta), (
        _relative_gap(alpha, beta) * (dt / t - ds / s) - beta / alpha * change
    )


@jax.custom_jvp
def _log_shares(alpha: Array, beta: Array) -> Array:
    r"""$\log(\alpha/s) - \log(\beta/t)$."""
    return log_ratio(*_products(alpha, beta))


@_log_shares.defjvp
def _(primals, tangents):
    (alpha, beta), (da, db) = primals, tangents
    return _log_shares(alpha, beta), _share_change(alpha, da) - _share_change(beta, db)


def _share_change(alpha: Array, change: Array) -> Array:
    r"""$d\log(\alpha/s)$."""
    rest = change * _others(alpha) - alpha * _others(change)
    return rest / alpha / jnp.sum(alpha, 0)


def _others(x: Array) -> Array:
    """For each entry the sum of the others."""
    none = jnp.zeros_like(x[:1])
    before = jnp.concatenate([none, jnp.cumsum(x[:-1], 0)])
    return before + jnp.concatenate([lax.cumsum(x[1:], 0, reverse=True), none])


def dirichlet_kl(alpha: Array, beta: Array) -> Array:
    """The classes on the first axis."""
    return _between_means(alpha, beta) + _between_shapes(alpha, beta)


def beta_kl(a: Array, b: Array, c: Array, d: Array) -> Array:
    """From Beta(a, b) to Beta(c, d)."""
    return dirichlet_kl(jnp.stack([a, b]), jnp.stack([c, d]))


@rule(KL, Beta, Beta)
def _(functional, p, q):
    fields = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    return beta_kl(*jnp.broadcast_arrays(*floating(*fields)))


@rule(KL, Dirichlet, Dirichlet)
def _(functional, p, q):
    alpha, beta = floating(p.concentration, q.concentration)
    if alpha.shape[-1] != beta.shape[-1]:
        raise ValueError(
            f"p is over {alpha.shape[-1]} classes and q over {beta.shape[-1]}: they must agree."
        )
    alpha, beta = jnp.broadcast_arrays(alpha, beta)
    return dirichlet_kl(jnp.moveaxis(alpha, -1, 0), jnp.moveaxis(beta, -1, 0))


def _entropy(alpha: Array) -> Array:
    s = jnp.sum(alpha, -1)
    count = alpha.shape[-1]
    log_mean = jnp.log(alpha / s[..., None])
    parts = shape_value(alpha) - (alpha - 1) * shape_slope(alpha) + log_mean
    return jnp.sum(parts, -1) - shape_value(s) + (s - count) * shape_slope(s)


@rule(Entropy, Beta)
def _(functional, p):
    return _entropy(jnp.stack(p.parameters(), -1))


@rule(Entropy, Dirichlet)
def _(functional, p):
    return _entropy(*floating(p.concentration))


@rule(Log, Beta)
def _(statistic, p):
    a, b = p.parameters()
    return -digamma_difference(a + b, a, b)


@rule(Log1m, Beta)
def _(statistic, p):
    a, b = p.parameters()
    return -digamma_difference(a + b, b, a)


@rule(Power, Beta)
def _(statistic, p):
    a, b, k = floating(p.concentration1, p.concentration0, statistic.exponent)
    finite = a + k > 0
    c = jnp.where(finite, a + k, 1.0)
    value = (log_gamma(c) - log_gamma(a)) + (log_gamma(a + b) - log_gamma(c + b))
    return jnp.where(finite, jnp.exp(value), jnp.inf)
