"""What a policy gradient descends, and the penalty that keeps the policy near the last one."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float

from .._functional.base import ratio_of_logs
from .._operand.base import demand, fits, floating


def surrogate_loss(
    log_p: Float[ArrayLike, "*samples"],
    log_behavior: Float[ArrayLike, "*samples"],
    advantage: Float[ArrayLike, "*samples"],
    *,
    clip: float | None = None,
    where: Bool[ArrayLike, "*samples"] | None = None,
) -> Float[Array, "*samples"]:
    r"""$-w A$, or $-\min(w A, \mathrm{clip}(w, 1 - \epsilon, 1 + \epsilon)\,A)$; $w = p/\mu$.

    The first is the loss of TRPO (Schulman et al. 2015, eq. 14) and of PPO with a KL penalty,
    the second that of PPO with a clipped ratio (Schulman et al. 2017, eq. 7): a sample whose
    ratio has moved past the clip, to its gain, has gradient 0. No penalty is in it: add
    `coefficient * mean(kl(old, new))`.

    Args:
        log_p: log-probability of each action under the policy that is trained.
        log_behavior: under $\mu$, the policy that drew it; not to be differentiated.
        advantage: $A$ of each action.
        clip: $\epsilon$; None clips nothing.
        where: which samples count; the others give 0 with gradient 0, and may hold NaN. Reduce
            with `mean(..., where=where)`.

    Raises:
        ValueError: shapes differ, or `clip` is not positive.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> log_p, log_behavior = jnp.log(jnp.array([0.6, 0.6])), jnp.log(jnp.array([0.4, 0.5]))
        >>> print(jd.surrogate_loss(log_p, log_behavior, jnp.array([1.0, -1.0]), clip=0.2))
        [-1.2  1.2]
    """
    arrays = floating(log_p, log_behavior, advantage)
    shape = arrays[0].shape
    if any(x.shape != shape for x in arrays):
        raise ValueError(
            "surrogate_loss: log_p, log_behavior and advantage hold one number a sample each and "
            f"must have one shape, got {', '.join(str(x.shape) for x in arrays)}."
        )
    if where is not None:
        if not fits(jnp.shape(where), shape):
            raise ValueError(
                f"surrogate_loss: where of shape {jnp.shape(where)} does not broadcast to {shape}."
            )
        arrays = tuple(jnp.where(where, x, 0.0) for x in arrays)
    log_p, log_behavior, advantage = arrays
    demand("surrogate_loss: clip", clip, lambda x: x > 0, "positive")
    log_w = ratio_of_logs(log_p, log_behavior)
    nothing, gains = advantage == 0, advantage > 0
    if clip is None:
        past, limit = nothing, jnp.ones_like(advantage)
    else:
        limit = jnp.where(gains, 1 + clip, jnp.maximum(1 - clip, 0.0)).astype(advantage.dtype)
        end = jnp.log(limit)
        past = nothing | jnp.where(gains, log_w > end, log_w < end)
    # Before it overflows: infinity times a slope of 0 has none.
    w = jnp.where(past, limit, jnp.exp(jnp.where(past, 0.0, log_w)))
    return jnp.where(nothing, 0.0, -w * advantage)


class AdaptivePenalty(eqx.Module):
    r"""A coefficient of KL that is halved or doubled to hold KL near a target.

    Schulman et al. 2017, section 4: $\beta$ is halved where KL has been below $d / 1.5$ and
    doubled where it has been above $1.5\,d$. For a fixed penalty a number is enough.

    Args:
        coefficient: $\beta$, which multiplies KL in the loss.
        target: $d$, in nats.
        tolerance: the 1.5.
        factor: the 2.

    Example:
        >>> import jaxdiv as jd
        >>> penalty = jd.AdaptivePenalty(1.0, target=0.01)
        >>> print(penalty.update(0.02).coefficient, penalty.update(0.01).coefficient)
        2.0 1.0
    """

    coefficient: Float[ArrayLike, ""]
    target: Float[ArrayLike, ""]
    tolerance: float = 1.5
    factor: float = 2.0

    def __check_init__(self) -> None:
        demand("AdaptivePenalty: coefficient", self.coefficient, lambda x: x >= 0, "at least 0")
        demand("AdaptivePenalty: target", self.target, lambda x: x > 0, "positive")
        demand("AdaptivePenalty: tolerance", self.tolerance, lambda x: x >= 1, "at least 1")
        demand("AdaptivePenalty: factor", self.factor, lambda x: x > 1, "above 1")

    def update(self, kl: Float[ArrayLike, ""]) -> "AdaptivePenalty":
        """The penalty of the next update, given the KL that was measured after this one."""
        kl, coefficient, target = floating(kl, self.coefficient, self.target)
        more, less = kl > target * self.tolerance, kl < target / self.tolerance
        scale = jnp.where(more, self.factor, jnp.where(less, 1 / self.factor, 1.0))
        # From 0 it would never come back.
        least = jnp.minimum(coefficient, jnp.finfo(kl.dtype).tiny)
        new = jnp.maximum(coefficient * scale.astype(kl.dtype), least)
        return dataclasses.replace(self, coefficient=new)
