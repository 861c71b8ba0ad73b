"""What the readers of other libraries build operands from."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from .._operand.base import AbstractDistribution, AbstractOperand, Shape, floating
from .._operand.cauchy import Cauchy, StudentT
from .._operand.discrete import AbstractDiscrete
from .._operand.empirical import PointMass
from .._operand.foreign import Foreign
from .._operand.independent import Independent
from .._operand.laplace import Laplace
from .._operand.log_normal import LogitNormal, LogNormal
from .._operand.logistic import Logistic
from .._operand.mixture import Mixture
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.normal import Normal
from .._operand.tags import logits as tag_logits
from .._operand.tags import probs as tag_probs
from .._operand.transformed import AbstractBijection, Exp, Sigmoid, Transformed
from .._operand.uniform import Uniform
from .._operand.univariate import Shifted
from .._special import sigmoid
from .convert import adopt

Families = dict[str, Callable[[Any], AbstractOperand | None]]


def member(families: Families, module: str, obj: Any) -> AbstractOperand | None:
    """By the name of its class, where that is the library's own: a subclass may do anything."""
    cls = type(obj)
    build = families.get(cls.__name__) if cls.__module__.startswith(module) else None
    return None if build is None else build(obj)


def known(obj: Any) -> Any:
    """A part as an operand; None where it is of no family here, or is None itself."""
    operand = adopt(obj)
    return None if isinstance(operand, Foreign) else operand


def classes(probs: Any, logits: Any) -> AbstractDiscrete:
    """Over classes, by whichever was given."""
    return tag_logits(logits) if probs is None else tag_probs(probs)


def probability(probs: Any, logits: Any) -> Any:
    """Of a success, by whichever was given."""
    return sigmoid(*floating(logits)) if probs is None else probs


def simplex(probs: Any, logits: Any) -> Any:
    return jax.nn.softmax(logits) if probs is None else probs


def normal_of_factor(loc: Any, factor: Any) -> MultivariateNormal:
    """For any square root of the covariance."""
    (factor,) = floating(factor)
    return MultivariateNormal(loc, covariance_matrix=factor @ factor.mT)


def independent(base: Any, ndims: int) -> AbstractOperand | None:
    if base is None or ndims == 0 or isinstance(base, PointMass):
        return base
    return Independent(base, ndims)


def mixture(mixing: Any, components: Any) -> Mixture | None:
    parts = components if isinstance(components, tuple) else (components,)
    if not isinstance(mixing, AbstractDiscrete):
        return None
    if not all(isinstance(part, AbstractDistribution) for part in parts):
        return None
    return Mixture(mixing, components)


def shifted(base: AbstractDistribution, shift: Any) -> AbstractDistribution:
    return base if _is_known_to_be(shift, 0) else Shifted(base, shift)


def expand(operand: Any, shape: Shape) -> Any:
    """With its batch axes broadcast to `shape`; None for None."""
    match operand:
        case None:
            return None
        case Independent(base=base, ndims=ndims):
            tail = base.batch_shape[len(base.batch_shape) - ndims :]
            return Independent(expand(base, (*shape, *tail)), ndims)
        case Mixture(mixing=mixing, components=tuple() as parts):
            return Mixture(expand(mixing, shape), tuple(expand(part, shape) for part in parts))
        case Mixture(mixing=mixing, components=parts):
            inner = (*shape, operand.num_components)
            return Mixture(expand(mixing, shape), expand(parts, inner))
        case Transformed(base=base, bijection=bijection):
            return Transformed(expand(base, shape), bijection)
        case Shifted(base=base, shift=shift):
            return Shifted(expand(base, shape), shift)
        case PointMass():
            return None  # which of its axes are the event's is not known
    fields = {
        f.name: jnp.broadcast_to(x, (*shape, *jnp.shape(x)[jnp.ndim(x) - rank :]))
        for f in dataclasses.fields(operand)
        if not f.metadata.get("static", False) and (x := getattr(operand, f.name)) is not None
        for rank in [f.metadata.get("event_ndim", 0)]
    }
    return dataclasses.replace(operand, **fields)


class Affine(NamedTuple):
    r"""$x \mapsto a + b x$."""

    shift: Any
    scale: Any


def transformed(base: Any, steps: Sequence[Affine | AbstractBijection | None]) -> Any:
    """The image of a distribution of one number under the steps, the first one innermost."""
    return functools.reduce(_step, steps, base)


def _step(base: Any, step: Affine | AbstractBijection | None) -> AbstractDistribution | None:
    if not isinstance(base, AbstractDistribution) or step is None or base.event_shape:
        return None
    match base, step:
        case ((Normal() | Laplace() | Cauchy() | Logistic() | StudentT()), Affine(shift, scale)):
            loc = shift + scale * jnp.asarray(base.loc)
            return dataclasses.replace(base, loc=loc, scale=abs(scale * jnp.asarray(base.scale)))
        case Uniform(low=low, high=high), Affine(shift, scale):
            ends = (shift + scale * jnp.asarray(end) for end in (low, high))
            low, high = floating(*ends)
            return Uniform(jnp.minimum(low, high), jnp.maximum(low, high))
        case _, Affine(shift, scale):
            return shifted(base, shift) if _is_known_to_be(scale, 1) else None
        case Normal(loc=loc, scale=scale), Exp():
            return LogNormal(loc, scale)
        case Normal(loc=loc, scale=scale), Sigmoid():
            return LogitNormal(loc, scale)
    return None if base.integer else Transformed(base, step)


def _is_known_to_be(x: Any, value: float) -> bool:
    return not isinstance(x, jax.core.Tracer) and bool(np.all(np.asarray(x) == value))
