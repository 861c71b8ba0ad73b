"""Gaussians as affine images of a standard normal."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._operand.independent import Independent
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.normal import Normal


def affine_of(member: Any) -> tuple[Float[Array, " D"], Float[Array, "D D"]] | None:
    """$m$ and $L$ of one Gaussian; None of anything else."""
    if isinstance(member, MultivariateNormal):
        return member.loc, member.factor()
    if isinstance(member, Independent) and isinstance(member.base, Normal):
        loc, scale = jnp.broadcast_arrays(member.base.loc, member.base.scale)
        return loc, jnp.diag(scale)
    return None


def reverse_kl_on(z: Float[Array, "n D"], member: Any, target: Any) -> Float[Array, ""]:
    """KL from one Gaussian to a density, on its draws by `z` of mean 0 and covariance I."""
    affine = affine_of(member)
    assert affine is not None
    loc, scale = affine
    entropy = jnp.sum(jnp.log(jnp.diagonal(scale))) + 0.5 * loc.size * (1 + math.log(2 * math.pi))
    return -jnp.mean(target.log_prob(loc + z @ scale.T)) - entropy
