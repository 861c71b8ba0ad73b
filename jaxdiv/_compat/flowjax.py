"""FlowJAX's distributions: an array of parameters is one outcome of several coordinates."""

import importlib
from typing import Any

import jax.numpy as jnp

from .._operand.beta import Beta
from .._operand.cauchy import Cauchy, StudentT
from .._operand.exponential import Exponential
from .._operand.foreign import AbstractLibrary
from .._operand.gamma import Gamma
from .._operand.gumbel import Gumbel
from .._operand.laplace import Laplace
from .._operand.log_normal import LogNormal
from .._operand.logistic import Logistic
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.normal import Normal
from .._operand.tags import log_probs
from .._operand.transformed import AbstractBijection, Exp, Sigmoid, Softplus
from .._operand.uniform import Uniform
from .build import Affine, Families, independent, member, mixture, transformed


def _steps(bijection: Any) -> list[Affine | AbstractBijection | None]:
    match type(bijection).__name__:
        case "Chain":
            return [step for part in bijection.bijections for step in _steps(part)]
        case "Affine":
            return [Affine(bijection.loc, bijection.scale)]
        case "Loc":
            return [Affine(bijection.loc, 1)]
        case "Scale":
            return [Affine(0, bijection.scale)]
        case "Exp":
            return [Exp()]
        case "Sigmoid":
            return [Sigmoid()]
        case "SoftPlus":
            return [Softplus()]
    return [None]


# Of one number, or of several independent ones.
_PARTS: Families = {
    "Beta": lambda d: Beta(d.alpha, d.beta),
    "Cauchy": lambda d: Cauchy(d.loc, d.scale),
    "Exponential": lambda d: Exponential(d.rate),
    "Gamma": lambda d: Gamma(d.base_dist.concentration, 1 / d.bijection.scale),
    "Gumbel": lambda d: Gumbel(d.loc, d.scale),
    "Laplace": lambda d: Laplace(d.loc, d.scale),
    "LogNormal": lambda d: LogNormal(d.base_dist.loc, d.base_dist.scale),
    "Logistic": lambda d: Logistic(d.loc, d.scale),
    "Normal": lambda d: Normal(d.loc, d.scale),
    "StandardNormal": lambda d: Normal(jnp.zeros(d.shape), 1.0),
    "StudentT": lambda d: StudentT(d.df, d.loc, d.scale),
    "Transformed": lambda d: transformed(
        member(_PARTS, "flowjax.", d.base_dist), _steps(d.bijection)
    ),
    "Uniform": lambda d: Uniform(d.minval, d.maxval),
}

_FAMILIES: Families = {
    "MultivariateNormal": lambda d: MultivariateNormal(d.loc, d.bijection.triangular),
    "VmapMixture": lambda d: mixture(log_probs(d.log_normalized_weights), _family(d.dist)),
}


def _family(d: Any) -> Any:
    parts = member(_PARTS, "flowjax.", d)
    return member(_FAMILIES, "flowjax.", d) if parts is None else independent(parts, len(d.shape))


def _is_differentiable(d: Any) -> bool:
    if type(d).__name__ == "VmapMixture":
        return False
    own = type(d).__module__.startswith("flowjax.")
    return _is_differentiable(d.base_dist) if type(d).__name__ == "Transformed" else own


class FlowJAX(AbstractLibrary):
    """`flowjax.distributions`."""

    def translate(self, obj):
        return _family(importlib.import_module("paramax").unwrap(obj))

    def shapes(self, obj):
        if obj.cond_shape is not None:
            raise TypeError(
                f"{type(obj).__name__} is conditional: give its condition first, by a `LogDensity` "
                "that calls it."
            )
        return (), obj.shape

    def log_prob(self, obj, x):
        return obj.log_prob(x)

    def sample(self, obj, key, shape):
        return obj.sample(key, shape)

    def moments(self, obj):
        return lambda: obj.mean, lambda: obj.variance  # which flowjax does not have

    def is_integer(self, obj):
        return False

    def is_free(self, obj):
        return True  # constraints are bijections of them

    def is_reparameterized(self, obj):
        return _is_differentiable(obj)


LIBRARY = FlowJAX()
