"""The geometric and the negative binomial distributions and their closed forms."""

import math
from typing import Any

import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Float

from .._estimator.rules import find_rule, rule
from .._functional.chernoff import ChernoffInformation
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .._special import bd0, expm1, log_ratio, shape_value, sigmoid, softplus
from .._special.base import log1p
from .agree import only_where_equal
from .align import align
from .base import field, floating
from .bernoulli import Bernoulli
from .exponential_family import AbstractExponentialFamily
from .univariate import AbstractInteger, uniform


class Geometric(AbstractInteger, AbstractExponentialFamily):
    r"""Mass $p(1 - p)^x$ at $x = 0, 1, 2, ...$: the failures before the first success.

    Args:
        probs: $p$ in (0, 1), of a success.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Geometric(0.5), jd.Geometric(0.25)):.6f}")
        0.287682
    """

    probs: Float[Any, "..."] = field(constraint="unit_interval")

    @property
    def support(self):
        return 0.0, math.inf

    @property
    def mean(self):
        (p,) = self.parameters()
        return (1 - p) / p

    @property
    def variance(self):
        (p,) = self.parameters()
        return (1 - p) / (p * p)

    def log_mass(self, x):
        x, p = floating(x, self.probs)
        return jnp.log(p) + times_log1m(x, p)

    def sample(self, key, shape=()):
        (p,) = self.parameters()
        u = uniform(key, (*shape, *p.shape), p.dtype)
        return lax.stop_gradient(jnp.floor(jnp.log(u) / log1p(-p)))

    def natural(self):
        return (log1p(-self.parameters()[0]),)

    def statistic(self, x):
        return (x,)

    def expectation(self):
        return (self.mean,)

    def from_natural(self, natural):
        return Geometric(-expm1(natural[0]))

    def natural_difference(self, other):
        a, b = floating(self.probs, other.probs)
        return (log_ratio(1 - a, 1 - b, b - a),)

    def is_natural(self, natural):
        return natural[0] < 0

    def fisher_form(self, direction):
        return self.variance * direction[0] ** 2


_LEAST_ODDS = 1e-30


class NegativeBinomial(AbstractInteger):
    r"""The failures before success number $r$: mass $\binom{x + r - 1}{x} p^r (1 - p)^x$.

    Of regression by its mean $\mu$ the logits are $\log r - \log \mu$; the variance is
    $\mu + \mu^2/r$. Between two of them KL and Renyi divergences have a closed form where both have
    the same $r$. Elsewhere `NoClosedFormError` is raised, or under `jit`, where values are not
    known, it is NaN. The entropy has none.

    Args:
        total_count: $r > 0$, not necessarily whole; not a parameter to `fit`.
        probs: $p$ in (0, 1), of a success.
        logits: $\log p/(1 - p)$ instead. The accurate one where $p$ is near 1, and counts are few.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.NegativeBinomial(2.0, 0.5), jd.NegativeBinomial(2.0, 0.25)):.6f}")
        0.575364
    """

    total_count: Float[Any, "..."] = field(constraint="fixed")
    probs: Float[Any, "..."] | None = field(constraint="unit_interval", default=None)
    logits: Float[Any, "..."] | None = field(default=None)

    @property
    def batch_shape(self):
        return jnp.broadcast_shapes(jnp.shape(self.total_count), self.trial().batch_shape)

    @property
    def support(self):
        return 0.0, math.inf

    @property
    def mean(self):
        r, p, q = self._count_and_odds()
        return r * (q / p)

    @property
    def variance(self):
        r, p, q = self._count_and_odds()
        return r * (q / (p * p))

    def trial(self) -> Bernoulli:
        """One trial, 1 where it succeeds."""
        if (self.probs is None) == (self.logits is None):
            raise ValueError("NegativeBinomial: give exactly one of probs and logits.")
        return Bernoulli(self.probs, self.logits)

    def geometric(self) -> Geometric:
        """What it is the sum of $r$ of."""
        return Geometric(self._count_and_odds()[1])

    def _count_and_odds(self) -> tuple[Array, Array, Array]:
        r"""$r$, $p$ and $1 - p$."""
        self.trial()
        r, given = self.parameters()
        return (
            (r, given, 1 - given) if self.logits is None else (r, sigmoid(given), sigmoid(-given))
        )

    def log_mass(self, x):
        r, p, q = self._count_and_odds()
        x, r, p, q = floating(x, r, p, q)
        none = x == 0
        y = jnp.where(none, 1.0, x)
        n = y + r
        # No difference of gamma functions, which has no digits where r is large (Loader 2000).
        ways = shape_value(n) - shape_value(y) - shape_value(r) - jnp.log(y)
        if self.logits is None:
            return jnp.where(none, r * jnp.log(p), ways - bd0(r, n * p) - bd0(y, n * q))
        (logits, _) = floating(self.logits, r)

        def deviance(k: Array, odds: Array, minus_log: Array) -> Array:
            """`bd0(k, n * odds)`, where the odds may be too small to be a number."""
            tiny = odds < _LEAST_ODDS
            far = k * (jnp.log(k / n) + minus_log) - k + n * odds
            return jnp.where(tiny, far, bd0(k, n * jnp.where(tiny, 0.5, odds)))

        some = ways - deviance(r, p, softplus(-logits)) - deviance(y, q, softplus(logits))
        return jnp.where(none, -r * softplus(-logits), some)

    def sample(self, key, shape=()):
        r, p, q = self._count_and_odds()
        key_rate, key_count = jr.split(key)
        rate = jr.gamma(key_rate, r, (*shape, *r.shape), r.dtype) * (q / p)
        return lax.stop_gradient(jr.poisson(key_count, rate).astype(r.dtype))


def times_log1m(x: Array, p: Array) -> Array:
    r"""$x\log(1 - p)$, and 0 at $x = 0$."""
    none = x == 0
    return jnp.where(none, 0.0, x) * log1p(-jnp.where(none, 0.5, p))


def of_bernoullis(functional: Any, p: Array, q: Array) -> Array:
    """Between single trials."""
    return functional.integrate(align(Bernoulli(probs=p), Bernoulli(probs=q)))


@rule(KL, Geometric, Geometric)
def _(functional, p, q):
    a, b = floating(p.probs, q.probs)
    return of_bernoullis(functional, a, b) / a


@rule(Entropy, Geometric)
def _(functional, p):
    (probs,) = p.parameters()
    fn: Any = find_rule(functional, Bernoulli(probs=probs))
    return fn(functional, Bernoulli(probs=probs)) / probs


@rule(KL, NegativeBinomial, NegativeBinomial)
def _(functional, p, q):
    count, probs, _ = p._count_and_odds()
    value = count * functional.integrate(align(p.trial(), q.trial())) / probs
    return only_where_equal(p.total_count, q.total_count, value)


@rule(Renyi, NegativeBinomial, NegativeBinomial)
@rule(ChernoffInformation, NegativeBinomial, NegativeBinomial)
def _(functional, p, q):
    """As many times what it is between geometric distributions."""
    geometric = p.geometric(), q.geometric()
    fn: Any = find_rule(functional, *geometric)
    value = fn(functional, *geometric)
    if value is None:
        return None
    (count,) = floating(p.total_count)
    return only_where_equal(p.total_count, q.total_count, count * value)
