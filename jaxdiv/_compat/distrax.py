"""Distrax's distributions, and those of TFP that it wraps."""

from typing import Any

import jax.numpy as jnp

from .._operand.bernoulli import Bernoulli
from .._operand.beta import Beta, Dirichlet
from .._operand.empirical import PointMass
from .._operand.foreign import AbstractLibrary
from .._operand.gamma import Gamma
from .._operand.gumbel import Gumbel
from .._operand.laplace import Laplace
from .._operand.logistic import Logistic
from .._operand.mixture import Mixture
from .._operand.multinomial import Multinomial
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.normal import Normal
from .._operand.tags import probs
from .._operand.transformed import AbstractBijection, Sigmoid
from .._operand.uniform import Uniform
from .._operand.von_mises import VonMises
from . import tfp
from .build import (
    Affine,
    Families,
    classes,
    independent,
    known,
    member,
    mixture,
    normal_of_factor,
    simplex,
    transformed,
)
from .convert import adopt


def _by(d: Any) -> tuple[Any, Any]:
    """Probabilities and logits as they were given: the properties compute one from the other."""
    return d._probs, d._logits


def _normal(d: Any) -> MultivariateNormal:
    if d.is_lower:
        return MultivariateNormal(d.loc, d.scale_tri)
    return normal_of_factor(d.loc, d.scale_tri)


def _of_two(d: Any) -> Mixture | None:
    weights = jnp.stack([d.prob_a, 1 - d.prob_a], -1)
    return mixture(probs(weights), (known(d._component_a), known(d._component_b)))


def _steps(bijector: Any) -> list[Affine | AbstractBijection | None]:
    """The maps that a bijector is made of, the innermost first; None for one not known here."""
    match type(bijector).__name__:
        case "BijectorFromTFP":
            return tfp.steps(bijector._tfp_bijector)
        case "Chain":
            return [step for part in reversed(bijector.bijectors) for step in _steps(part)]
        case "ScalarAffine":
            return [Affine(bijector.shift, bijector.scale)]
        case "Shift":
            return [Affine(bijector.shift, 1)]
        case "Sigmoid":
            return [Sigmoid()]
    return [None]


_FAMILIES: Families = {
    "Bernoulli": lambda d: Bernoulli(*_by(d)),
    "Beta": lambda d: Beta(d.alpha, d.beta),
    "Categorical": lambda d: classes(*_by(d)),
    "Deterministic": lambda d: PointMass(d.loc),
    "Dirichlet": lambda d: Dirichlet(d.concentration),
    "EpsilonGreedy": lambda d: classes(*_by(d)),
    "Gamma": lambda d: Gamma(d.concentration, d.rate),
    "Greedy": lambda d: classes(*_by(d)),
    "Gumbel": lambda d: Gumbel(d.loc, d.scale),
    "Independent": lambda d: independent(
        known(d.distribution), len(d.event_shape) - len(d.distribution.event_shape)
    ),
    "Laplace": lambda d: Laplace(d.loc, d.scale),
    "LogStddevNormal": lambda d: Normal(d.loc, d.scale),
    "Logistic": lambda d: Logistic(d.loc, d.scale),
    "MixtureOfTwo": _of_two,
    "MixtureSameFamily": lambda d: mixture(
        known(d.mixture_distribution), known(d.components_distribution)
    ),
    "Multinomial": lambda d: Multinomial(d.total_count, simplex(*_by(d))),
    "MultivariateNormalDiag": lambda d: independent(Normal(d.loc, d.scale_diag), 1),
    "MultivariateNormalDiagPlusLowRank": lambda d: MultivariateNormal(
        d.loc, covariance_matrix=d.covariance()
    ),
    "MultivariateNormalFromBijector": lambda d: MultivariateNormal(
        d.loc, covariance_matrix=d.covariance()
    ),
    "MultivariateNormalFullCovariance": lambda d: MultivariateNormal(
        d.loc, covariance_matrix=d.covariance_matrix
    ),
    "MultivariateNormalTri": _normal,
    "Normal": lambda d: Normal(d.loc, d.scale),
    "OneHotCategorical": lambda d: classes(*_by(d)),
    "Softmax": lambda d: classes(*_by(d)),
    "Transformed": lambda d: transformed(known(d.distribution), _steps(d.bijector)),
    "Uniform": lambda d: Uniform(d.low, d.high),
    "VonMises": lambda d: VonMises(d.loc, d.concentration),
}


class Distrax(AbstractLibrary):
    """`distrax`."""

    def translate(self, obj):
        for cls in type(obj).__mro__:
            if cls.__module__.startswith(tfp.MODULE):
                return tfp.build_as(cls, obj)
        return member(_FAMILIES, "distrax.", obj)

    def shapes(self, obj):
        if isinstance(obj.event_shape, dict | list) or isinstance(obj.dtype, dict | list | tuple):
            raise TypeError(
                f"{type(obj).__name__} has outcomes of several parts; an operand's is one array."
            )
        return tuple(obj.batch_shape), tuple(obj.event_shape)

    def log_prob(self, obj, x):
        return obj.log_prob(x)

    def sample(self, obj, key, shape):
        return obj.sample(seed=key, sample_shape=shape)

    def moments(self, obj):
        return obj.mean, obj.variance

    def is_integer(self, obj):
        whole = type(obj).__name__ == "Quantized"
        return whole or jnp.issubdtype(obj.dtype, jnp.integer)

    def is_free(self, obj):
        return False

    def is_reparameterized(self, obj):
        # Distrax does not say: an image of draws that can be differentiated can be, too.
        return type(obj).__name__ == "Transformed" and adopt(obj.distribution).reparameterized


LIBRARY = Distrax()
