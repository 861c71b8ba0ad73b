r"""The continuous Bernoulli distribution and its closed forms.

With $\eta$ the logit its normaliser is $A(\eta) = \log((e^\eta - 1)/\eta)$, whose remainders are
means over (0, 1) of terms that are not negative.
"""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import expm1, itakura_saito, log_ratio, psi
from .._special.base import horner, log1p
from .._special.legendre import gauss_legendre
from .base import field, floating
from .exponential_family import AbstractExponentialFamily
from .statistics import Distance, Exp
from .univariate import AbstractContinuous, Shifted, on_unit_interval, uniform


class ContinuousBernoulli(AbstractContinuous, AbstractExponentialFamily):
    r"""Density proportional to $p^x (1 - p)^{1-x}$ on (0, 1) (Loaiza-Ganem & Cunningham 2019).

    Args:
        probs: $p$, strictly between 0 and 1; the mean is not $p$.
        logits: $\eta = \log p/(1 - p)$ instead: the accurate one where $p$ is near 1.

    The parameterisation that is given is the one that is kept.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.ContinuousBernoulli(logits=1.0), jd.ContinuousBernoulli(logits=-1.0)
        >>> print(f"{jd.kl(p, q):.6f}")
        0.163953
    """

    probs: Float[Any, "..."] | None = field(constraint="unit_interval", default=None)
    logits: Float[Any, "..."] | None = field(default=None)
    reparameterized: ClassVar[bool] = True

    def __check_init__(self):
        if (self.probs is None) == (self.logits is None):
            raise ValueError("ContinuousBernoulli: give exactly one of probs and logits.")

    def eta(self) -> Array:
        r"""$\eta$, whichever was given."""
        (given,) = self.parameters()
        return given if self.probs is None else log_ratio(given, 1 - given, 2 * given - 1)

    @property
    def support(self):
        return 0.0, 1.0

    @property
    def mean(self):
        eta = self.eta()
        size = abs(eta)
        low, small, large = _by_size(size)
        x, weights = _nodes(small)
        near = jnp.sum(weights * x, 0) / jnp.sum(weights, 0)
        least = jnp.where(low, near, 1 / large)  # the distance from the end that it is drawn to
        return jnp.where(eta > 0, 1 - least, least)

    @property
    def variance(self):
        low, small, large = _by_size(abs(self.eta()))
        x, weights = _nodes(small)
        total = jnp.sum(weights, 0)
        x = x - jnp.sum(weights * x, 0) / total
        return jnp.where(low, jnp.sum(weights * x * x, 0) / total, 1 / (large * large))

    def log_prob(self, x):
        x, eta = floating(x, self.eta())
        inside = (x >= 0) & (x <= 1)
        size = abs(eta)
        # From the end that it is drawn to.
        value = -size * jnp.where(eta > 0, 1 - x, x) - log_mass_by_size(size)
        return jnp.where(inside, value, -jnp.inf)

    def sample(self, key, shape=()):
        eta = self.eta()
        u = uniform(key, (*shape, *eta.shape), eta.dtype)
        size = abs(eta)
        flat = size < 1e-3
        y = jnp.where(flat, 1.0, size)
        curved = -log1p(u * expm1(-y)) / y
        straight = u - 0.5 * jnp.where(flat, size, 0.0) * u * (1 - u)
        x = jnp.where(flat, straight, curved)
        return jnp.where(eta > 0, 1 - x, x)

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        mean = self.mean
        return on_unit_interval(mean, 4 * jnp.sqrt(self.variance))

    def natural(self):
        return (self.eta(),)

    def statistic(self, x):
        return (x,)

    def expectation(self):
        return (self.mean,)

    def from_natural(self, natural):
        return ContinuousBernoulli(logits=natural[0])

    def natural_difference(self, other):
        return (_gap(self, other),)

    def is_natural(self, natural):
        return jnp.isfinite(natural[0])

    def fisher_form(self, direction):
        return self.variance * direction[0] ** 2


def _gap(p: ContinuousBernoulli, q: ContinuousBernoulli) -> Array:
    """The difference of the logits, from that of the probabilities where both are given so."""
    if p.probs is None or q.probs is None:
        a, b = floating(p.eta(), q.eta())
        return a - b
    a, b = floating(p.probs, q.probs)
    return log_ratio(a, b, a - b) - log_ratio(1 - a, 1 - b, b - a)


def _switch(x: Array) -> float:
    """From here on the far end has no mass; the nodes hold up to twice this."""
    return 40.0 if x.dtype == jnp.float64 else 20.0


