"""What is made of a cross-entropy, or added to it, in training a classifier."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from ._kernel.categorical import log_normalizer
from ._operand.base import Operand, demand, widen
from ._operand.convert import as_operand
from ._operand.discrete import Logits
from ._special import expm1, log1mexp
from ._special.base import arrays, finite


def focal(
    surprisal: Float[ArrayLike, "*batch"], gamma: Float[ArrayLike, ""] = 2.0
) -> Float[Array, "*batch"]:
    r"""$-(1 - p)^\gamma \log p$ from $-\log p$, of an observed outcome: easy examples count less.

    Args:
        surprisal: $-\log p \ge 0$, in nats: the `cross_entropy` of `labels` that are not smoothed
            to `logits` or a `Bernoulli`.
        gamma: $\gamma \ge 0$; 0 leaves the loss as it is.

    Returns:
        One value an example: 0 with gradient 0 at $p = 1$ (for $\gamma > 0$), and the surprisal
        itself with gradient 1 as $p \to 0$. Balancing weights $\alpha$ multiply it, or go to
        `mean`.

    Raises:
        ValueError: `gamma` is a negative number.

    Example:
        >>> import jaxdiv as jd
        >>> nll = jd.cross_entropy(jd.labels(1), jd.logits([0.0, 20.0]))
        >>> print(f"{jd.focal(nll, 1.0):.3e}")
        4.248e-18

    Reference:
        Lin et al. (2017), "Focal Loss for Dense Object Detection", eq. 4.
    """
    demand("focal: gamma", gamma, lambda x: x >= 0, "at least 0")
    surprisal, gamma = arrays(widen(surprisal), gamma)
    infinite = surprisal == jnp.inf
    inside = jnp.where(infinite, 0.0, surprisal)
    return jnp.where(infinite, surprisal, _miss_to(gamma, inside) * inside)


@jax.custom_jvp
def _miss_to(gamma: Array, surprisal: Array) -> Array:
    r"""$(1 - e^{-x})^\gamma$, with every digit of $1 - p$ at $p = 1$."""
    return lax.pow(-expm1(-surprisal), gamma)


@_miss_to.defjvp
def _(primals, tangents):
    (gamma, x), (dgamma, dx) = primals, tangents
    # Infinite at x = 0 below gamma = 1, where the loss has slope 0.
    slope = gamma * finite(_miss_to(gamma - 1, x)) * jnp.exp(-x)
    value = _miss_to(gamma, x)
    log_miss = log1mexp(jnp.where(x == 0, 1.0, x))  # at 0 it meets a value, or a loss, of 0
    return value, slope * dx + value * log_miss * dgamma


def z_loss(q: Operand) -> Float[Array, "*batch"]:
    r"""$\log^2 Z$ with $Z = \sum_i e^{z_i}$, of `logits`: what keeps them from drifting.

    Cross-entropy does not change when a constant is added to all logits; a small multiple of this,
    1e-4 say, added to it holds that constant where $Z = 1$, as half precision needs.

    Args:
        q: `logits(z)`, with its temperature and mask.

    Returns:
        One value an example, 0 where every class is masked. The gradient is
        $2 \log Z\,\mathrm{softmax}(z)$.

    Raises:
        TypeError: `q` are not `logits`: what is normalised has $Z = 1$.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> q = jd.logits(jnp.array([[3.0, 1.0], [-1.0, 2.0]]))
        >>> loss = jd.cross_entropy(jd.labels(jnp.array([0, 1])), q) + 1e-4 * jd.z_loss(q)
        >>> print(jd.z_loss(q).round(4))
        [9.7777 4.1967]

    Reference:
        Chowdhery et al. (2022), "PaLM: Scaling Language Modeling with Pathways", section 5.
    """
    q = as_operand("q", q)
    if not isinstance(q, Logits):
        raise TypeError(
            f"z_loss is of `logits(z)`, got {type(q).__name__}: what is normalised has log Z = 0."
        )
    return log_normalizer(q.scores(), axis_name=q.axis_name) ** 2
