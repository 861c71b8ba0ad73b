"""TensorFlow Probability's distributions on JAX."""

from typing import Any

import jax.numpy as jnp
from jax.scipy.special import log_ndtr

from .._operand.bernoulli import Bernoulli
from .._operand.beta import Beta, Dirichlet
from .._operand.binomial import Binomial
from .._operand.cauchy import Cauchy, StudentT
from .._operand.chi import Chi, Chi2
from .._operand.continuous_bernoulli import ContinuousBernoulli
from .._operand.empirical import PointMass
from .._operand.exponential import Exponential
from .._operand.foreign import AbstractLibrary
from .._operand.gamma import Gamma, InverseGamma
from .._operand.geometric import Geometric, NegativeBinomial
from .._operand.gumbel import Gumbel, Weibull
from .._operand.half_normal import HalfNormal
from .._operand.inverse_gaussian import InverseGaussian
from .._operand.kumaraswamy import Kumaraswamy
from .._operand.laplace import Laplace
from .._operand.log_normal import LogitNormal, LogNormal
from .._operand.logistic import Logistic
from .._operand.low_rank_normal import LowRankMultivariateNormal
from .._operand.matrix_normal import MatrixNormal
from .._operand.moyal import Moyal
from .._operand.multinomial import Multinomial
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.multivariate_student_t import MultivariateStudentT
from .._operand.normal import Normal
from .._operand.pareto import Pareto
from .._operand.poisson import Poisson
from .._operand.power_spherical import PowerSpherical
from .._operand.product import Product
from .._operand.tags import log_probs
from .._operand.transformed import AbstractBijection, Exp, Log, Sigmoid, Softplus, Transformed
from .._operand.uniform import Uniform
from .._operand.von_mises import VonMises
from .._operand.von_mises_fisher import VonMisesFisher
from .._operand.wishart import Wishart
from .build import (
    Affine,
    Families,
    classes,
    expand,
    independent,
    known,
    member,
    mixture,
    normal_of_factor,
    probability,
    simplex,
    transformed,
)

MODULE = "tensorflow_probability.substrates.jax."
_TRIANGULAR = ("LinearOperatorLowerTriangular", "LinearOperatorDiag", "LinearOperatorIdentity")


def _rate(d: Any) -> Any:
    return jnp.exp(d.log_rate) if d.rate is None else d.rate


def _negative_binomial(d: Any) -> NegativeBinomial:
    """Its `probs` is that of what is counted."""
    if d.logits is None:
        return NegativeBinomial(d.total_count, 1 - jnp.asarray(d.probs))
    return NegativeBinomial(d.total_count, logits=-jnp.asarray(d.logits))


def _loc(d: Any) -> Any:
    return jnp.zeros(d.event_shape, d.dtype) if d.loc is None else d.loc


def _tril(operator: Any) -> Any:
    """The lower triangular square root of what the operator is a square root of."""
    dense = operator.to_dense()
    if type(operator).__name__ in _TRIANGULAR:
        return dense
    return jnp.linalg.cholesky(dense @ jnp.swapaxes(dense, -1, -2))


def _multivariate_normal(d: Any) -> MultivariateNormal:
    if type(d.scale).__name__ in _TRIANGULAR:
        return MultivariateNormal(_loc(d), d.scale.to_dense())
    return normal_of_factor(_loc(d), d.scale.to_dense())


def _low_rank(d: Any) -> LowRankMultivariateNormal:
    return LowRankMultivariateNormal(
        _loc(d), d.parameters["cov_perturb_factor"], d.parameters["cov_diag_factor"]
    )


def _sample(d: Any) -> Any:
    """Independent copies, whose axes stand between the batch and the event."""
    base, shape = known(d.distribution), d.event_shape
    if base is None or base.batch_shape:
        return None
    copies = tuple(shape)[: len(shape) - len(base.event_shape)]
    return independent(expand(base, copies), len(copies))


