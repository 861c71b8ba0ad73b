"""A Gaussian against a log-density, on draws that stand still: value, residuals and their noise."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

LogDensityFn = Callable[[Float[Array, " D"]], Float[Array, ""]]


class Residuals(NamedTuple):
    r"""What is known of $q = N(m, L L^T)$ from draws $x_i = m + L z_i$.

    With $g = \nabla \log p(x)$ and $h = L^T g + z$, which is zero at every draw where $q = p$,
    `slope` is the mean of $h$ and `curvature` the symmetric part of that of $z h^T$. To second
    order $q$ is $\frac12 |b|^2 + \frac14 |M|^2$ nats above its optimum, `gap`; a natural-gradient
    step removes them. `noise` is what the part of $h$ that is not linear in $z$ adds to that gap by
    chance, for this many draws.
    """

    value: Float[Array, ""]  # the mean of log q - log p over the draws
    error: Float[Array, ""]  # its standard error
    slope: Float[Array, " D"]
    curvature: Float[Array, "D D"]
    noise: Float[Array, ""]
    bad: Int[Array, ""]  # draws where the log-density or its gradient is not finite

    def gap(self, diagonal: bool) -> Float[Array, ""]:
        """In nats, within the family."""
        curvature = jnp.diagonal(self.curvature) if diagonal else self.curvature
        return 0.5 * jnp.sum(self.slope**2) + 0.25 * jnp.sum(curvature**2)


def residuals(
    log_density: LogDensityFn,
    loc: Float[Array, " D"],
    scale: Float[Array, "D D"],
    z: Float[Array, "n D"],
    diagonal: bool,
) -> Residuals:
    """Of a Gaussian with a triangular or `diagonal` scale; `z` are antithetic pairs, in two halves.

    Draws where something is not finite are left out of the averages, and counted; where more than
    a tenth are, the value is infinite.
    """
    n, dim = z.shape
    x = loc + z @ scale.T
    values, grads = jax.vmap(jax.value_and_grad(log_density))(x)
    good = jnp.isfinite(values) & jnp.all(jnp.isfinite(grads), 1)
    count = jnp.maximum(jnp.sum(good), 1).astype(z.dtype)
    h = jnp.where(good[:, None], grads @ scale + z, 0.0)
    slope = jnp.sum(h, 0) / count
    product = z.T @ h / count
    curvature = 0.5 * (product + product.T)
    rest = jnp.where(good[:, None], h - slope - z @ product, 0.0)
    # Linear regression on z has taken D + 1 degrees of freedom of each coordinate.
    free = jnp.maximum(count - dim - 1, 1.0)
    terms = 2.0 if diagonal else dim + 1.0
    noise = (0.5 + 0.25 * terms) * jnp.sum(rest**2) / (free * count)
    entropy = jnp.sum(jnp.log(jnp.diagonal(scale)))
    terms = jnp.where(good, -0.5 * jnp.sum(z * z, 1) - values, 0.0)
    const = -entropy - 0.5 * dim * jnp.log(2 * jnp.pi).astype(z.dtype)
    value = jnp.sum(terms) / count + const
    # A pair moves as one: what is odd in z cancels.
    pairs = 0.5 * (terms[: n // 2] + terms[n // 2 :])
    error = jnp.std(pairs) / jnp.sqrt(jnp.asarray(n // 2, z.dtype))
    bad = jnp.sum(~good, dtype=jnp.int32)
    value = jnp.where(bad * 10 > n, jnp.inf, value)
    return Residuals(value, error, slope, curvature, noise, bad)
