"""The beta and the Dirichlet distributions and their closed forms."""

from typing import Any, ClassVar

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
    shape_slope,
    shape_value,
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


def _kl(alpha: Array, beta: Array) -> Array:
    """The categorical part, between the means, and the shapes' remainders less that of the sum."""
    delta = beta - alpha
    s, t, rise = (jnp.sum(x, -1) for x in (alpha, beta, delta))
    shapes = jnp.sum(shape_bregman(beta, alpha, delta), -1)
    return _between_means(alpha, beta) + (shapes - shape_bregman(t, s, rise))


def beta_kl(a: Array, b: Array, c: Array, d: Array) -> Array:
    """From Beta(a, b) to Beta(c, d)."""
    return _kl(jnp.stack([a, b], -1), jnp.stack([c, d], -1))


def _others(x: Array) -> Array:
    """For each entry the sum of the others."""
    none = jnp.zeros_like(x[..., :1])
    before = jnp.concatenate([none, jnp.cumsum(x[..., :-1], -1)], -1)
    after = jnp.concatenate([lax.cumsum(x[..., 1:], x.ndim - 1, reverse=True), none], -1)
    return before + after


def _products(alpha: Array, beta: Array) -> tuple[Array, Array, Array]:
    r"""$\alpha t$ and $\beta s$, for the sums $s$, $t$ of both, and their difference.

    What an entry itself contributes to both is left out of that: it may be nearly all. Two others'
    sums round, so that near equality the difference is taken first.
    """
    s, t = (jnp.sum(x, -1, keepdims=True) for x in (alpha, beta))
    gap = product_difference(alpha, _others(beta), _others(alpha), beta)
    if alpha.shape[-1] > 2:
        delta = beta - alpha
        near = jnp.all(abs(delta) < 0.5 * alpha, -1, keepdims=True)
        close = product_difference(alpha, _others(delta), _others(alpha), delta)
        gap = jnp.where(near, close, gap)
    return alpha * t, beta * s, gap


@jax.custom_jvp
def _between_means(alpha: Array, beta: Array) -> Array:
    r"""$t$ times the KL divergence of $\beta/t$ from $\alpha/s$."""
    return jnp.sum(beta * itakura_saito(*_products(alpha, beta)), -1)


@_between_means.defjvp
def _(primals, tangents):
    # The rules of sums and products, in which the terms that cancel are left out.
    alpha, beta = primals
    change = _relative_gap(alpha, beta) * tangents[0] - _log_shares(alpha, beta) * tangents[1]
    return _between_means(alpha, beta), jnp.sum(change, -1)


@jax.custom_jvp
def _relative_gap(alpha: Array, beta: Array) -> Array:
    r"""$t/s - \beta/\alpha$."""
    return _products(alpha, beta)[2] / jnp.sum(alpha, -1, keepdims=True) / alpha


@_relative_gap.defjvp
def _(primals, tangents):
    (alpha, beta), (da, db) = primals, tangents
    s, t, ds, dt = (jnp.sum(x, -1, keepdims=True) for x in (alpha, beta, da, db))
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
    return rest / alpha / jnp.sum(alpha, -1, keepdims=True)


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
    return _kl(alpha, beta)


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
