"""The multinomial distribution and its closed forms."""

from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Float

from .._estimator.rules import rule
from .._functional.chernoff import ChernoffInformation
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .._special import log_gamma
from .agree import only_where_equal
from .align import align
from .base import AbstractDistribution, Check, field, floating, only_stratum
from .tags import probs as tag


class Multinomial(AbstractDistribution):
    r"""Counts of $K$ outcomes in $n$ independent draws: mass $n! \prod_k p_k^{x_k} / x_k!$.

    Between two of them KL and Renyi divergences have a closed form where both have the same $n$.
    Elsewhere `NoClosedFormError` is raised, or under `jit`, where values are not known, it is NaN.
    The entropy has none.

    Args:
        total_count: $n$; not a parameter to `fit`.
        probs: $p$, `[*batch, K]`.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.Multinomial(10, [0.5, 0.5]), jd.Multinomial(10, [0.25, 0.75])
        >>> print(f"{jd.kl(p, q):.6f}")
        1.438410
    """

    total_count: Float[Any, "*batch"] = field(constraint="fixed")
    probs: Float[Any, "*batch K"] = field(constraint="simplex", event_ndim=1)
    reparameterized: ClassVar[bool] = False
    integer: ClassVar[bool] = True

    @property
    def batch_shape(self):
        shape = jnp.shape(jnp.asarray(self.probs))
        if not shape:
            raise ValueError("Multinomial: expected probs [..., K], got a scalar.")
        return jnp.broadcast_shapes(jnp.shape(self.total_count), shape[:-1])

    @property
    def event_shape(self):
        return jnp.shape(jnp.asarray(self.probs))[-1:]

    @property
    def normalized(self):
        return True

    @property
    def support(self):
        (count,) = floating(self.total_count)
        return 0.0, jnp.broadcast_to(count, self.batch_shape)

    def _fields(self):
        count, p = floating(self.total_count, jnp.asarray(self.probs))
        return count[..., None], p

    @property
    def mean(self):
        count, p = self._fields()
        return count * p

    @property
    def variance(self):
        count, p = self._fields()
        return count * p * (1 - p)

    def log_prob(self, x):
        x, count, p = floating(x, *self._fields())
        inside = jnp.all((x >= 0) & (x == jnp.round(x)), -1) & (jnp.sum(x, -1) == count[..., 0])
        x = jnp.where(inside[..., None], x, 0.0)
        none = x == 0
        parts = x * jnp.log(jnp.where(none, 1.0, p)) - log_gamma(x + 1)
        return jnp.where(inside, jnp.sum(parts, -1) + log_gamma(count[..., 0] + 1), -jnp.inf)

    def sample(self, key, shape=()):
        count, p = self._fields()
        p = jnp.broadcast_to(p, (*self.batch_shape, *self.event_shape))
        shape = (*shape, *self.batch_shape, *self.event_shape)
        draws = jr.multinomial(key, count[..., 0], p, shape=shape, dtype=p.dtype)
        return lax.stop_gradient(draws)

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def translate(self, by):
        raise TypeError("Multinomial lives on whole numbers: it has no density to translate.")

    def pieces(self):
        raise TypeError(
            "Multinomial lives on whole numbers, where Quadrature has nothing to integrate: use "
            "the closed form, or MonteCarlo(n, gradient=Score())."
        )

    def value_checks(self):
        return [
            *tag(jnp.asarray(self.probs)).value_checks(),
            Check(~(floating(self.total_count)[0] >= 0), "Multinomial: total_count is negative"),
        ]


@rule(KL, Multinomial, Multinomial)
@rule(Renyi, Multinomial, Multinomial)
@rule(ChernoffInformation, Multinomial, Multinomial)
def _(functional, p, q):
    """As many times what it is between single draws."""
    each = functional.integrate(align(tag(jnp.asarray(p.probs)), tag(jnp.asarray(q.probs))))
    count, each = floating(p.total_count, each)
    return only_where_equal(p.total_count, q.total_count, count * each)
