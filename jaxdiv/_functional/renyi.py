"""The Renyi divergence."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from .._special import expm1, renyi_link, renyi_node
from .._special.base import log1p
from .base import AbstractDivergence, Pair


class Renyi(AbstractDivergence):
    r"""$R_\alpha(P \| Q) = \frac{1}{\alpha - 1} \log \sum p^\alpha q^{1-\alpha}$ (Renyi 1961).

    In nats; smooth through $\alpha = 1$, where it is the KL divergence. Infinite where
    $p > 0 = q$ if $\alpha \ge 1$, and for disjoint supports. $R_0 = -\log Q(p > 0)$ and
    $R_\infty = \log \max p/q$ (van Erven & Harremoes 2014), where the slope at ties is that of
    the limit: 0 at $P = Q$.

    Args:
        order: $\alpha \ge 0$, `math.inf` among them. Traced, and differentiated, in $(0, \infty)$:
            the two ends are limits of their own, taken where the order is a Python number.

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
        if isinstance(self.order, (int, float)) and not self.order >= 0:
            raise ValueError(f"order must be a number from 0 to inf, got {self.order}.")

    def integrate(self, pair):
        if is_static(self.order, 0.0):
            return _support(pair)
        if is_static(self.order, math.inf):
            if pair.weights is not None:
                raise TypeError(_NO_INTEGRAL)
            return _largest_ratio(pair)
        return renyi_of(pair, self.order)

    def terms(self, draws):
        if is_static(self.order, math.inf):
            raise TypeError(_NO_INTEGRAL)
        if is_static(self.order, 0.0):
            return jnp.zeros_like(draws.r)
        beta = jnp.asarray(self.order, draws.r.dtype) - 1
        return scaled(expm1, beta, draws.r, 0.5)

    def reverse_terms(self, draws):
        missed = jnp.where(draws.log_p == -jnp.inf, 1.0, 0.0).astype(draws.r.dtype)
        return missed if is_static(self.order, 0.0) else None

    def link(self, mean):
        beta = jnp.asarray(self.order, mean.dtype) - 1
        return scaled(jnp.log1p, beta, mean, -0.5)

    def compose(self, evaluate, *operands):
        return None


_NO_INTEGRAL = (
    "Renyi of order inf is a largest ratio, which no average or rule of quadrature finds: use the "
    "closed form, or a large finite order."
)


def is_static(order: ArrayLike, value: float) -> bool:
    """Whether the order is a Python number, and this one."""
    return isinstance(order, (int, float)) and order == value


def renyi_of(pair: Pair, order: Any) -> Float[Array, "*batch"]:
    r"""At an order, or one for each row, in $(0, \infty)$."""
    each = jnp.asarray(order, pair.r.dtype)[..., None]
    shared = jnp.where(jnp.isinf(pair.r), -jnp.inf, pair.log_q + each * pair.finite_r)
    top = pair.maximum(shared)
    top = jnp.where(jnp.isinf(top), 0.0, top)
    affinity = pair.total(jnp.exp(shared - top[..., None]))
    empty = pair.maximum(pair.p + pair.q) == 0  # padding: masked on both sides
    log_affinity = jnp.where(affinity > 0, jnp.log(jnp.where(affinity > 0, affinity, 1)), -jnp.inf)
    log_affinity = jnp.where(empty, 0.0, log_affinity + top)
    small = _is_small(log_affinity, jnp.asarray(order, pair.r.dtype))
    r = jnp.where(small[..., None] & ~(pair.q_is_zero & (each >= 1)), pair.r, 0.0)
    rest = pair.total(renyi_node(pair.p, pair.q, r, each))
    lost = pair.maximum(pair.q_is_zero.astype(r.dtype)) > 0
    return renyi_from(log_affinity, rest, lost, order)


def _is_small(log_affinity: Array, order: Array) -> Array:
    """Where p^a q^(1 - a) sums to about 1, the rest of it is summed instead."""
    return (abs(log_affinity) < 0.4) | (order == 1)


def renyi_from(log_affinity: Array, rest: Array, lost: Array, order: Any) -> Array:
    r"""From $\log A$, $A = \sum p^a q^{1-a}$, and $(1 - A) / a(1-a)$, which counts if it is small.

    $A$ is 0 for disjoint supports; `lost` is where there is a $p > 0 = q$.
    """
    beta = jnp.asarray(order - 1, rest.dtype)  # of a Python number, before it is rounded
    order = jnp.asarray(order, rest.dtype)
    small, disjoint = _is_small(log_affinity, order), log_affinity == -jnp.inf
    near = renyi_link(jnp.where(small, rest, 0.0), order)
    apart = jnp.where(small | disjoint, 0.0, log_affinity)
    far = jnp.where(disjoint, jnp.inf, apart / jnp.where(small, 1.0, beta))
    return jnp.where(small, near, far) + jnp.where((order >= 1) & lost, jnp.inf, 0.0)


def _support(pair: Pair) -> Float[Array, "*batch"]:
    r"""At order 0: $-\log Q(p > 0)$."""
    missed = pair.total(jnp.where(pair.p_is_zero, pair.q, 0.0))
    kept = pair.total(jnp.where(pair.p_is_zero, 0.0, pair.q))
    most = missed < 0.5
    near = -log1p(-jnp.where(most, missed, 0.0))
    disjoint = ~most & (kept <= 0)
    far = -jnp.log(jnp.where(most | disjoint, 1.0, kept))
    return jnp.where(disjoint, jnp.inf, jnp.where(most, near, far))


def _largest_ratio(pair: Pair) -> Float[Array, "*batch"]:
    r"""$\log\max p/q$; among ties the slope is the mean under $p$, as in the limit."""
    # Below 0 only where the masses' rounding has left both short of 1.
    top = jnp.maximum(pair.maximum(pair.r), 0.0)
    tied = (pair.r == top[..., None]) & ~jnp.isinf(pair.r) & (pair.log_p > -jnp.inf)
    log_mass = jnp.where(tied, lax.stop_gradient(pair.log_p), -jnp.inf)
    most = pair.maximum(log_mass)[..., None]
    weight = jnp.where(tied, jnp.exp(log_mass - jnp.where(jnp.isinf(most), 0.0, most)), 0.0)
    share = pair.total(weight)
    moved = pair.total(weight * (pair.finite_r - lax.stop_gradient(pair.finite_r)))
    return top + jnp.where(top > 0, moved / jnp.where(share > 0, share, 1.0), 0.0)


def scaled(fn, beta, x, curvature):
    """`fn(beta x) / beta` for an `fn` with slope 1 at 0, smooth through `beta = 0`."""
    small = abs(beta * x) < jnp.finfo(x.dtype).eps ** 0.5
    safe = jnp.where(beta == 0, 1.0, beta)
    return jnp.where(small, x * (1 + curvature * beta * x), fn(beta * x) / safe)
