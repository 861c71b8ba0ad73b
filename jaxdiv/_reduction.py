"""One number from a batch of values, such that a mean of means cannot happen by accident."""

from typing import Any

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

    A mean of means is another number wherever the parts do not count alike, as with masks,
    padding and packed sequences. Of micro-batches, give each the `count` of the whole batch and add
    up their values (or gradients); where an optimizer averages over $k$ of them
    (`optax.MultiSteps`), give that count divided by $k$. Over devices, name the axis.

    Args:
        values: one value an example.
        where: which examples count; the others may hold NaN or infinity, and their gradient is 0.
            `~y.ignored()` for labels that ignore some.
        weights: $w$; 1 if not given. A zero weight silences its value. Those of classes are
            `class_weights[y]`.
        count: the denominator ($\sum_i w_i$ over all that belongs together), where it is known
            better than from this batch.
        axis_name: a mesh or `vmap` axis to sum over as well, numerator and denominator alike; `()`
            for the mean of one shard, inside `shard_map`.
        segment_ids: group of each of `n` values (one axis), in `[0, num_segments)`; values of any
            other group are left out. One mean a segment: `vmap` over rows that number their own.
        num_segments: how many groups; needed with `segment_ids`.

    Returns:
        A scalar, or one value a segment. NaN where nothing counts: an empty mean has no value.

    Raises:
        ValueError: `segment_ids` without `num_segments`, shapes that do not broadcast, or values
            that differ over a mesh axis which `axis_name` does not say what to do with.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> print(jd.mean(jnp.array([1.0, 3.0, jnp.nan]), where=jnp.array([True, True, False])))
        2.0
        >>> batch = [jnp.array([1.0, 2.0, 3.0]), jnp.array([6.0])]
        >>> print(sum(jd.mean(part, count=4.0) for part in batch), sum(map(jd.mean, batch)) / 2)
        3.0 4.0
    """
    values = widen(values)
    split = _varying(values)
    if axis_name is None and split:
        raise ValueError(
            f"mean: values differ over the mesh axes {tuple(sorted(split))}, so that this is the "
            "mean of one shard's: give them as axis_name=, or axis_name=() if that is meant."
        )
    if where is not None and jnp.issubdtype(jnp.result_type(where), jnp.floating):
        raise TypeError(
            f"mean: where is a mask, got {jnp.result_type(where)}: what weighs more or less goes "
            "in `weights=`."
        )
    if num_segments is not None and segment_ids is None:
        raise ValueError("mean: num_segments is given, and no segment_ids.")
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
        if num_segments is None or len(shape) != 1 or jnp.shape(segment_ids) != shape:
            raise ValueError(
                "mean: segment_ids needs values with one axis, as many ids, and `num_segments=`, "
                f"got values of shape {shape}, ids of shape {jnp.shape(segment_ids)} and "
                f"num_segments={num_segments}."
            )
        numerator, denominator = (
            jax.ops.segment_sum(x, segment_ids, num_segments) for x in (terms, mass)
        )
    if axis_name is not None:
        numerator, denominator = lax.psum((numerator, denominator), axis_name)
    return numerator / (denominator if count is None else jnp.asarray(count, values.dtype))


def _varying(x: Array) -> frozenset[str]:
    """The mesh axes over which it differs, inside `shard_map` (with `check_vma`)."""
    kind: Any = jax.typeof(x)
    try:
        return kind.manual_axis_type.varying
    except AttributeError:  # JAX 0.8
        return kind.vma
