"""Whether a fit ended at an optimum, and which ends are the same one."""

from typing import NamedTuple

import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._estimator.exact import exact, has_closed_form
from .._functional.kl import KL
from .._operand.base import AbstractDistribution, AbstractOperand
from .newton import eigh
from .solution import Certificate

_NUM_DRAWS = 256  # from each of two members that have no closed form between them


class Margins(NamedTuple):
    """What counts as nothing when a fit is judged."""

    gain: float  # nats that a Newton step may still promise
    step: float  # in free coordinates, with lengths in the spread of the target
    apart: float  # nats between two members that are one optimum, by the symmetrised divergence

    @staticmethod
    def exact(dtype: jnp.dtype) -> "Margins":
        """Of an objective known to rounding."""
        return Margins(float(jnp.finfo(dtype).eps) ** (2 / 3), 0.01, 1e-3)

    @staticmethod
    def sampled(size: int, num_draws: int) -> "Margins":
        """Of an average over draws, whose optimum misses by about `size / (2 num_draws)` nats.

        A few times that counts, and no more: a sample may have optima of its own.
        """
        gain = 3 * size / num_draws
        return Margins(gain, 0.25, max(1e-3, 4 * gain))


def certify(
    value: Float[Array, ""],
    grad: Float[Array, " n"],
    hessian: Float[Array, "n n"],
    margins: Margins,
) -> Certificate:
    r"""Whether an objective with this value and these derivatives has an optimum here.

    It has if the Hessian is positive definite beyond rounding once scaled to a unit diagonal, and
    if a Newton step would be short (on a plateau it is not: there the gradient and the curvature
    vanish together) and would gain nothing.
    """
    n, eps, tiny = grad.size, jnp.finfo(grad.dtype).eps, jnp.finfo(grad.dtype).tiny
    finite = jnp.isfinite(value + jnp.sum(grad) + jnp.sum(hessian))
    hessian = jnp.where(finite, hessian, jnp.eye(n, dtype=grad.dtype))
    size = jnp.sqrt(jnp.maximum(jnp.abs(jnp.diagonal(hessian)), tiny))
    eigenvalues, eigenvectors = eigh(hessian / (size * size[:, None]))
    slope = (grad / size) @ eigenvectors
    newton = slope / jnp.maximum(jnp.abs(eigenvalues), tiny)
    decrement = 0.5 * jnp.sum(slope * newton)
    step = jnp.max(jnp.abs(eigenvectors @ newton) / size, initial=0.0)
    curvature = jnp.min(eigenvalues, initial=jnp.inf)
    small = (decrement <= margins.gain) & (step <= margins.step)
    is_optimum = finite & small & (curvature > 32 * n * eps)
    return Certificate(value, decrement, step, curvature, is_optimum)


def cluster(
    members: PyTree, is_optimum: Bool[Array, " starts"], margins: Margins
) -> tuple[Int[Array, " starts"], Bool[Array, " starts"]]:
    """The number of the optimum that each start found, in the given order, and each one's first.

    Two members are the same optimum if their symmetrised divergence is small: exact where there is
    a closed form, else from fixed draws of both. (Not if their coordinates are close: components of
    a mixture swap.) Of what is no distribution, the largest difference between two fields stands in
    for it.
    """
    num = is_optimum.shape[0]

    def unassigned(numbers: Array) -> Array:
        return is_optimum & (numbers < 0)

    def assign(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        numbers, is_distinct, count = carry
        todo = unassigned(numbers)
        first = jnp.argmax(todo)
        leader = jax.tree.map(lambda leaf: leaf[first], members)
        distances = jax.vmap(symmetrised, in_axes=(None, 0))(leader, members)
        leads = (jnp.arange(num) == first) & todo
        joins = todo & ((distances <= margins.apart) | leads)
        return jnp.where(joins, count, numbers), is_distinct | leads, count + 1

    def proceed(carry: tuple[Array, Array, Array]) -> Array:
        # Unbatched under an outer vmap, which would otherwise copy the carry at each turn.
        return eqxi.unvmap_any(unassigned(carry[0]))

    none = jnp.full(num, -1, jnp.int32)
    numbers, is_distinct, _ = jax.lax.while_loop(
        proceed, assign, (none, jnp.zeros(num, bool), jnp.array(0, jnp.int32))
    )
    return numbers, is_distinct


def symmetrised(p: PyTree, q: PyTree) -> Float[Array, ""]:
    """Jeffreys' divergence of two members of a family, in closed form or from fixed draws."""
    if not isinstance(p, AbstractOperand):
        differences = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b), initial=0.0), p, q)
        return jnp.max(jnp.stack(jax.tree.leaves(differences)))
    one_way = exact if has_closed_form(KL(), p, q) else _sampled
    # Both ways at once: one compiled copy.
    pairs = [jax.tree.map(lambda a, b: jnp.stack([a, b]), *pair) for pair in ((p, q), (q, p))]
    return jnp.sum(jax.vmap(lambda p, q: one_way(KL(), p, q))(*pairs))


def _sampled(functional: KL, p: AbstractDistribution, q: AbstractDistribution) -> Float[Array, ""]:
    weights, draws = p.strata(jr.key(0), _NUM_DRAWS)
    both = jax.tree.map(lambda a, b: jnp.stack([a, b]), p, q)
    log_p, log_q = jax.vmap(lambda d: d.log_prob(draws))(both)
    return jnp.sum(weights * jnp.mean(log_p - log_q, 1))
