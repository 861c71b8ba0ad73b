"""Families of a kind, of which a fit makes the member that it starts from."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._operand.base import AbstractDistribution
from .._operand.independent import Independent
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.normal import Normal


class AbstractTemplate(eqx.Module):
    """A kind of distribution on $R^D$ whose dimension and start are the target's to say."""

    @abc.abstractmethod
    def member(
        self, loc: Float[Array, " D"], scale_tril: Float[Array, "D D"]
    ) -> AbstractDistribution:
        """The member that is laid over $N(m, L L^T)$."""


class FullRank(AbstractTemplate):
    """`MultivariateNormal` with any covariance: the default of `fit` to a `Posterior`.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> print(jd.FullRank().member(jnp.zeros(2), jnp.eye(2)).event_shape)
        (2,)
    """

    def member(self, loc, scale_tril):
        return MultivariateNormal(loc, scale_tril)


class MeanField(AbstractTemplate):
    """Independent normals: reverse KL makes each too narrow where the target is correlated.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> print(jd.MeanField().member(jnp.zeros(2), jnp.eye(2)).event_shape)
        (2,)
    """

    def member(self, loc, scale_tril):
        # Of each coordinate given the others: what reverse KL keeps of a Gaussian.
        inverse = jnp.linalg.inv(scale_tril)
        return Independent(Normal(loc, 1 / jnp.sqrt(jnp.sum(inverse**2, 0))), 1)


class Given(AbstractTemplate):
    """A member, whatever the target."""

    distribution: AbstractDistribution

    def member(self, loc, scale_tril):
        del loc, scale_tril
        return self.distribution
