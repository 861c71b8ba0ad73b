"""The Renyi and Tsallis entropies."""

import math
from typing import ClassVar

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from .._special import expm1_over, log1prel
from .base import AbstractFunctional, Pair, check_scalar
from .renyi import is_static


class RenyiEntropy(AbstractFunctional):
    r"""$H_\alpha(P) = \frac{1}{1 - \alpha} \log \sum p^\alpha$ (Renyi 1961), in nats.

    Smooth through $\alpha = 1$, where it is Shannon's. $H_0$ is the logarithm of the number of
    outcomes (Hartley's), $H_2$ the collision entropy and $H_\infty = -\log \max p$ the min-entropy,
    whose slope at ties is the mean of theirs.

    Args:
        order: $\alpha \ge 0$, `math.inf` among them. Traced, and differentiated, in $(0, \infty)$:
            the two ends are taken where the order is a Python number.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.renyi_entropy(jd.probs([0.5, 0.25, 0.25]), 2.0, base=2):.3f}")
        1.415
    """

    order: Float[ArrayLike, ""]
    logarithmic: ClassVar[bool] = True
    additive: ClassVar[bool] = True
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def __check_init__(self):
        check_scalar("order", self.order)
        if isinstance(self.order, (int, float)) and not self.order >= 0:
            raise ValueError(f"order must be a number from 0 to inf, got {self.order}.")

    def integrate(self, pair):
        at_end = is_static(self.order, 0.0) or is_static(self.order, math.inf)
        if at_end and pair.weights is not None:
            raise TypeError(_NO_INTEGRAL)
        top = pair.maximum(pair.log_p)
        top = jnp.where(jnp.isinf(top), 0.0, top)  # of padding: no outcome is left
        if is_static(self.order, 0.0):
            count = pair.total(jnp.where(pair.log_p == -jnp.inf, 0.0, 1.0).astype(top.dtype))
            return jnp.log(jnp.maximum(count, 1.0))
        if is_static(self.order, math.inf):
            tied = (pair.log_p == top[..., None]).astype(top.dtype)
            ties = jnp.maximum(pair.total(tied), 1.0)
            moved = jnp.where(tied > 0, pair.log_p - lax.stop_gradient(pair.log_p), 0.0)
            return -(top + pair.total(moved) / ties)
        beta = jnp.asarray(self.order, top.dtype) - 1
        excess = pair.total(_node(pair, beta))
        # Where the sum of p^a is about 1, what it lacks is summed instead; elsewhere it is taken
        # relative to the largest mass, in two parts that do not cancel.
        near = abs(beta * excess) < 0.5
        close = excess * log1prel(jnp.where(near, -beta * excess, 0.0))
        rest = pair.total(_power(pair, beta, top[..., None]))
        far = -jnp.log(jnp.where(near, 1.0, rest)) / jnp.where(near, 1.0, beta)
        return jnp.where(near, close, far - top)

    def terms(self, draws):
        if is_static(self.order, 0.0) or is_static(self.order, math.inf):
            raise TypeError(_NO_INTEGRAL)
        beta = jnp.asarray(self.order, draws.log_p.dtype) - 1
        return -expm1_over(beta, draws.log_p)

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        beta = jnp.asarray(self.order, mean.dtype) - 1
        return mean * log1prel(-beta * mean)

    def compose(self, evaluate, *operands):
        return None


class TsallisEntropy(AbstractFunctional):
    r"""$S_q(P) = \frac{1}{q - 1} \left(1 - \sum p^q\right)$, of order $q$ (Tsallis 1988).

    Smooth through order 1, where it is Shannon's entropy; the Gini-Simpson index at 2.

    Args:
        order: positive; may be traced and differentiated.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.tsallis_entropy(jd.probs([0.5, 0.25, 0.25]), 2.0):.3f}")
        0.625
    """

    order: Float[ArrayLike, ""]
    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def __check_init__(self):
        check_scalar("order", self.order)
        if isinstance(self.order, (int, float)) and not 0 < self.order < math.inf:
            raise ValueError(f"order must be positive and finite, got {self.order}.")

    def integrate(self, pair):
        beta = jnp.asarray(self.order, pair.p.dtype) - 1
        return pair.total(_node(pair, beta))

    def terms(self, draws):
        beta = jnp.asarray(self.order, draws.log_p.dtype) - 1
        return -expm1_over(beta, draws.log_p)

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        value = evaluate(RenyiEntropy(self.order), *operands)
        beta = jnp.asarray(self.order, value.dtype) - 1
        return expm1_over(-beta, value)


_NO_INTEGRAL = (
    "RenyiEntropy of order 0 or inf is a count or a maximum over outcomes, which no average or "
    "rule of quadrature finds: use the closed form, or an order in between."
)


def _node(pair: Pair, beta: Array) -> Array:
    r"""$(p - p^{1 + \beta}) / \beta$: never negative for masses."""
    zero = pair.log_p == -jnp.inf
    x = jnp.where(zero, 0.0, pair.log_p)
    near = abs(beta * x) < 0.5
    close = pair.p * -expm1_over(beta, jnp.where(near, x, 0.0))
    far = (pair.p - _power(pair, beta, jnp.zeros_like(beta))) / jnp.where(near, 1.0, beta)
    # At p = 0 the slope in p is finite where beta is positive.
    here, steep = zero & (beta > 0), jnp.where(beta > 0, beta, 1.0)
    curved = here & (beta >= 1)
    power = jnp.where(curved, pair.p, 0.0) ** (jnp.where(beta >= 1, beta, 1.0) + 1)
    at_zero = jnp.where(here, (pair.p - power) / steep, 0.0)
    return jnp.where(zero, at_zero, jnp.where(near, close, far))


def _power(pair: Pair, beta: Array, top: Array) -> Array:
    r"""$p\,e^{\beta (\log p - t)}$, $t$ = `top`; 0 at $p = 0$."""
    zero = pair.log_p == -jnp.inf
    log_p = jnp.where(zero, 0.0, pair.log_p)
    y = beta * (log_p - top)
    # By the logarithm where p is flushed to 0 and its power is not, and where that is shorter.
    whole = (beta < -0.5) | (pair.p == 0)
    joint = jnp.exp(jnp.where(whole, (1 + beta) * log_p - beta * top, 0.0))
    apart = pair.p * jnp.exp(jnp.where(whole, 0.0, y))
    return jnp.where(zero, 0.0, jnp.where(whole, joint, apart))
