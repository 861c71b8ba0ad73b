"""KL between distributions over sequences, from what each token's conditional is."""

import math
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool

from .._functional.kl import KL
from .._operand.base import fits
from .._operand.convert import as_operands
from .._operand.discrete import AbstractDiscrete
from .base import Estimate
from .exact import exact
from .pareto import tail_shape


def sequence_kl(p: Any, q: Any, *, where: Bool[ArrayLike, "n T"] | None = None) -> Estimate:
    r"""$\mathrm{KL}(P \| Q) = E_{x \sim P}\sum_t \mathrm{KL}(p_t \| q_t)$, given $x_{<t}$.

    Of sequences by the chain rule: each token's divergence is summed over the whole vocabulary, and
    only the prefixes are averaged over draws. That is the Rao-Blackwellised form of the mean of
    $\sum_t \log p_t(x_t) - \log q_t(x_t)$: its variance is never larger, it is never
    negative, and it needs nothing beyond the logits that are at hand (Amini, Vieira & Cotterell
    2025, "Better estimation of the KL divergence between language models").

    Args:
        p: over tokens, of batch shape `[n, T]`, such as `logits(z)` with `z` of `[n, T, V]`: at
            each place of `n` sequences *drawn from* $P$ the distribution of the next token.
        q: the same of $Q$, at the same prefixes.
        where: which places count (no padding, no prompt).

    Returns:
        The mean over the sequences in nats, with its standard error. Its derivative is that with
        the prefixes held fixed: what more or fewer of them would change is missing (the score of
        the prefixes times what comes after them), as in every per-token penalty.

    Raises:
        TypeError: `p` or `q` is not tagged, or is not over classes.
        ValueError: the batch shapes are not `[n, T]` with at least two sequences.

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> z = jax.random.normal(jax.random.key(0), (2, 128, 5, 7))
        >>> e = jd.sequence_kl(jd.logits(z[0]), jd.logits(z[1]))
        >>> print(bool(0 < e.standard_error < 0.05 * e.value))
        True
    """
    p, q = as_operands(p, q)
    for d in (p, q):
        if not isinstance(d, AbstractDiscrete):
            raise TypeError(
                f"sequence_kl takes distributions over tokens, got {type(d).__name__}: tag the "
                "logits, `logits(z)`."
            )
    values = exact(KL(), p, q)
    if values.ndim != 2 or values.shape[0] < 2:
        raise ValueError(
            "sequence_kl: the batch must be [n, T], of n > 1 sequences with T places, got shape "
            f"{values.shape}: for one more axis use `jax.vmap`."
        )
    if where is not None:
        if not fits(jnp.shape(where), values.shape):
            raise ValueError(
                f"sequence_kl: where of shape {jnp.shape(where)} does not broadcast to "
                f"{values.shape}."
            )
        values = jnp.where(jnp.asarray(where), values, 0.0)
    totals = jnp.sum(values, 1)
    n = len(totals)
    held = lax.stop_gradient(totals)
    error = jnp.std(held, ddof=1) / math.sqrt(n)
    value: Array = jnp.mean(totals)
    return Estimate(value, error, jnp.full_like(value, n), tail_shape(held - jnp.mean(held)))
