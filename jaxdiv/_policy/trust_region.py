"""The step of trust region policy optimisation."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, ArrayLike, Bool, Float

from .._api import kl
from .._api_geometry import hessian_at_equality, is_parameter
from .._functional.kl import KL
from .._operand.base import Operand, demand
from .._reduction import mean


class TrustRegionStep(eqx.Module):
    """The outcome of `trust_region_step`.

    Attributes:
        params: the new parameters; the old ones where nothing was accepted.
        kl: the mean of KL(old‖new) in nats, measured at `params`, not predicted.
        decrease: by how much the loss fell.
        fraction: of the full step, after backtracking.
        accepted: whether any step was; else `params` are as before and the other numbers are 0.
    """

    params: Any
    kl: Float[Array, ""]
    decrease: Float[Array, ""]
    fraction: Float[Array, ""]
    accepted: Bool[Array, ""]


def trust_region_step(
    loss: Callable[[Any], Float[Array, ""]],
    policy: Callable[[Any], Operand],
    params: Any,
    *,
    delta: Float[ArrayLike, ""],
    where: Bool[ArrayLike, "*batch"] | None = None,
    damping: float = 0.0,
    num_conjugate: int = 10,
    shrink: float = 0.8,
    num_backtracks: int = 20,
) -> TrustRegionStep:
    r"""A step down $L$, with the mean of $\mathrm{KL}(P_{old} \| P_{new})$ at most $\delta$.

    Schulman et al. 2015, appendix C: conjugate gradients (`jax.scipy.sparse.linalg.cg`) solve
    $(F + \text{damping})\,s = -\nabla L$, where $F$ is the Hessian of KL, of which only products
    are formed (`fisher_vector_product`); $s$ is scaled by $\sqrt{2 \delta / s^T F s}$, to where the
    quadratic model of KL is $\delta$; and it is shortened until the KL that is measured is at most
    $\delta$ and the loss lower than before.

    Args:
        loss: from parameters to a scalar, such as `mean(surrogate_loss(...))`.
        policy: from parameters to an operand with one distribution a state: a network with its
            tag, `lambda w: logits(net(w, states))`, or a family.
        params: any pytree; leaves that are no floating numbers stay as they are.
        delta: the most that KL may be, in nats.
        where: which states count in KL; leave the same out of the loss.
        damping: added to the diagonal of $F$ for the direction, not for the length. At 0 few
            conjugate steps are all that regularises an $F$ that is singular, as it often is.
        num_conjugate: conjugate steps, each of one Fisher-vector product.
        shrink: factor of each backtrack.
        num_backtracks: steps that are tried; then none is taken.

    Raises:
        TypeError: `policy` gives no operand.
        ValueError: `delta` is not positive, or `shrink` not between 0 and 1.
        NoClosedFormError: there is none of KL between two such policies.

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> def loss(z):
        ...     return -jnp.array([1.0, 0.0, -1.0]) @ jax.nn.softmax(z)
        >>> @jax.jit
        ... def improve(z):
        ...     return jd.trust_region_step(loss, jd.logits, z, delta=0.01)
        >>> step = improve(jnp.zeros(3))
        >>> print(bool(step.accepted), f"{step.kl:.4f}", f"{step.params[0]:.3f}")
        True 0.0100 0.173
    """
    demand("trust_region_step: delta", delta, lambda x: x > 0, "positive")
    if not 0 < shrink < 1:
        raise ValueError(f"trust_region_step: shrink must be between 0 and 1, got {shrink}.")
    free, fixed = eqx.partition(params, is_parameter)
    free = jax.tree.map(jnp.asarray, free)
    reduce = partial(mean, where=where)

    def policy_of(free: Any) -> Operand:
        return policy(eqx.combine(free, fixed))

    def loss_of(free: Any) -> Array:
        return loss(eqx.combine(free, fixed))

    old = policy_of(free)
    start, slope = jax.value_and_grad(loss_of)(free)
    product = hessian_at_equality(KL(), free, policy_of, reduce=reduce)

    def damped(v: Any) -> Any:
        return jax.tree.map(lambda hv, v: hv + damping * v, product(v), v)

    direction, _ = cg(damped, jax.tree.map(jnp.negative, slope), maxiter=num_conjugate)
    curvature = _inner(direction, product(direction))
    curved = curvature > 0  # not so where the loss is flat: then there is no step to scale
    length = jnp.sqrt(2 * jnp.asarray(delta, curvature.dtype) / jnp.where(curved, curvature, 1.0))

    def moved(fraction: Array) -> Any:
        by = length * fraction
        return jax.tree.map(lambda x, s: x + by.astype(x.dtype) * s, free, direction)

    def measured(fraction: Array) -> tuple[Array, Array]:
        new = moved(fraction)
        return reduce(kl(old, policy_of(new))), start - loss_of(new)

    def untried(state: tuple) -> Array:
        trial, _, _, accepted = state
        return curved & ~accepted & (trial < num_backtracks)

    def attempt(state: tuple) -> tuple:
        trial, fraction, *_ = state
        fraction = jnp.where(trial == 0, 1.0, fraction * shrink)
        away, decrease = measured(fraction)
        accepted = (away <= delta) & (decrease > 0)  # false where either is NaN
        return trial + 1, fraction, (away, decrease), accepted

    shapes = jax.eval_shape(measured, length)
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    state = jnp.asarray(0), jnp.zeros_like(length), nothing, jnp.asarray(False)
    _, fraction, numbers, accepted = jax.lax.while_loop(untried, attempt, state)
    new, (away, decrease), fraction = jax.tree.map(
        lambda taken, left: jnp.where(accepted, taken, left),
        (moved(fraction), numbers, fraction),
        (free, nothing, jnp.zeros_like(fraction)),
    )
    return TrustRegionStep(eqx.combine(new, fixed), away, decrease, fraction, accepted)


def _inner(x: Any, y: Any) -> Array:
    parts = jax.tree.map(jnp.vdot, x, y)
    return jax.tree.reduce(jnp.add, parts)
