"""Supports: a divergence that weighs outcomes which Q does not have is infinite."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool

from .._estimator.rules import rule
from .._functional.entropies import CrossEntropy
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .base import AbstractDistribution, floating
from .foreign import Foreign


def is_covered(
    p: AbstractDistribution, q: AbstractDistribution
) -> bool | Bool[Array, "..."] | None:
    """Whether the support of `p` lies within that of `q`: a Python bool where the types say so.

    None where it is not known how far that of `p` reaches.
    """
    parts = jax.tree.leaves(p, is_leaf=lambda x: isinstance(x, Foreign))
    if any(isinstance(part, Foreign) for part in parts):
        everywhere = all(isinstance(end, float) and math.isinf(end) for end in q.support)
        return True if everywhere else None
    (low_p, high_p), (low_q, high_q) = p.support, q.support
    inside: bool | Array = True
    for inner, outer in ((low_q, low_p), (high_p, high_q)):  # inner <= outer is wanted
        part = _at_most(inner, outer)
        if part is False:
            return False
        inside = part if inside is True else inside if part is True else inside & part
    return inside


def _at_most(a: Any, b: Any) -> bool | Array:
    """Whether `a <= b`, for ends of which those that are arrays are finite."""
    numbers = [isinstance(x, (int, float)) for x in (a, b)]
    if all(numbers):
        return bool(a <= b)
    if numbers[0] and math.isinf(a):
        return bool(a < 0)
    if numbers[1] and math.isinf(b):
        return bool(b > 0)
    a, b = floating(a, b)
    return a <= b


def _is_mask(x: ArrayLike) -> bool:
    return jnp.issubdtype(jnp.result_type(x), jnp.bool_)


def infinity(p: AbstractDistribution, q: AbstractDistribution) -> Array:
    """In the shape and the dtype of a divergence between the two."""
    leaves = [x for x in jax.tree.leaves((p, q)) if not _is_mask(x)]
    shape = jnp.broadcast_shapes(p.batch_shape, q.batch_shape)
    return jnp.full(shape, jnp.inf, floating(*leaves)[0].dtype)


def same_outcomes(p: AbstractDistribution, q: AbstractDistribution) -> bool:
    """Whether both are densities of the same kind of outcome."""
    return p.integer == q.integer and p.event_shape == q.event_shape


@rule(KL, AbstractDistribution, AbstractDistribution)
@rule(CrossEntropy, AbstractDistribution, AbstractDistribution)
def _(functional, p, q):
    apart = same_outcomes(p, q) and is_covered(p, q) is False
    return infinity(p, q) if apart else None


@rule(Renyi, AbstractDistribution, AbstractDistribution)
def _(functional, p, q):
    high = isinstance(functional.order, (int, float)) and functional.order >= 1
    apart = high and same_outcomes(p, q) and is_covered(p, q) is False
    return infinity(p, q) if apart else None
