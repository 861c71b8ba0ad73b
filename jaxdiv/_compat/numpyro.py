"""NumPyro's distributions."""

from typing import Any

import jax
import jax.numpy as jnp

from .._operand.bernoulli import Bernoulli
from .._operand.beta import Beta, Dirichlet
from .._operand.binomial import Binomial
from .._operand.cauchy import Cauchy, StudentT
from .._operand.chi import Chi2
from .._operand.empirical import PointMass
from .._operand.exponential import Exponential
from .._operand.foreign import AbstractLibrary
from .._operand.gamma import Gamma, InverseGamma
from .._operand.geometric import Geometric, NegativeBinomial
from .._operand.gumbel import Gumbel, Weibull
from .._operand.half_normal import HalfNormal
from .._operand.kumaraswamy import Kumaraswamy
from .._operand.laplace import Laplace
from .._operand.log_normal import LogNormal
from .._operand.logistic import Logistic
from .._operand.low_rank_normal import LowRankMultivariateNormal
from .._operand.matrix_normal import MatrixNormal
from .._operand.multinomial import Multinomial
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.multivariate_student_t import MultivariateStudentT
from .._operand.normal import Normal
from .._operand.pareto import Pareto
from .._operand.poisson import Poisson
from .._operand.transformed import AbstractBijection, Exp, Sigmoid, Softplus
from .._operand.uniform import Uniform
from .._operand.von_mises import VonMises
from .._operand.wishart import InverseWishart, Wishart
from .build import (
    Affine,
    Families,
    classes,
    expand,
    independent,
    known,
    member,
    mixture,
    probability,
    simplex,
    transformed,
)


def _gamma_poisson(d: Any) -> NegativeBinomial:
    """All of NumPyro's negative binomials are one: their `probs` is that of what is counted."""
    return NegativeBinomial(d.concentration, logits=jnp.log(d.rate))


def _no_distribution(d: Any) -> Any:
    raise TypeError(
        f"{type(d).__name__} has a log-probability that is no distribution's, so that nothing can "
        "be measured of it: take `base_dist`, and leave out what is masked by `jaxdiv.mean(values, "
        "where=mask)`."
    )


def _step(transform: Any) -> Affine | AbstractBijection | None:
    match type(transform).__name__:
        case "AffineTransform":
            return Affine(transform.loc, transform.scale)
        case "ExpTransform":
            return Exp()
        case "SigmoidTransform":
            return Sigmoid()
        case "SoftplusTransform":
            return Softplus()
    return None


