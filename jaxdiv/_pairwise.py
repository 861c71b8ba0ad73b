"""Every pair of two batches."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from ._api import evaluate, in_base
from ._estimator.base import AbstractEstimator
from ._functional.base import AbstractFunctional
from ._functional.entropies import CrossEntropy
from ._operand.align import _axis_name, _num_classes
from ._operand.base import Operand
from ._operand.batch import map_batch_axis
from ._operand.convert import as_operand
from ._operand.discrete import AbstractDiscrete, Labels
from ._operand.foreign import Foreign
from ._operand.product import Product

_TILE = 2**20  # outcomes of pairs that are in memory at a time


def pairwise(
    functional: AbstractFunctional,
    ps: Operand,
    qs: Operand,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Float[Array, "N M"]:
    r"""The matrix $D(P_i, Q_j)$.

    Cross-entropies between classes are one product of matrices, $-P \log Q^\top$. Anything else is
    summed pair by pair, since $\sum p \log p - \sum p \log q$ and the like cancel where $P_i$ and
    $Q_j$ are close: in tiles, so that memory stays bounded whatever $N$ and $M$, in the backward
    pass too.

    Args:
        functional: what is measured of each pair.
        ps: operand of batch shape `[N]`.
        qs: operand of batch shape `[M]`.
        base: unit of a logarithmic functional: None for nats, 2 for bits, 10 for hartleys.
        estimator: how; None is the closed form, and nothing else.
        key: for estimators that draw; the same draws serve every tile.

    Raises:
        ValueError: a batch shape is not of one axis (`vmap` over the others).
        NoClosedFormError, TypeError: as for `divergence`.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> means = jd.Normal(jnp.array([0.0, 1.0, 3.0]), 1.0)
        >>> print(jd.pairwise(jd.KL(), means, means))
        [[0.  0.5 4.5]
         [0.5 0.  2. ]
         [4.5 2.  0. ]]
    """
    ps, qs = as_operand("ps", ps), as_operand("qs", qs)
    for name, d in (("ps", ps), ("qs", qs)):
        if isinstance(d, Foreign):
            raise TypeError(
                f"pairwise: {name} is a {d.name}, of no family here, and not to be taken apart: "
                "use `jax.vmap` of `divergence` twice."
            )
        if len(d.batch_shape) != 1:
            raise ValueError(
                f"pairwise: {name} has batch shape {d.batch_shape}; it must have one axis. Over "
                "others use `jax.vmap`."
            )
    by_product = isinstance(functional, CrossEntropy) and estimator is None
    if by_product and isinstance(ps, AbstractDiscrete) and isinstance(qs, AbstractDiscrete):
        return in_base(_cross_entropies(ps, qs), base)

    @jax.checkpoint
    def block(p: Any, q: Any) -> Array:
        column = map_batch_axis(p, lambda x, axis: jnp.expand_dims(x, x.ndim + axis + 1))
        return evaluate(functional, (column, q), base, estimator, key)

    (rows,), (columns,) = ps.batch_shape, qs.batch_shape
    width = max(1, min(columns, _TILE // _outcomes(ps, qs)))
    height = max(1, min(rows, _TILE // (_outcomes(ps, qs) * width)))

    def row(p: Any) -> Array:
        return _in_tiles(lambda q: block(p, q), qs, columns, width, axis=1)

    return _in_tiles(row, ps, rows, height, axis=0)


def _outcomes(ps: Any, qs: Any) -> int:
    if isinstance(ps, Product):
        return max(_outcomes(part, qs.parts.get(name)) for name, part in ps.parts.items())
    sizes = [d.num_outcomes or 1 for d in (ps, qs) if isinstance(d, AbstractDiscrete)]
    if sizes:
        return max(sizes)
    return math.prod(ps.event_shape) or 1


def _in_tiles(fn: Any, operand: Any, size: int, tile: int, axis: int) -> Array:
    """`fn` of the operand in slices of its batch, put together along an axis of the results."""
    if size <= tile:
        return fn(operand)
    steps = math.ceil(size / tile)
    index = jnp.minimum(jnp.arange(steps * tile), size - 1)
    leaves, places = [], []

    def take(x: Array, at: int) -> Array:
        places.append(at if x.shape[at] == size else None)
        if x.shape[at] != size:
            return x
        leaves.append(
            jnp.moveaxis(jnp.take(x, index, at), at, 0).reshape(
                steps, tile, *x.shape[: x.ndim + at], *x.shape[x.ndim + at + 1 :]
            )
        )
        return x

    map_batch_axis(operand, take)

    def body(slices: list[Array]) -> Array:
        left, at = iter(slices), iter(places)

        def put(x: Array, _: int) -> Array:
            place = next(at)
            return x if place is None else jnp.moveaxis(next(left), 0, place)

        return fn(map_batch_axis(operand, put))

    out = lax.map(body, leaves)
    out = jnp.moveaxis(out, 0, axis)
    shape = (*out.shape[:axis], steps * tile, *out.shape[axis + 2 :])
    return lax.slice_in_dim(out.reshape(shape), 0, size, axis=axis)


def _cross_entropies(ps: AbstractDiscrete, qs: AbstractDiscrete) -> Float[Array, "N M"]:
    """Terms of one sign: their sum keeps its digits in any order."""
    size, axis_name = _num_classes(ps, qs), _axis_name(ps, qs)
    p, log_q = ps.mass(size), qs.log_mass(size)
    dtype = jnp.result_type(p, log_q)
    p, zero = p.astype(dtype), (log_q == -jnp.inf).astype(dtype)
    log_q = jnp.where(zero > 0, 0.0, log_q).astype(dtype)
    value = _product(p, -log_q)
    lost = _product((p > 0).astype(dtype), zero)
    if axis_name is not None:
        value, lost = lax.psum((value, lost), axis_name)
    value = jnp.where(lost > 0, jnp.inf, value)
    for labels, axis in ((ps, 1), (qs, 0)):  # padding has no mass on either side
        if isinstance(labels, Labels):
            value = jnp.where(jnp.expand_dims(labels.ignored(), axis), 0.0, value)
    return value


def _product(a: Array, b: Array) -> Array:
    return jnp.einsum("nv,mv->nm", a, b, precision=lax.Precision.HIGHEST)
