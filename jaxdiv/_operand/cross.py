r"""Closed forms across families: $E_P[-\log q]$ for each Q, from what any P says of its moments.

One rule a target serves all first arguments that know the means it needs (`statistics`), and gives
the cross-entropy; the KL divergence is that less the entropy of P. Where the support of P exceeds
that of Q both are infinite. Between members of one family, which may be near each other, the rules
beside the family hold instead.
"""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from .._estimator.rules import find_rule, rule
from .._functional.entropies import CrossEntropy, Entropy
from .._functional.kl import KL
from .._special import log_gamma
from .base import AbstractDistribution, floating
from .beta import Beta
from .chi import Chi2, as_gamma
from .continuous_bernoulli import ContinuousBernoulli, log_mass_by_size
from .exponential import Exponential
from .gamma import Gamma, InverseGamma
from .gumbel import Gumbel, Weibull
from .half_normal import HalfNormal
from .laplace import Laplace
from .log_normal import LogNormal
from .normal import Normal
from .pareto import Pareto
from .statistics import Distance, Exp, Log, Log1m, Power, SquaredLog, mean_of
from .support import infinity, is_covered, same_outcomes
from .truncated_normal import TruncatedNormal, mean_surprisal
from .uniform import Uniform

Expectation = Callable[[Any, Any], Array | None]


def against(*targets: type) -> Callable[[Expectation], Expectation]:
    r"""Registers `(p, q) -> E_P[-log q]`, or None where P does not say what that takes."""

    def register(fn: Expectation) -> Expectation:
        def cross_entropy(functional: Any, p: Any, q: Any) -> Array | None:
            if type(p) is type(q) or not same_outcomes(p, q):
                return None
            inside = is_covered(p, q)
            if inside is False:
                return infinity(p, q)
            if inside is None:
                return None
            value = fn(p, q)
            return value if value is None or inside is True else jnp.where(inside, value, jnp.inf)

        def kl(functional: Any, p: Any, q: Any) -> Array | None:
            value, of_p = cross_entropy(functional, p, q), find_rule(Entropy(), p)
            if value is None or (of_p is None and is_covered(p, q) is not False):
                return None
            own = None if of_p is None else of_p(Entropy(), p)
            return value if own is None else value - own

        for target in targets:
            rule(CrossEntropy, AbstractDistribution, target)(cross_entropy)
            rule(KL, AbstractDistribution, target)(kl)
        return fn

    return register


def _means(p: AbstractDistribution, *statistics: Any) -> list[Array] | None:
    values = [mean_of(statistic, p) for statistic in statistics]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


@against(Normal)
def _(p, q):
    mean, variance, loc, scale = floating(p.mean, p.variance, q.loc, q.scale)
    z = (mean - loc) / scale
    square = z * z + variance / scale / scale
    return 0.5 * square + jnp.log(scale) + 0.5 * math.log(2 * math.pi)


@against(TruncatedNormal)
def _(p, q):
    return mean_surprisal(q, p.mean, p.variance)


@against(HalfNormal)
def _(p, q):
    mean, variance, scale = floating(p.mean, p.variance, q.scale)
    square = (mean / scale) ** 2 + variance / scale / scale
    return 0.5 * square + jnp.log(scale) + 0.5 * math.log(math.pi / 2)


@against(LogNormal)
def _(p, q):
    means = _means(p, Log(), SquaredLog(q.loc))
    if means is None:
        return None
    log_x, square, scale = floating(*means, q.scale)
    return log_x + 0.5 * square / scale / scale + jnp.log(scale) + 0.5 * math.log(2 * math.pi)


@against(Exponential)
def _(p, q):
    mean, rate = floating(p.mean, q.rate)
    return rate * mean - jnp.log(rate)


@against(Gamma, Chi2)
def _(p, q):
    means = _means(p, Log())
    if means is None:
        return None
    log_x, mean, a, b = floating(*means, p.mean, *as_gamma(q).parameters())
    return (1 - a) * log_x + b * mean - a * jnp.log(b) + log_gamma(a)


@against(InverseGamma)
def _(p, q):
    means = _means(p, Log(), Power(-1))
    if means is None:
        return None
    log_x, inverse, a, b = floating(*means, *q.parameters())
    return (1 + a) * log_x + b * inverse - a * jnp.log(b) + log_gamma(a)


@against(Weibull)
def _(p, q):
    scale, k = q.parameters()
    means = _means(p, Log(), Power(k))
    if means is None:
        return None
    log_x, power, scale, k = floating(*means, scale, k)
    log_scale = jnp.log(scale)
    return (1 - k) * log_x + power * jnp.exp(-k * log_scale) + k * log_scale - jnp.log(k)


@against(Gumbel)
def _(p, q):
    loc, scale = q.location_scale()
    means = _means(p, Exp(-1 / scale))
    if means is None:
        return None
    exponential, mean, loc, scale = floating(*means, p.mean, loc, scale)
    return (mean - loc) / scale + jnp.exp(loc / scale) * exponential + jnp.log(scale)


@against(Laplace)
def _(p, q):
    means = _means(p, Distance(q.loc))
    if means is None:
        return None
    distance, scale = floating(*means, q.scale)
    return distance / scale + jnp.log(2 * scale)


@against(Pareto)
def _(p, q):
    low = p.support[0]
    if isinstance(low, float) and low <= 0:
        return infinity(p, q)
    means = _means(p, Log())
    if means is None:
        return None
    log_x, scale, a = floating(*means, *q.parameters())
    return (1 + a) * log_x - a * jnp.log(scale) - jnp.log(a)


@against(Beta)
def _(p, q):
    means = _means(p, Log(), Log1m())
    if means is None:
        return None
    log_x, log_rest, a, b = floating(*means, *q.parameters())
    norm = log_gamma(a) + log_gamma(b) - log_gamma(a + b)
    return (1 - a) * log_x + (1 - b) * log_rest + norm


@against(ContinuousBernoulli)
def _(p, q):
    mean, eta = floating(p.mean, q.eta())
    return log_mass_by_size(abs(eta)) + abs(eta) * jnp.where(eta > 0, 1 - mean, mean)


@against(Uniform)
def _(p, q):
    low, high = q.parameters()
    return jnp.broadcast_to(jnp.log(high - low), jnp.broadcast_shapes(p.batch_shape, q.batch_shape))


# Means that the normal distribution knows.


@rule(Exp, Normal)
def _(statistic, p):
    loc, scale, t = floating(p.loc, p.scale, statistic.rate)
    return jnp.exp(t * loc + 0.5 * (t * scale) ** 2)


@rule(Distance, Normal)
def _(statistic, p):
    loc, scale, m = floating(p.loc, p.scale, statistic.point)
    z = (loc - m) / scale
    density = math.sqrt(2 / math.pi) * jnp.exp(-0.5 * z * z)
    return scale * (density + z * lax.erf(z / math.sqrt(2.0)))
