"""The Renyi divergence."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import ArrayLike, Float

from .._special import expm1, renyi_link, renyi_node
from .base import AbstractDivergence


class Renyi(AbstractDivergence):
    r"""$R_\alpha(P \| Q) = \frac{1}{\alpha - 1} \log \sum p^\alpha q^{1-\alpha}$ (Renyi 1961).

    In nats; smooth through $\alpha = 1$, where it is the KL divergence. Infinite where
    $p > 0 = q$ if $\alpha \ge 1$, and for disjoint supports.

    Args:
        order: $\alpha > 0$; may be traced and differentiated.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.renyi(jd.Normal(0.0, 1.0), jd.Normal(1.0, 1.0), 2.0):.3f}")
        1.000
    """

    order: Float[ArrayLike, ""]
    logarithmic: ClassVar[bool] = True
    additive: ClassVar[bool] = True
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def __check_init__(self):
        if isinstance(self.order, (int, float)) and not 0 < self.order < float("inf"):
            raise ValueError(f"order must be positive and finite, got {self.order}.")

    def integrate(self, pair):
        order = jnp.asarray(self.order, pair.r.dtype)
        shared = jnp.where(jnp.isinf(pair.r), -jnp.inf, pair.log_q + order * pair.finite_r)
        top = pair.maximum(shared)
        top = jnp.where(jnp.isinf(top), 0.0, top)
        affinity = pair.total(jnp.exp(shared - top[..., None]))
        empty = pair.maximum(pair.p + pair.q) == 0  # padding: masked on both sides
        disjoint = (affinity <= 0) & ~empty
        log_affinity = jnp.log(jnp.where(affinity > 0, affinity, 1.0)) + top
        # Where p^a q^(1 - a) sums to about 1, the rest of it is summed instead.
        small = ~disjoint & (abs(log_affinity) < 0.4) | (order == 1)
        r = jnp.where(small[..., None] & ~(pair.q_is_zero & (order >= 1)), pair.r, 0.0)
        near = renyi_link(pair.total(renyi_node(pair.p, pair.q, r, order)), order)
        far = log_affinity / jnp.where(small, 1.0, order - 1)
        steep = (order >= 1) & (pair.maximum(pair.q_is_zero.astype(r.dtype)) > 0)
        value = jnp.where(small, near, jnp.where(disjoint, jnp.inf, far))
        return value + jnp.where(steep, jnp.inf, 0.0)

    def terms(self, draws):
        beta = jnp.asarray(self.order, draws.r.dtype) - 1
        return _scaled(expm1, beta, draws.r, 0.5)

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return _scaled(jnp.log1p, jnp.asarray(self.order, mean.dtype) - 1, mean, -0.5)

    def compose(self, evaluate, *operands):
        return None


def _scaled(fn, beta, x, curvature):
    """`fn(beta x) / beta` for an `fn` with slope 1 at 0, smooth through `beta = 0`."""
    small = abs(beta * x) < jnp.finfo(x.dtype).eps ** 0.5
    safe = jnp.where(beta == 0, 1.0, beta)
    return jnp.where(small, x * (1 + curvature * beta * x), fn(beta * x) / safe)