def _by_size(size: Array) -> tuple[Array, Array, Array]:
    low = size < _switch(size)
    return low, jnp.where(low, size, 1.0), jnp.where(low, 1.0, size)


def _nodes(eta: Array) -> tuple[Array, Array]:
    r"""Points of (0, 1), and weights by $e^{-\eta x}$, on a new first axis."""
    x, w = gauss_legendre(48 if eta.dtype == jnp.float64 else 28)
    shape = (-1, *(1,) * eta.ndim)
    x, w = (jnp.asarray((0.5 * v).reshape(shape), eta.dtype) for v in (1 + x, w))
    return x, w * jnp.exp(-eta * x)


def log_mass_by_size(size: Array) -> Array:
    r"""$\log((1 - e^{-\eta})/\eta)$ for $\eta \ge 0$."""
    low, small, large = _by_size(size)
    _, weights = _nodes(small)
    return jnp.where(low, jnp.log(jnp.sum(weights, 0)), -jnp.log(large))


def log_mass_remainder(eta1: Array, eta0: Array, d: Array) -> Array:
    r"""$A(\eta_1) - A(\eta_0) - A'(\eta_0)d$, which is the same for $-\eta_1$ and $-\eta_0$."""
    c = _switch(d)
    sign = jnp.where(eta0 < 0, -1.0, 1.0).astype(d.dtype)
    x0, x1, d = sign * eta0, sign * eta1, sign * d
    low = (x0 <= 2 * c) & (abs(x1) <= 2 * c)
    high = ~low & (x0 >= c) & (x1 >= c)
    # Both moderate.
    small = x0 <= 2 * c
    x, weights = _nodes(jnp.where(small, x0, 1.0))
    total = jnp.sum(weights, 0)
    mean = jnp.sum(weights * x, 0) / total
    x = x - mean
    near = log1p(jnp.sum(weights * psi(jnp.where(low, d, 0.0) * x), 0) / total)
    # Both large, on one side.
    one = jnp.where(high, x1, 1.0)
    far = itakura_saito(one, jnp.where(high, x0, 1.0), jnp.where(high, d, 0.0))
    # Far from each other: with A less its slope at the end that P is drawn to.
    apart = ~low & ~high
    big, other = jnp.where(apart, x0, 3 * c), jnp.where(apart, x1, 1.0)
    slope = -jnp.where(small, mean, 1 / big)
    mass = jnp.where(other < 0, -other, 0.0) + log_mass_by_size(abs(other))
    between = mass - log_mass_by_size(big) - slope * (other - big)
    return jnp.where(low, near, jnp.where(high, far, between))


@rule(KL, ContinuousBernoulli, ContinuousBernoulli)
def _(functional, p, q):
    d = _gap(q, p)
    eta_p, eta_q = jnp.broadcast_arrays(*floating(p.eta(), q.eta()))
    return log_mass_remainder(eta_q, eta_p, d)


@rule(Entropy, ContinuousBernoulli)
def _(functional, p):
    eta, mean = p.eta(), p.mean
    size = abs(eta)
    return size * jnp.where(eta > 0, 1 - mean, mean) + log_mass_by_size(size)


@rule(Exp, ContinuousBernoulli)
def _(statistic, p):
    eta, t = floating(p.eta(), statistic.rate)
    whole = eta + t
    log_ratio_of_masses = log_mass_by_size(abs(whole)) - log_mass_by_size(abs(eta))
    return jnp.exp(jnp.maximum(whole, 0.0) - jnp.maximum(eta, 0.0) + log_ratio_of_masses)


@rule(Distance, ContinuousBernoulli)
def _(statistic, p):
    """Twice the integral of the distribution function up to the point, and what that leaves."""
    eta, m = floating(p.eta(), statistic.point)
    size, mean = abs(eta), p.mean
    inside = jnp.clip(jnp.where(eta > 0, 1 - m, m), 0.0, 1.0)  # from the end it is drawn to
    low = jnp.where(eta > 0, 1 - mean, mean)
    # psi(s x) / s (1 - exp(-s)), where s is small by the series of both without their powers.
    near = size < 1
    small, y = jnp.where(near, size, 0.0), jnp.where(near, 1.0, size)
    tops, bottoms = ([(-1) ** k / math.factorial(k + n) for k in range(18)] for n in (2, 1))
    close = inside**2 * horner(small * inside, tops) / horner(small, bottoms)
    within = low - inside + 2 * jnp.where(near, close, psi(y * inside) / (-expm1(-y) * y))
    return jnp.where((m > 0) & (m < 1), within, abs(m - mean))
