r"""KL divergences between families that share members: 0 at those, and accurate beside them.

A cross-entropy less an entropy, the rule for all other families, is rounding there.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from .._estimator.rules import find_rule, rule
from .._functional.entropies import CrossEntropy
from .._functional.kl import KL
from .._special import (
    digamma_difference,
    itakura_saito,
    log_ratio,
    product_difference,
    shape_bregman,
)
from .._special.base import log1p
from .agree import only_where_equal
from .align import align
from .base import floating
from .bernoulli import Bernoulli
from .beta import Beta, dirichlet_kl
from .binomial import Binomial
from .chi import Chi
from .continuous_bernoulli import ContinuousBernoulli, log_mass_remainder
from .exponential import Exponential
from .geometric import Geometric, NegativeBinomial, times_log1m
from .gumbel import Weibull, weibull_kl
from .half_normal import HalfNormal
from .kumaraswamy import Kumaraswamy
from .statistics import Log, Log1m, mean_of
from .uniform import Uniform


@rule(KL, Exponential, Weibull)
def _(functional, p, q):
    rate, scale, k = floating(p.rate, q.scale, q.concentration)
    one = jnp.ones_like(rate)
    return weibull_kl(-_log_product(rate, scale), one, k)


@rule(KL, Weibull, Exponential)
def _(functional, p, q):
    scale, k, rate = floating(p.scale, p.concentration, q.rate)
    return weibull_kl(_log_product(rate, scale), k, jnp.ones_like(rate))


def _log_product(x: Array, y: Array) -> Array:
    return log_ratio(x * y, 1.0, product_difference(x, y, 1.0, 1.0))


# Squares of both have gamma distributions.


@rule(KL, HalfNormal, Chi)
def _(functional, p, q):
    scale, df = floating(p.scale, q.df)
    means = itakura_saito(scale * scale, df, product_difference(scale, scale, df, 1.0))
    return 0.5 * df * means + shape_bregman(0.5 * df, 0.5, 0.5 * (df - 1))


@rule(KL, Chi, HalfNormal)
def _(functional, p, q):
    df, scale = floating(p.df, q.scale)
    means = itakura_saito(df, scale * scale, product_difference(df, 1.0, scale, scale))
    return 0.5 * means + shape_bregman(0.5, 0.5 * df, 0.5 * (1 - df))


# From a uniform distribution on a wider interval than (0, 1) by how much wider it is, in addition.


@rule(KL, Beta, Uniform)
@rule(KL, ContinuousBernoulli, Uniform)
@rule(KL, Kumaraswamy, Uniform)
def _(functional, p, q):
    low, high, value = floating(q.low, q.high, _from_unit_uniform(p))
    inside = (low <= 0) & (high >= 1)
    excess = jnp.where(inside, (high - 1) - low, 0.0)
    return jnp.where(inside, value + log1p(excess), jnp.inf)


def _from_unit_uniform(p: Beta | ContinuousBernoulli | Kumaraswamy) -> Array:
    match p:
        case Beta():
            a, b = p.parameters()
            one = jnp.ones_like(a + b)
            return dirichlet_kl(jnp.stack([a * one, b * one]), jnp.stack([one, one]))
        case ContinuousBernoulli():
            eta = p.eta()
            return log_mass_remainder(jnp.zeros_like(eta), eta, -eta)
        case _:
            a, b = p.parameters()
            lower = digamma_difference(b + 1, 2.0, b - 1)
            return itakura_saito(1.0, a) + itakura_saito(1.0, b) - (a - 1) / a * lower


@rule(KL, Uniform, Beta)
def _(functional, p, q):
    log_x, log_rest = (mean_of(statistic, p) for statistic in (Log(), Log1m()))
    a, b, log_x, log_rest = jnp.broadcast_arrays(*floating(*q.parameters(), log_x, log_rest))
    one = jnp.ones_like(a)
    unit = dirichlet_kl(jnp.stack([one, one]), jnp.stack([a, b]))
    turn = (1 - a) * (1 + log_x) + (1 - b) * (1 + log_rest)
    return _from_uniform(p, q, (abs(a - 1) < 1) & (abs(b - 1) < 1), unit + turn)


@rule(KL, Uniform, ContinuousBernoulli)
def _(functional, p, q):
    eta, mean = jnp.broadcast_arrays(*floating(q.eta(), p.mean))
    unit = log_mass_remainder(eta, jnp.zeros_like(eta), eta)
    return _from_uniform(p, q, abs(eta) < 1, unit - eta * (mean - 0.5))


def _from_uniform(p: Uniform, q: Beta | ContinuousBernoulli, near: Array, value: Array) -> Array:
    """Where Q is nearly uniform, as from all of (0, 1) and what P is off from that in addition."""
    fn: Any = find_rule(CrossEntropy(), p, q)
    low, high = p.parameters()
    inside = (low >= 0) & (high <= 1)
    width = log1p(jnp.where(inside, (high - 1) - low, 0.0))
    value = jnp.where(near, value, fn(CrossEntropy(), p, q)) - width
    return jnp.where(inside, value, jnp.inf)


# Counts of one trial.


@rule(KL, Bernoulli, Binomial)
def _(functional, p, q):
    n, b = floating(q.total_count, q.probs)
    value = functional.integrate(align(p, Bernoulli(probs=b)))
    (mean,) = floating(p.mass(2)[..., 1])
    more = -(mean * jnp.log(jnp.where(n > 0, n, 1.0)) + times_log1m(n - 1, b))
    return jnp.where(n > 0, value + more, jnp.where(mean > 0, jnp.inf, 0.0))


@rule(KL, Binomial, Bernoulli)
def _(functional, p, q):
    n, a = floating(p.total_count, p.probs)
    value = functional.integrate(align(Bernoulli(probs=jnp.where(n > 0, a, 0.0)), q))
    return jnp.where((n > 1) & (a > 0), jnp.inf, value)


@rule(KL, Geometric, NegativeBinomial)
@rule(KL, NegativeBinomial, Geometric)
def _(functional, p, q):
    count = p.total_count if isinstance(p, NegativeBinomial) else q.total_count
    both = [d.geometric() if isinstance(d, NegativeBinomial) else d for d in (p, q)]
    fn: Any = find_rule(functional, *both)
    return only_where_equal(count, 1.0, fn(functional, *both))
