"""Which algorithm serves an objective, where none is named."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._functional.kl import KL
from .._operand.base import AbstractDistribution
from .._operand.foreign import Foreign
from .._operand.independent import Independent
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.normal import Normal
from .._operand.posterior import Posterior
from .algorithm import AbstractAlgorithm
from .moment_matching import MomentMatching
from .natural_gradient import NaturalGradient
from .objective import Forward, Reverse
from .sample_average import SampleAverage
from .stochastic_gradient import StochasticGradient
from .template import AbstractTemplate, FullRank, Given, MeanField

NUM_STARTS = 4


def choose(objective: Any, family: Any, optim: Any) -> AbstractAlgorithm | None:
    """The algorithm that was given, or that suits the target; None for a descent by optax."""
    if isinstance(optim, AbstractAlgorithm):
        _check_direction(objective, optim)
        return optim
    if _is_plain_kl(objective, Reverse) and isinstance(family, Foreign) and family.is_free:
        return StochasticGradient(optim)
    if optim is not None or not _is_plain_kl(objective, Forward | Reverse):
        return None
    if isinstance(objective.target, Posterior):
        serves = family is None or kind_of(family) is not None
    else:
        serves = isinstance(family, AbstractTemplate) or family is None
    if not serves:
        return None
    if isinstance(objective, Forward):
        return MomentMatching()
    gaussian = kind_of(family) if family is not None else FullRank()
    return NaturalGradient() if isinstance(gaussian, FullRank | MeanField) else SampleAverage()


def _is_plain_kl(objective: Any, kind: Any) -> bool:
    """Whether it is KL of this direction, with nothing said of how it is estimated."""
    return (
        isinstance(objective, kind)
        and isinstance(objective.functional, KL)
        and objective.estimator is None
    )


def _check_direction(objective: Any, algorithm: AbstractAlgorithm) -> None:
    """Raises where the algorithm would minimise something else than the objective."""
    verb, kind = ("forward_kl", Forward) if algorithm.forward else ("reverse_kl", Reverse)
    if not _is_plain_kl(objective, kind):
        raise ValueError(
            f"fit: {type(algorithm).__name__} serves {verb}(target) without an estimator, got "
            f"{type(objective).__name__}: change the objective, or leave `optim` out."
        )


def kind_of(family: Any) -> AbstractTemplate | None:
    """The kind of Gaussian that a family is, where it is one."""
    if isinstance(family, AbstractTemplate):
        return family
    if isinstance(family, MultivariateNormal):
        return FullRank()
    if isinstance(family, Independent) and isinstance(family.base, Normal):
        return MeanField()
    return None


def template_of(family: Any, dim: int, given: bool) -> tuple[AbstractTemplate, Float[Array, " D"]]:
    """The kind of family, or any member where one may be `given`, and the point to start from."""
    kind = FullRank() if family is None else kind_of(family)
    if kind is None and given and isinstance(family, AbstractDistribution):
        kind = Given(family)
    if kind is None:
        raise TypeError(
            f"fit: an algorithm fits Gaussians, got {type(family).__name__}: give FullRank(), "
            "MeanField(), a member of either, or an optax optimiser."
        )
    if family is None or isinstance(family, AbstractTemplate):
        return kind, jnp.zeros(dim)
    if family.event_shape != (dim,) or family.batch_shape != ():
        raise ValueError(
            f"fit: the target has {dim} free coordinates, and the family batch shape "
            f"{family.batch_shape} and event shape {family.event_shape}."
        )
    return kind, jnp.zeros(dim) if isinstance(kind, Given) else family.mean


def dim_of(target: Any) -> int:
    """The number of coordinates of a target over vectors."""
    if isinstance(target, Posterior):
        return target.dim
    shape = target.event_shape if isinstance(target, AbstractDistribution) else None
    if shape is None or len(shape) != 1 or target.batch_shape != () or target.integer:
        raise ValueError(
            "fit: an algorithm needs a Posterior, or one density over vectors, as the target; got "
            f"{type(target).__name__} with event shape {shape}: make it a LogDensity with "
            "event_shape=(D,), or give an optax optimiser."
        )
    return shape[0]
