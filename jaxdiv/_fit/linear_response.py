"""The covariance that a fit responds with, beside the one that it has."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from .._estimator.quasi import normal_draws
from .._operand.constrained import Constrained
from .._operand.posterior import Posterior
from .affine import affine_of, reverse_kl_on
from .constraint import unconstrain
from .newton import second_order


class LinearResponse(NamedTuple):
    """Of the free coordinates, and of the named parameters to first order (the delta method)."""

    covariance: Float[Array, "D D"]
    sd: PyTree


def linear_response(
    target: Any, distribution: Any, *, key: Key[Array, ""], num_draws: int = 256
) -> LinearResponse:
    r"""$\mathrm{Cov}(x) \approx \partial E_{q^*}[x] / \partial t$ where $\log p$ gains $t^T x$.

    The covariance that the optimum of reverse KL implies by how it moves, which for `MeanField()`
    has the correlations and widths that the fit itself leaves out; exact where the target is
    Gaussian. It is the block of the locations in the inverse of the Hessian of KL, on fixed draws.

    Args:
        target: a `Posterior`, or a density over vectors.
        distribution: the optimum that was fitted to it: `found.distribution`, a Gaussian.
        key: of the draws.
        num_draws: at each of which a Hessian is taken: of as many products as the family has
            parameters.

    References:
        Giordano, Broderick & Jordan 2018; on fixed draws, Giordano, Ingram & Broderick 2024.

    Raises:
        TypeError: for what is no Gaussian.

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> target = jd.MultivariateNormal(jnp.zeros(2), jnp.array([[1.0, 0.0], [0.8, 0.6]]))
        >>> narrow = jd.MeanField().member(target.loc, target.scale_tril)
        >>> response = jd.linear_response(target, narrow, key=jax.random.key(0))
        >>> print(f"{narrow.variance[0]:.2f} {response.covariance[0, 0]:.2f}")
        0.36 1.00
    """
    spaces = distribution.parameters if isinstance(distribution, Constrained) else None
    base = distribution.base if isinstance(distribution, Constrained) else distribution
    density = target.free() if isinstance(target, Posterior) else target
    free, rebuild = unconstrain(base)
    flat, unravel = ravel_pytree(free)
    affine = affine_of(base)
    if affine is None:
        raise TypeError(
            f"linear_response is of a Gaussian fit, got {type(base).__name__}: give the "
            "distribution of a fit by FullRank() or MeanField()."
        )
    dim = affine[0].size
    z = normal_draws(num_draws + num_draws % 2, dim, key)

    def objective(flat: Array) -> Array:
        return reverse_kl_on(z, rebuild(unravel(flat)), density)

    _, _, hessian = second_order(objective, flat)
    # Which of the flat coordinates are those of the location.
    places = jax.jacobian(lambda flat: _loc(rebuild(unravel(flat))))(flat)
    covariance = places @ jnp.linalg.solve(hessian, places.T)
    if spaces is None:
        return LinearResponse(covariance, jnp.sqrt(jnp.diagonal(covariance)))
    rows = jax.jacobian(distribution.constrain)(affine[0])
    sd = jax.tree.map(lambda j: jnp.sqrt(jnp.einsum("...i,ij,...j->...", j, covariance, j)), rows)
    return LinearResponse(covariance, sd)


def _loc(member: Any) -> Float[Array, " D"]:
    affine = affine_of(member)
    assert affine is not None
    return affine[0]
