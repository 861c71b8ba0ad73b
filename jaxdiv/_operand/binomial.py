"""The binomial distribution and its closed forms."""

from typing import Any

import jax.core
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.chernoff import ChernoffInformation
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .._special import log_gamma
from .agree import only_where_equal
from .base import Check, field, floating
from .geometric import of_bernoullis, times_log1m
from .univariate import AbstractInteger


class Binomial(AbstractInteger):
    r"""Mass $\binom{n}{x} p^x (1 - p)^{n-x}$ at $x = 0, ..., n$: successes in $n$ trials.

    Between two of them KL and Renyi divergences have a closed form where both have the same $n$;
    KL is infinite where P has more trials than Q. Elsewhere `NoClosedFormError` is raised, or under
    `jit`, where values are not known, it is NaN. The entropy has no closed form.

    Args:
        total_count: the number $n$ of trials; not a parameter to `fit`.
        probs: $p$ in [0, 1], of a success.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Binomial(10, 0.5), jd.Binomial(10, 0.25)):.6f}")
        1.438410
    """

    total_count: Float[Any, "..."] = field(constraint="fixed")
    probs: Float[Any, "..."] = field(constraint="unit_interval")

    @property
    def support(self):
        return 0.0, self.parameters()[0]

    @property
    def mean(self):
        n, p = self.parameters()
        return n * p

    @property
    def variance(self):
        n, p = self.parameters()
        return n * (p * (1 - p))

    def log_mass(self, x):
        x, n, p = floating(x, self.total_count, self.probs)
        ways = log_gamma(n + 1) - log_gamma(x + 1) - log_gamma(n - x + 1)
        none = x == 0
        successes = jnp.where(none, 0.0, x) * jnp.log(jnp.where(none, 0.5, p))
        return ways + successes + times_log1m(n - x, p)

    def sample(self, key, shape=()):
        n, p = self.parameters()
        return lax.stop_gradient(jr.binomial(key, n, p, (*shape, *n.shape), n.dtype))

    def value_checks(self):
        n, p = self.parameters()
        return [
            Check(
                ~((n >= 0) & (n == jnp.round(n))), "Binomial: total_count must be a whole number"
            ),
            Check(~((p >= 0) & (p <= 1)), "Binomial: probs must lie in [0, 1]"),
        ]


@rule(KL, Binomial, Binomial)
def _(functional, p, q):
    n_p, a, n_q, b = floating(p.total_count, p.probs, q.total_count, q.probs)
    more = n_p > n_q
    value = n_p * of_bernoullis(functional, a, b)
    known = not any(isinstance(x, jax.core.Tracer) for x in (n_p, n_q))
    if known and bool(jnp.any(n_p < n_q)):
        return None
    return jnp.where(more, jnp.inf, jnp.where(n_p < n_q, jnp.nan, value))


@rule(Renyi, Binomial, Binomial)
@rule(ChernoffInformation, Binomial, Binomial)
def _(functional, p, q):
    count, a, b = floating(p.total_count, p.probs, q.probs)
    value: Array = count * of_bernoullis(functional, a, b)
    return only_where_equal(p.total_count, q.total_count, value)
