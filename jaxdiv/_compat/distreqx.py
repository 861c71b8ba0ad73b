"""Distreqx's distributions: `vmap` makes batches of them, or arrays as parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr

from .._operand.bernoulli import Bernoulli
from .._operand.beta import Beta
from .._operand.foreign import AbstractLibrary
from .._operand.gamma import Gamma
from .._operand.logistic import Logistic
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.normal import Normal
from .._operand.transformed import AbstractBijection, Sigmoid
from .._operand.uniform import Uniform
from .build import Affine, Families, classes, independent, known, member, mixture, transformed
from .convert import adopt


def _by(d: Any) -> tuple[Any, Any]:
    """Probabilities and logits as they were given: the properties compute one from the other."""
    return d._probs, d._logits


def _independent(d: Any) -> Any:
    base = known(d.distribution)
    return None if base is None else independent(base, len(base.batch_shape))


def _steps(bijector: Any) -> list[Affine | AbstractBijection | None]:
    match type(bijector).__name__:
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
    "Gamma": lambda d: Gamma(d.concentration, d.rate),
    "Independent": _independent,
    "Logistic": lambda d: Logistic(d.loc, d.scale),
    "MixtureSameFamily": lambda d: mixture(
        known(d.mixture_distribution), known(d.components_distribution)
    ),
    "MultivariateNormalDiag": lambda d: independent(Normal(d.loc, d.scale_diag), 1),
    "MultivariateNormalFromBijector": lambda d: MultivariateNormal(
        d.loc, covariance_matrix=d.covariance()
    ),
    "MultivariateNormalFullCovariance": lambda d: MultivariateNormal(
        d.loc, covariance_matrix=d.covariance()
    ),
    "MultivariateNormalTri": lambda d: MultivariateNormal(d.loc, covariance_matrix=d.covariance()),
    "Normal": lambda d: Normal(d.loc, d.scale),
    "OneHotCategorical": lambda d: classes(*_by(d)),
    "Transformed": lambda d: transformed(known(d.distribution), _steps(d.bijector)),
    "Uniform": lambda d: Uniform(d.low, d.high),
}


class Distreqx(AbstractLibrary):
    """`distreqx.distributions`."""

    def translate(self, obj):
        return member(_FAMILIES, "distreqx.", obj)

    def shapes(self, obj):
        # What it calls the event is an outcome with its batch; its log-density keeps the latter.
        outcome = jax.eval_shape(obj.sample, jr.key(0))
        batch = jax.eval_shape(obj.log_prob, outcome).shape
        return batch, outcome.shape[len(batch) :]

    def log_prob(self, obj, x):
        rank = sum(len(shape) for shape in self.shapes(obj))
        one = obj.log_prob
        for _ in range(x.ndim - rank):
            one = jax.vmap(one)
        return one(x)

    def sample(self, obj, key, shape):
        one = obj.sample
        for _ in shape:
            one = jax.vmap(one)
        return one(jr.split(key, shape) if shape else key)

    def moments(self, obj):
        return obj.mean, obj.variance

    def is_integer(self, obj):
        return jnp.issubdtype(obj.dtype, jnp.integer)

    def is_free(self, obj):
        return False

    def is_reparameterized(self, obj):
        # Distreqx does not say: an image of draws that can be differentiated can be, too.
        return type(obj).__name__ == "Transformed" and adopt(obj.distribution).reparameterized


LIBRARY = Distreqx()
