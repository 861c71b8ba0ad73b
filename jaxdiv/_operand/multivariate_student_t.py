"""The multivariate t distribution and its entropy."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._special import digamma_difference, log_gamma
from .._special.base import log1p
from .base import AbstractDistribution, Check, Pieces, field, floating, only_stratum
from .wishart import log_det_lower, solve_lower


class MultivariateStudentT(AbstractDistribution):
    r"""$\mu + L Z \sqrt{\nu/C}$ for standard normal $Z$ and chi-squared $C$ with $\nu$ degrees.

    No closed form is known between two of them, but for the entropy.

    Args:
        df: the degrees of freedom $\nu > 0$; moments of order $\nu$ and above are infinite, or do
            not exist.
        loc: $\mu$, `[*batch, D]`.
        scale_tril: $L$, lower triangular with a positive diagonal, `[*batch, D, D]`; the covariance
            is $L L^T \nu/(\nu - 2)$.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p = jd.MultivariateStudentT(3.0, jnp.zeros(2), jnp.eye(2))
        >>> print(f"{jd.entropy(p):.6f}")
        3.504544
    """

    df: Float[Any, "*batch"] = field(constraint="positive")
    loc: Float[Any, "*batch D"] = field(event_ndim=1)
    scale_tril: Float[Any, "*batch D D"] = field(constraint="cholesky", event_ndim=2)
    reparameterized: ClassVar[bool] = True
    integer: ClassVar[bool] = False

    @property
    def batch_shape(self):
        loc, tril = jnp.shape(self.loc), jnp.shape(self.scale_tril)
        if len(loc) < 1 or len(tril) < 2 or tril[-2:] != loc[-1:] * 2:
            raise ValueError(
                "MultivariateStudentT: expected loc [..., D] and scale_tril [..., D, D], got "
                f"{loc} and {tril}."
            )
        return jnp.broadcast_shapes(jnp.shape(self.df), loc[:-1], tril[:-2])

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
        """The fields, of one dtype, what is above the diagonal left out."""
        df, loc, tril = floating(self.df, self.loc, self.scale_tril)
        return df, loc, jnp.tril(tril)

    @property
    def mean(self):
        df, loc, _ = self.parameters()
        value = jnp.where(df[..., None] > 1, loc, jnp.nan)
        return jnp.broadcast_to(value, (*self.batch_shape, *self.event_shape))

    @property
    def variance(self):
        df, _, tril = self.parameters()
        df = df[..., None]
        finite = df > 2
        factor = jnp.where(finite, df / jnp.where(finite, df - 2, 1.0), jnp.inf)
        value = jnp.where(df > 1, factor, jnp.nan) * jnp.sum(tril**2, -1)
        return jnp.broadcast_to(value, (*self.batch_shape, *self.event_shape))

    def log_prob(self, x):
        x, df, loc, tril = floating(x, *self.parameters())
        z = solve_lower(tril, (x - loc)[..., None])[..., 0]
        size = z.shape[-1]
        power = 0.5 * (df + size) * log1p(jnp.sum(z * z, -1) / df)
        return _log_peak(df, size) - log_det_lower(tril) - power

    def sample(self, key, shape=()):
        df, loc, tril = self.parameters()
        key_normal, key_gamma = jr.split(key)
        shape = (*shape, *self.batch_shape)
        z = jr.normal(key_normal, (*shape, *self.event_shape), loc.dtype)
        log_ratio = jnp.log(0.5 * df) - jr.loggamma(key_gamma, 0.5 * df, shape, loc.dtype)
        return loc + jnp.einsum("...ij,...j->...i", tril, z * jnp.exp(0.5 * log_ratio)[..., None])

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def translate(self, by):
        return MultivariateStudentT(self.df, jnp.asarray(self.loc) - by, self.scale_tril)

    def pieces(self):
        _, loc, tril = self.parameters()
        loc = jnp.broadcast_to(loc, self.batch_shape + loc.shape[-1:])
        tril = jnp.broadcast_to(tril, self.batch_shape + tril.shape[-2:])
        return Pieces(loc[None], tril[None], loc[None][:0], open_tails=True)

    def value_checks(self):
        df, _, tril = self.parameters()
        diagonal = jnp.diagonal(tril, axis1=-2, axis2=-1)
        return [
            Check(~(df > 0), "MultivariateStudentT: df must be positive"),
            Check(~(diagonal > 0), "MultivariateStudentT: scale_tril needs a positive diagonal"),
        ]


def _log_peak(df: Array, size: int) -> Array:
    gammas = log_gamma(0.5 * (df + size)) - log_gamma(0.5 * df)
    return gammas - 0.5 * size * (jnp.log(df) + math.log(math.pi))


@rule(Entropy, MultivariateStudentT)
def _(functional, p):
    df, _, tril = p.parameters()
    size = p.event_shape[0]
    whole = 0.5 * (df + size)
    slopes = digamma_difference(whole, 0.5 * df, jnp.full_like(df, 0.5 * size))
    value = whole * slopes - _log_peak(df, size) + log_det_lower(tril)
    return jnp.broadcast_to(value, p.batch_shape)
