"""Gaussians as affine images of a standard normal."""

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
