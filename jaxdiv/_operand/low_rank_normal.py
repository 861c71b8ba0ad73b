"""The multivariate normal distribution with a covariance of low rank plus a diagonal."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._functional.chernoff import ChernoffInformation
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .base import AbstractWrapper, Check, field, floating, only_stratum
from .multivariate_normal import MultivariateNormal, kl_by_difference, whitened
from .whitened import of_whitened


class LowRankMultivariateNormal(AbstractWrapper):
    r"""$N(\mu, W W^T + \mathrm{diag}(d))$ on $R^D$.

    Its closed forms are those of `MultivariateNormal`, at their cost, which is cubic in $D$.

    Args:
        loc: $\mu$, `[*batch, D]`.
        factor: $W$, `[*batch, D, R]`.
        diagonal: $d > 0$, `[*batch, D]`.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p = jd.LowRankMultivariateNormal(jnp.zeros(3), jnp.zeros((3, 1)), jnp.ones(3))
        >>> q = jd.LowRankMultivariateNormal(jnp.ones(3), jnp.zeros((3, 1)), jnp.ones(3))
        >>> print(f"{jd.kl(p, q):.3f}")
        1.500
    """

    loc: Float[Any, "*batch D"] = field(event_ndim=1)
    factor: Float[Any, "*batch D R"] = field(event_ndim=2)
    diagonal: Float[Any, "*batch D"] = field(constraint="positive", event_ndim=1)
    reparameterized: ClassVar[bool] = True
    integer: ClassVar[bool] = False

    @property
    def batch_shape(self):
        loc, factor, diagonal = map(jnp.shape, (self.loc, self.factor, self.diagonal))
        sizes = {loc[-1:], factor[-2:-1], diagonal[-1:]}
        if len(sizes) > 1 or not loc or len(factor) < 2:
            raise ValueError(
                "LowRankMultivariateNormal: expected loc [..., D], factor [..., D, R] and "
                f"diagonal [..., D], got {loc}, {factor} and {diagonal}."
            )
        return jnp.broadcast_shapes(loc[:-1], factor[:-2], diagonal[:-1])

    @property
    def event_shape(self):
        return jnp.shape(self.loc)[-1:]

    @property
    def normalized(self):
        return True

    @property
    def support(self):
        return -math.inf, math.inf

    def parameters(self) -> tuple[Array, Array, Array]:
        """The fields, of one dtype."""
        loc, factor, diagonal = floating(self.loc, self.factor, self.diagonal)
        return loc, factor, diagonal

    def full(self) -> MultivariateNormal:
        """The same distribution, by its covariance matrix."""
        loc, factor, diagonal = self.parameters()
        eye = jnp.eye(diagonal.shape[-1], dtype=diagonal.dtype)
        covariance = factor @ factor.mT + diagonal[..., None] * eye
        return MultivariateNormal(loc, covariance_matrix=covariance)

    @property
    def mean(self):
        return self.full().mean

    @property
    def variance(self):
        return self.full().variance

    def log_prob(self, x):
        return self.full().log_prob(x)

    def sample(self, key, shape=()):
        loc, factor, diagonal = self.parameters()
        key_low, key_rest = jr.split(key)
        shape = (*shape, *self.batch_shape)
        low = jr.normal(key_low, (*shape, factor.shape[-1]), loc.dtype)
        rest = jr.normal(key_rest, (*shape, *self.event_shape), loc.dtype)
        return loc + jnp.einsum("...ij,...j->...i", factor, low) + jnp.sqrt(diagonal) * rest

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def translate(self, by):
        return LowRankMultivariateNormal(jnp.asarray(self.loc) - by, self.factor, self.diagonal)

    def pieces(self):
        return self.full().pieces()

    def value_checks(self):
        (diagonal,) = floating(self.diagonal)
        words = "LowRankMultivariateNormal: diagonal must be positive"
        return [Check(~(diagonal > 0), words)]

    def reduce(self, evaluate, functional, *operands):
        low = all(isinstance(d, LowRankMultivariateNormal) for d in operands)
        if isinstance(functional, KL | Renyi | ChernoffInformation) and low:
            return _by_difference(functional, *operands)
        full = [d.full() if isinstance(d, LowRankMultivariateNormal) else d for d in operands]
        return evaluate(functional, *full)


def _by_difference(
    functional: Any, p: LowRankMultivariateNormal, q: LowRankMultivariateNormal
) -> Array:
    """From the difference of the covariances, formed before they are."""
    _, factor_p, diagonal_p, _, factor_q, diagonal_q = floating(*p.parameters(), *q.parameters())
    if factor_p.shape[-1] != factor_q.shape[-1]:
        ranks = factor_p.shape[-1], factor_q.shape[-1]
        factor_p, factor_q = (_widen_rank(x, max(ranks)) for x in (factor_p, factor_q))
    change = factor_p - factor_q
    eye = jnp.eye(diagonal_p.shape[-1], dtype=diagonal_p.dtype)
    crossed = change @ factor_q.mT
    difference = crossed + crossed.mT + change @ change.mT
    difference = difference + (diagonal_p - diagonal_q)[..., None] * eye
    one, other = p.full(), q.full()
    if isinstance(functional, KL):
        return kl_by_difference(one, other, difference)
    views = whitened(one, other, difference), whitened(other, one, -difference)
    return of_whitened(functional, *views)


def _widen_rank(factor: Array, rank: int) -> Array:
    pads = [(0, 0)] * (factor.ndim - 1)
    return jnp.pad(factor, [*pads, (0, rank - factor.shape[-1])])