_FAMILIES: Families = {
    "BernoulliLogits": lambda d: Bernoulli(logits=d.logits),
    "BernoulliProbs": lambda d: Bernoulli(probs=d.probs),
    "Beta": lambda d: Beta(d.concentration1, d.concentration0),
    "BetaProportion": lambda d: Beta(d.concentration1, d.concentration0),
    "BinomialLogits": lambda d: Binomial(d.total_count, probability(None, d.logits)),
    "BinomialProbs": lambda d: Binomial(d.total_count, d.probs),
    "CategoricalLogits": lambda d: classes(None, d.logits),
    "CategoricalProbs": lambda d: classes(d.probs, None),
    "Cauchy": lambda d: Cauchy(d.loc, d.scale),
    "Chi2": lambda d: Chi2(d.df),
    "Delta": lambda d: PointMass(d.v),
    "Dirichlet": lambda d: Dirichlet(d.concentration),
    "ExpandedDistribution": lambda d: expand(known(d.base_dist), d.batch_shape),
    "Exponential": lambda d: Exponential(d.rate),
    "Gamma": lambda d: Gamma(d.concentration, d.rate),
    "GammaPoisson": _gamma_poisson,
    "GeometricLogits": lambda d: Geometric(probability(None, d.logits)),
    "GeometricProbs": lambda d: Geometric(d.probs),
    "Gumbel": lambda d: Gumbel(d.loc, d.scale),
    "HalfNormal": lambda d: HalfNormal(d.scale),
    "ImproperUniform": _no_distribution,
    "Independent": lambda d: independent(known(d.base_dist), d.reinterpreted_batch_ndims),
    "IntervalCensoredDistribution": _no_distribution,
    "InverseGamma": lambda d: InverseGamma(d.concentration, d.rate),
    "InverseWishart": lambda d: InverseWishart(d.concentration, d.scale_tril),
    "Kumaraswamy": lambda d: Kumaraswamy(d.concentration1, d.concentration0),
    "Laplace": lambda d: Laplace(d.loc, d.scale),
    "LeftCensoredDistribution": _no_distribution,
    "LogNormal": lambda d: LogNormal(d.loc, d.scale),
    "Logistic": lambda d: Logistic(d.loc, d.scale),
    "LowRankMultivariateNormal": lambda d: LowRankMultivariateNormal(
        d.loc, d.cov_factor, d.cov_diag
    ),
    "MaskedDistribution": _no_distribution,
    "MatrixNormal": lambda d: MatrixNormal(d.loc, d.scale_tril_row, d.scale_tril_column),
    "MixtureGeneral": lambda d: mixture(
        known(d.mixing_distribution), tuple(known(c) for c in d.component_distributions)
    ),
    "MixtureSameFamily": lambda d: mixture(
        known(d.mixing_distribution), known(d.component_distribution)
    ),
    "MultinomialLogits": lambda d: Multinomial(d.total_count, simplex(None, d.logits)),
    "MultinomialProbs": lambda d: Multinomial(d.total_count, d.probs),
    "MultivariateNormal": lambda d: MultivariateNormal(d.loc, d.scale_tril),
    "MultivariateStudentT": lambda d: MultivariateStudentT(d.df, d.loc, d.scale_tril),
    "NegativeBinomial2": _gamma_poisson,
    "NegativeBinomialLogits": _gamma_poisson,
    "NegativeBinomialProbs": _gamma_poisson,
    "Normal": lambda d: Normal(d.loc, d.scale),
    "OrderedLogistic": lambda d: classes(d.probs, None),
    "Pareto": lambda d: Pareto(d.scale, d.alpha),
    "Poisson": lambda d: Poisson(d.rate),
    "RightCensoredDistribution": _no_distribution,
    "StudentT": lambda d: StudentT(d.df, d.loc, d.scale),
    "TransformedDistribution": lambda d: transformed(
        known(d.base_dist), [_step(t) for t in d.transforms]
    ),
    "Uniform": lambda d: Uniform(d.low, d.high),
    "Unit": _no_distribution,
    "VonMises": lambda d: VonMises(d.loc, d.concentration),
    "Weibull": lambda d: Weibull(d.scale, d.concentration),
    "Wishart": lambda d: Wishart(d.concentration, d.scale_tril),
}


class NumPyro(AbstractLibrary):
    """`numpyro.distributions`."""

    def translate(self, obj):
        return member(_FAMILIES, "numpyro.", obj)

    def shapes(self, obj):
        batch, event = obj.batch_shape, obj.event_shape
        point = jax.ShapeDtypeStruct(event, int if self.is_integer(obj) else float)
        found = jax.eval_shape(obj.log_prob, point).shape
        if found != batch:  # the shape is part of the pytree's structure, which `vmap` leaves alone
            raise ValueError(
                f"{type(obj).__name__} says batch shape {batch}, but its parameters have {found}: "
                "construct it inside the function that is vmapped."
            )
        return batch, event

    def log_prob(self, obj, x):
        # What the formula gives outside of the support is anything.
        x = jnp.broadcast_to(x, jnp.broadcast_shapes(x.shape, (*obj.batch_shape, *obj.event_shape)))
        if obj.support is None:  # some lose it on their way through `jit`
            return obj.log_prob(x)
        inside = obj.support(x)
        here = inside.reshape(inside.shape + (1,) * len(obj.event_shape))
        value = obj.log_prob(jnp.where(here, x, obj.support.feasible_like(x)))
        return jnp.where(inside, value, -jnp.inf)

    def sample(self, obj, key, shape):
        return obj.sample(key, shape)

    def moments(self, obj):
        return lambda: obj.mean, lambda: obj.variance

    def is_integer(self, obj):
        return obj.support is not None and obj.is_discrete

    def is_free(self, obj):
        return False

    def is_reparameterized(self, obj):
        return obj.has_rsample


LIBRARY = NumPyro()
