"""One number from a batch of values, such that a mean of means cannot happen by accident."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from ._operand.base import fits, widen


def mean(
    values: Float[ArrayLike, "*batch"],
    *,
    where: Bool[ArrayLike, "*batch"] | None = None,
    weights: Float[ArrayLike, "*batch"] | None = None,
    count: Float[ArrayLike, ""] | None = None,
    axis_name: str | tuple[str, ...] | None = None,
    segment_ids: Int[Array, " n"] | None = None,
    num_segments: int | None = None,
) -> Float[Array, ""] | Float[Array, " num_segments"]:
    r"""$\sum_i w_i v_i / \sum_i w_i$ over all axes, with one count for all of them.

    Args:
        values: one value an example.
        where: which examples count; the others may hold NaN or infinity, and their gradient is 0.
        weights: $w$; 1 if not given. A zero weight silences its value.
        count: the denominator, where it is known better than from this batch (accumulated
            gradients, packed sequences).
        axis_name: a mesh or `vmap` axis to sum over as well, numerator and denominator alike.
        segment_ids: group of each of `n` values (one axis): one mean a segment.
        num_segments: how many groups; needed with `segment_ids`.

    Returns:
        A scalar, or one value a segment. NaN where nothing counts: an empty mean has no value.

    Raises:
        ValueError: `segment_ids` without `num_segments`, or shapes that do not broadcast.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> print(jd.mean(jnp.array([1.0, 3.0, jnp.nan]), where=jnp.array([True, True, False])))
        2.0
    """
    values = widen(values)
    shape = values.shape
    mass = jnp.ones(shape, values.dtype)
    for name, given in (("where", where), ("weights", weights)):
        if given is None:
            continue
        if not fits(jnp.shape(given), shape):
            raise ValueError(
                f"mean: {name} of shape {jnp.shape(given)} does not broadcast to {shape}."
            )
        mass = mass * jnp.asarray(given).astype(values.dtype)
    kept = mass != 0
    terms = jnp.where(kept, mass * jnp.where(kept, values, 0.0), 0.0)
    if segment_ids is None:
        numerator, denominator = jnp.sum(terms), jnp.sum(mass)
    else:
        if num_segments is None or len(shape) != 1:
            raise ValueError(
                "mean: segment_ids needs values with one axis and `num_segments=`, got values of "
                f"shape {shape} and num_segments={num_segments}."
            )
        numerator, denominator = (
            jax.ops.segment_sum(x, segment_ids, num_segments) for x in (terms, mass)
        )
    if axis_name is not None:
        numerator, denominator = lax.psum((numerator, denominator), axis_name)
    return numerator / (denominator if count is None else jnp.asarray(count, values.dtype))
