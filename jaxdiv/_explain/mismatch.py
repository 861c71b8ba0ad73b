"""Where P has mass and Q has none: why a divergence is infinite."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._functional.base import Pair
from .._operand.align import align, check_batches
from .._operand.base import AbstractDistribution, floating, greater, lesser
from .._operand.convert import as_operands
from .._operand.discrete import AbstractDiscrete
from .._operand.foreign import Foreign
from .._operand.product import Product
from .._operand.support import same_outcomes


class SupportMismatch(eqx.Module):
    """The outcomes of P that Q lacks. Made by `support_mismatch`.

    Attributes:
        outcomes: of classes, which have p > 0 = q; else None.
        mass: their mass in P, and 0 at all other outcomes; else None.
        intervals: of densities, and of integers, two intervals of P's support outside Q's (of each
            coordinate, where the supports say so of each): below it and above it, as `[low, high]`.
            One that is empty has `low == high`.
    """

    outcomes: Bool[Array, "*batch V"] | None = None
    mass: Float[Array, "*batch V"] | None = None
    intervals: Float[Array, "*batch 2 2"] | None = None

    @property
    def found(self) -> Bool[Array, "*batch"]:
        """Whether there is any."""
        if self.outcomes is not None:
            return jnp.any(self.outcomes, -1)
        assert self.intervals is not None
        return jnp.any(self.intervals[..., 0] < self.intervals[..., 1], -1)

    def __str__(self) -> str:
        if self.outcomes is not None and self.mass is not None:
            mass = np.asarray(self.mass)
            where = map(tuple, np.argwhere(self.outcomes))
            words = [f"{', '.join(map(str, i))} (mass {mass[i]:.6g})" for i in where]
        else:
            ends = np.asarray(self.intervals).reshape(-1, 2)
            words = [f"({low:.6g}, {high:.6g})" for low, high in ends if low < high]
        if not words:
            return "Q covers P"
        return "P has mass where Q has none: " + ", ".join(words)


def support_mismatch(p: Any, q: Any) -> SupportMismatch | dict[str, Any] | None:
    r"""Which outcomes have $p > 0 = q$, where KL and its like are infinite.

    Args:
        p: a distribution over classes, a density, or a dict of such.
        q: another over outcomes of the same kind.

    Returns:
        A `SupportMismatch` with the batch axes of both, of arrays (it jits); for a product a dict
        of them. None for observations, which have no support, and where it is not known: of another
        library's distribution that is of no family here. That of a `Mixture` is taken from end to
        end, without the gaps that it may have.

    Raises:
        TypeError: the operands have no outcomes in common.

    Example:
        >>> import jaxdiv as jd
        >>> print(jd.support_mismatch(jd.probs([0.5, 0.3, 0.2]), jd.probs([0.9, 0.0, 0.1])))
        P has mass where Q has none: 1 (mass 0.3)
        >>> print(jd.support_mismatch(jd.Normal(0.0, 1.0), jd.Uniform(-1.0, 2.0)))
        P has mass where Q has none: (-inf, -1), (2, inf)
    """
    return mismatch_of(*as_operands(p, q))


def mismatch_of(p: Any, q: Any) -> SupportMismatch | dict[str, Any] | None:
    """As `support_mismatch`, of operands."""
    if isinstance(p, Product):
        p.check_names("q", q)
        return {name: mismatch_of(p.parts[name], q.parts[name]) for name in p.names}
    if isinstance(p, AbstractDiscrete) and isinstance(q, AbstractDiscrete):
        return mismatch_of_pair(align(p, q))
    if not isinstance(p, AbstractDistribution | AbstractDiscrete):
        return None
    line = AbstractDistribution
    if not (isinstance(p, line) and isinstance(q, line) and same_outcomes(p, q)):
        raise TypeError(f"{type(p).__name__} and {type(q).__name__} have no outcomes in common.")
    if isinstance(p, Foreign) or isinstance(q, Foreign):
        return None
    check_batches(p, q)
    (low_p, high_p), (low_q, high_q) = p.support, q.support
    below = low_p, greater(low_p, lesser(high_p, low_q))
    above = lesser(high_p, greater(low_p, high_q)), high_p
    batch = jnp.broadcast_shapes(p.batch_shape, q.batch_shape)
    ends = jnp.broadcast_arrays(*floating(*below, *above), jnp.zeros(batch))[:-1]
    return SupportMismatch(intervals=jnp.stack(ends, -1).reshape(*ends[0].shape, 2, 2))


def mismatch_of_pair(pair: Pair) -> SupportMismatch:
    """Of classes."""
    return SupportMismatch(pair.q_is_zero, jnp.where(pair.q_is_zero, pair.p, 0.0))


def with_batch(mismatch: Any, batch: tuple[int, ...]) -> Any:
    """With all of the batch axes, also those on which a part does not depend."""
    if isinstance(mismatch, dict):
        return {name: with_batch(part, batch) for name, part in mismatch.items()}
    if mismatch is None:
        return None

    def spread(x: Array, own: int) -> Array:
        return jnp.broadcast_to(x, (*batch, *x.shape[x.ndim - own :]))

    if mismatch.intervals is not None:
        return SupportMismatch(intervals=spread(mismatch.intervals, 2))
    return SupportMismatch(spread(mismatch.outcomes, 1), spread(mismatch.mass, 1))
