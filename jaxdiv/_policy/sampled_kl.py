"""KL from the log-probabilities of samples, its value and its gradient chosen apart."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float

from .._functional.base import ratio_of_logs
from .._operand.base import demand, fits, floating
from .log_ratio import K1, K2, AbstractLogRatioTerm, LogRatios


def sampled_kl(
    log_p: Float[ArrayLike, "*samples"],
    log_q: Float[ArrayLike, "*samples"],
    *,
    value: AbstractLogRatioTerm | None = None,
    gradient: AbstractLogRatioTerm | None = None,
    log_behavior: Float[ArrayLike, "*samples"] | None = None,
    max_weight: float | None = None,
    bound: float | None = None,
    where: Bool[ArrayLike, "*samples"] | None = None,
) -> Float[Array, "*samples"]:
    r"""$w\,k(\log p - \log q)$ at each sample: its mean estimates $\mathrm{KL}(P \| Q)$, in nats.

    Samples (tokens, actions) are held fixed, and the derivative of $k$ then need not estimate the
    derivative of what $k$ estimates: that of $k_1$ has mean 0, that of $k_2$ is right, and that of
    $k_3$ belongs to KL(Q‖P) (Tang & Munos 2025). So the two are chosen apart: the value is that
    of `value`, the derivative in `log_p` that of `gradient`. The derivative in `log_q` is $-w$
    whatever is chosen, whose mean is right for KL(P‖Q).

    | | mean of the value | mean of the gradient in P |
    |---|---|---|
    | `K1()`, the default value | KL(P‖Q) | 0 |
    | `K2()`, the default gradient | KL(P‖Q) to leading order, where small | that of KL(P‖Q) |
    | `K3()` | KL(P‖Q); of infinite variance if Q is twice as wide | that of KL(Q‖P) |
    | `OptimalControlVariate()` | KL(P‖Q) | $\lambda$ times that of KL(Q‖P) |

    Token by token the states are held fixed too, so that the derivative leaves out that a token
    changes those after it. For all of it sum the log-probabilities of a sequence first: then it
    is one sample. Where the logits of all actions are at hand, `kl(logits(a), logits(b))` is the
    mean over the action itself, without sampling error in value or gradient. Derivatives are of
    first order: those of second order are 0. Where $r$ is infinite the derivative is reported as 0.

    Args:
        log_p: log-probabilities of the samples under $P$, the policy that is trained.
        log_q: under $Q$, the reference. Of the same shape.
        value: what the value is; None is `K1()`, unbiased, and never of infinite variance
            because $Q$ is wide.
        gradient: of what the derivative is taken; None is `K2()`.
        log_behavior: under $\mu$, the policy that drew the samples, where this is not $P$
            itself (after the first of several updates it no longer is): each sample weighs
            $w = p/\mu$, which is not differentiated. None is on-policy, $w = 1$. For other
            weights, say of whole sequences, multiply the result by them.
        max_weight: truncates $w$ to at most this (Ionides 2008): less variance, and a bias
            towards $\mu$. None truncates nothing.
        bound: takes value and slope of $k$ at $r$ clipped to $[-b, b]$, so that $k_3$ and its
            gradient stay finite where $q \gg p$; biased. None clips nothing.
        where: which samples count; the others give 0 with gradient 0, and may hold NaN. Reduce
            with `mean(..., where=where)`.

    Raises:
        TypeError: `value` or `gradient` is none of the four (a class in place of its instance).
        ValueError: shapes differ, or a bound is not positive.

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> reference, drawn = jnp.log(jnp.array([0.5, 0.3, 0.2])), jnp.array([0, 1, 2])
        >>> def penalty(z):
        ...     return jd.mean(jd.sampled_kl(jax.nn.log_softmax(z)[drawn], reference[drawn]))
        >>> value, gradient = jax.value_and_grad(penalty)(jnp.zeros(3))
        >>> print(f"{value:.3f}", *(f"{x:.3f}" for x in gradient))
        0.070 -0.159 0.012 0.147
    """
    value = K1() if value is None else value
    gradient = K2() if gradient is None else gradient
    for name, term in (("value", value), ("gradient", gradient)):
        if not isinstance(term, AbstractLogRatioTerm):
            raise TypeError(
                f"sampled_kl: {name} must be K1(), K2(), K3() or OptimalControlVariate(), got "
                f"{term!r}."
            )
    given = (log_p, log_q) if log_behavior is None else (log_p, log_q, log_behavior)
    arrays = floating(*given)
    shape = arrays[0].shape
    if any(x.shape != shape for x in arrays):
        raise ValueError(
            "sampled_kl: log_p, log_q and log_behavior hold one number a sample each and must "
            f"have one shape, got {', '.join(str(x.shape) for x in arrays)}."
        )
    if where is not None:
        if not fits(jnp.shape(where), shape):
            raise ValueError(
                f"sampled_kl: where of shape {jnp.shape(where)} does not broadcast to {shape}."
            )
        arrays = tuple(jnp.where(where, x, 0.0) for x in arrays)
    at = _log_ratios(*lax.stop_gradient(arrays), max_weight=max_weight, bound=bound)
    slope = gradient.slope(at)
    finite = jnp.isfinite(at.r) | jnp.isnan(at.r)
    slopes = jnp.where(finite, slope, 0.0), jnp.where(finite, -at.w, 0.0)
    return _with_slopes(value.value(at), slopes, arrays[:2])


def _log_ratios(
    log_p: Array,
    log_q: Array,
    log_behavior: Array | None = None,
    *,
    max_weight: float | None,
    bound: float | None,
) -> LogRatios:
    for name, limit in (("max_weight", max_weight), ("bound", bound)):
        demand(f"sampled_kl: {name}", limit, lambda x: x > 0, "positive")
    r = ratio_of_logs(log_p, log_q)
    if log_behavior is None:
        log_w, log_v = jnp.zeros_like(r), -r
    else:
        log_w, log_v = ratio_of_logs(log_p, log_behavior), ratio_of_logs(log_q, log_behavior)
    if max_weight is not None:
        excess = jnp.maximum(log_w - jnp.log(jnp.asarray(max_weight, r.dtype)), 0.0)
        log_w, log_v = log_w - excess, log_v - excess
    if bound is not None:
        limit = jnp.asarray(bound, r.dtype)
        log_v = jnp.where(abs(r) > limit, log_w - jnp.clip(r, -limit, limit), log_v)
        r = jnp.clip(r, -limit, limit)
    return LogRatios(r, jnp.exp(log_w), jnp.exp(log_v))


@jax.custom_jvp
def _with_slopes(value: Array, slopes: tuple[Array, Array], logs: tuple[Array, Array]) -> Array:
    """`value`, with given derivatives: no `x - stop_gradient(x)`, which is NaN at infinity."""
    return value


@_with_slopes.defjvp
def _(primals, tangents):
    value, slopes, _ = primals
    return value, slopes[0] * tangents[2][0] + slopes[1] * tangents[2][1]