def _product(names: Any, parts: Any) -> Product | None:
    """Of parts none of which is made from another."""
    found = {name: None if callable(d) else known(d) for name, d in zip(names, parts, strict=True)}
    return None if any(part is None for part in found.values()) else Product(found)


def _no_distribution(d: Any) -> Any:
    raise TypeError(
        f"{type(d).__name__} has a log-probability that is no distribution's, so that nothing can "
        "be measured of it: take `distribution`, and leave out what is masked by "
        "`jaxdiv.mean(values, where=mask)`."
    )


def steps(bijector: Any) -> list[Affine | AbstractBijection | None]:
    """The maps that a bijector is made of, the innermost first; None for one not known here."""
    match type(bijector).__name__:
        case "Chain":
            return [step for part in reversed(bijector.bijectors) for step in steps(part)]
        case "Identity":
            return []
        case "Shift":
            return [Affine(bijector.shift, 1)]
        case "Scale" if bijector.scale is not None:
            return [Affine(0, bijector.scale)]
        case "Exp":
            return [Exp()]
        case "Sigmoid" if bijector.low is None and bijector.high is None:
            return [Sigmoid()]
        case "Softplus" if bijector.hinge_softness is None and bijector.low is None:
            return [Softplus()]
    return [None]


_FAMILIES: Families = {
    "BatchBroadcast": lambda d: expand(known(d.distribution), tuple(d.batch_shape)),
    "Bernoulli": lambda d: Bernoulli(probs=d.probs, logits=d.logits),
    "Beta": lambda d: Beta(d.concentration1, d.concentration0),
    "Binomial": lambda d: Binomial(d.total_count, probability(d.probs, d.logits)),
    "Categorical": lambda d: classes(d.probs, d.logits),
    "Cauchy": lambda d: Cauchy(d.loc, d.scale),
    "Chi": lambda d: Chi(d.df),
    "Chi2": lambda d: Chi2(d.df),
    "ContinuousBernoulli": lambda d: ContinuousBernoulli(probs=d.probs, logits=d.logits),
    "Deterministic": lambda d: PointMass(d.loc),
    "Dirichlet": lambda d: Dirichlet(d.concentration),
    "Exponential": lambda d: Exponential(d.rate),
    "ExpGamma": lambda d: Transformed(Gamma(d.concentration, _rate(d)), Log()),
    "ExpInverseGamma": lambda d: Transformed(
        InverseGamma(d.concentration, jnp.exp(d.log_scale) if d.scale is None else d.scale), Log()
    ),
    "FlatDirichlet": lambda d: Dirichlet(d.concentration),
    "Gamma": lambda d: Gamma(d.concentration, _rate(d)),
    "Geometric": lambda d: Geometric(probability(d.probs, d.logits)),
    "Gumbel": lambda d: Gumbel(d.loc, d.scale),
    "HalfNormal": lambda d: HalfNormal(d.scale),
    "Independent": lambda d: independent(
        known(d.distribution), len(d.event_shape) - len(d.distribution.event_shape)
    ),
    "InverseGamma": lambda d: InverseGamma(d.concentration, d.scale),
    "InverseGaussian": lambda d: InverseGaussian(d.loc, d.concentration),
    "JointDistributionNamed": lambda d: (
        _product(d.model, d.model.values()) if isinstance(d.model, dict) else None
    ),
    "JointDistributionSequential": lambda d: _product(d._flat_resolve_names(), d.model),
    "Kumaraswamy": lambda d: Kumaraswamy(d.concentration1, d.concentration0),
    "Laplace": lambda d: Laplace(d.loc, d.scale),
    "LogNormal": lambda d: LogNormal(d.loc, d.scale),
    "Logistic": lambda d: Logistic(d.loc, d.scale),
    "LogitNormal": lambda d: LogitNormal(d.loc, d.scale),
    "Masked": _no_distribution,
    "MatrixNormalLinearOperator": lambda d: MatrixNormal(
        d.loc, _tril(d.scale_row), _tril(d.scale_column)
    ),
    "Mixture": lambda d: mixture(known(d.cat), tuple(known(c) for c in d.components)),
    "MixtureSameFamily": lambda d: mixture(
        known(d.mixture_distribution), known(d.components_distribution)
    ),
    "Moyal": lambda d: Moyal(d.loc, d.scale),
    "NegativeBinomial": _negative_binomial,
    "Multinomial": lambda d: Multinomial(d.total_count, simplex(d.probs, d.logits)),
    "MultivariateNormalDiag": lambda d: independent(Normal(_loc(d), d.scale.diag_part()), 1),
    "MultivariateNormalDiagPlusLowRank": _multivariate_normal,
    "MultivariateNormalDiagPlusLowRankCovariance": _low_rank,
    "MultivariateNormalFullCovariance": _multivariate_normal,
    "MultivariateNormalLinearOperator": _multivariate_normal,
    "MultivariateNormalTriL": _multivariate_normal,
    "MultivariateStudentTLinearOperator": lambda d: MultivariateStudentT(
        d.df, _loc(d), _tril(d.scale)
    ),
    "Normal": lambda d: Normal(d.loc, d.scale),
    "OneHotCategorical": lambda d: classes(d.probs, d.logits),
    "OrderedLogistic": lambda d: log_probs(d.categorical_log_probs()),
    "Pareto": lambda d: Pareto(d.scale, d.concentration),
    "Poisson": lambda d: Poisson(_rate(d)),
    "PowerSpherical": lambda d: PowerSpherical(d.mean_direction, d.concentration),
    "ProbitBernoulli": lambda d: (
        Bernoulli(probs=d.probs)
        if d.probits is None
        else Bernoulli(logits=log_ndtr(d.probits) - log_ndtr(-d.probits))
    ),
    "Sample": _sample,
    "SphericalUniform": lambda d: VonMisesFisher(
        jnp.broadcast_to(jnp.eye(1, d.dimension)[0], (*d.batch_shape, d.dimension)), 0.0
    ),
    "StoppingRatioLogistic": lambda d: log_probs(d.categorical_log_probs()),
    "StudentT": lambda d: StudentT(d.df, d.loc, d.scale),
    "TransformedDistribution": lambda d: transformed(known(d.distribution), steps(d.bijector)),
    "Uniform": lambda d: Uniform(d.low, d.high),
    "VectorDeterministic": lambda d: PointMass(d.loc),
    "VonMises": lambda d: VonMises(d.loc, d.concentration),
    "VonMisesFisher": lambda d: VonMisesFisher(d.mean_direction, d.concentration),
    "Weibull": lambda d: Weibull(d.scale, d.concentration),
    "WishartLinearOperator": lambda d: (
        None if d.input_output_cholesky else Wishart(d.df, _tril(d.scale))
    ),
    "WishartTriL": lambda d: None if d.input_output_cholesky else Wishart(d.df, _tril(d.scale)),
}


class TFP(AbstractLibrary):
    """`tensorflow_probability.substrates.jax.distributions`."""

    def translate(self, obj):
        return member(_FAMILIES, MODULE, obj)

    def shapes(self, obj):
        batch, event = obj.batch_shape, obj.event_shape
        if isinstance(event, dict | list) or isinstance(obj.dtype, dict | list | tuple):
            raise TypeError(
                f"{type(obj).__name__} has outcomes of several parts; an operand's is one array."
            )
        return tuple(batch), tuple(event)

    def log_prob(self, obj, x):
        return obj.log_prob(x)

    def sample(self, obj, key, shape):
        return obj.sample(shape, seed=key)

    def moments(self, obj):
        return obj.mean, obj.variance

    def is_integer(self, obj):
        return obj.experimental_default_event_space_bijector() is None

    def is_free(self, obj):
        return False

    def is_reparameterized(self, obj):
        return "FULLY" in repr(obj.reparameterization_type)


LIBRARY = TFP()


def build_as(cls: type, obj: Any) -> Any:
    """Of a class that is not the object's own: distrax's wrappers of these."""
    build = _FAMILIES.get(cls.__name__)
    return None if build is None else build(obj)
