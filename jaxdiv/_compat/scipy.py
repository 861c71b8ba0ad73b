"""SciPy's frozen distributions."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._operand.base import AbstractOperand, floating
from .._operand.bernoulli import Bernoulli
from .._operand.beta import Beta, Dirichlet
from .._operand.binomial import Binomial
from .._operand.cauchy import Cauchy, StudentT
from .._operand.chi import Chi, Chi2
from .._operand.exponential import Exponential
from .._operand.foreign import AbstractLibrary
from .._operand.gamma import Gamma, InverseGamma
from .._operand.geometric import Geometric, NegativeBinomial
from .._operand.gumbel import Gumbel, Weibull
from .._operand.half_normal import HalfNormal
from .._operand.inverse_gaussian import InverseGaussian
from .._operand.laplace import Laplace
from .._operand.log_normal import LogNormal
from .._operand.logistic import Logistic
from .._operand.matrix_normal import MatrixNormal
from .._operand.multinomial import Multinomial
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.multivariate_student_t import MultivariateStudentT
from .._operand.normal import Normal
from .._operand.pareto import Pareto
from .._operand.poisson import Poisson
from .._operand.uniform import Uniform
from .._operand.von_mises import VonMises
from .._operand.wishart import InverseWishart, Wishart
from .build import Families, member, shifted

_ONE_NUMBER: dict[str, Callable[..., AbstractOperand | None]] = {
    "bernoulli": lambda p, m, s: Bernoulli(probs=p) if np.all(m == 0) else None,
    "beta": lambda a, b, m, s: shifted(Beta(a, b), m) if np.all(s == 1) else None,
    "binom": lambda n, p, m, s: shifted(Binomial(n, p), m),
    "cauchy": lambda m, s: Cauchy(m, s),
    "chi": lambda df, m, s: shifted(Chi(df), m) if np.all(s == 1) else None,
    "chi2": lambda df, m, s: shifted(Chi2(df) if np.all(s == 1) else Gamma(df / 2, 0.5 / s), m),
    "erlang": lambda a, m, s: shifted(Gamma(a, 1 / s), m),
    "expon": lambda m, s: shifted(Exponential(1 / s), m),
    "gamma": lambda a, m, s: shifted(Gamma(a, 1 / s), m),
    "geom": lambda p, m, s: shifted(Geometric(p), m + 1),  # trials, and not failures
    "gumbel_r": lambda m, s: Gumbel(m, s),
    "halfnorm": lambda m, s: shifted(HalfNormal(s), m),
    "invgamma": lambda a, m, s: shifted(InverseGamma(a, s), m),
    "invgauss": lambda mu, m, s: shifted(InverseGaussian(mu * s, s), m),
    "laplace": lambda m, s: Laplace(m, s),
    "levy": lambda m, s: shifted(InverseGamma(0.5, s / 2), m),
    "logistic": lambda m, s: Logistic(m, s),
    "lognorm": lambda sigma, m, s: shifted(LogNormal(np.log(s), sigma), m),
    "nbinom": lambda n, p, m, s: shifted(NegativeBinomial(n, p), m),
    "norm": lambda m, s: Normal(m, s),
    "pareto": lambda b, m, s: shifted(Pareto(s, b), m),
    "poisson": lambda mu, m, s: shifted(Poisson(mu), m),
    "rayleigh": lambda m, s: shifted(Weibull(math.sqrt(2) * s, 2.0), m),
    "t": lambda df, m, s: StudentT(df, m, s),
    "uniform": lambda m, s: Uniform(m, m + s),
    "vonmises": lambda kappa, m, s: VonMises(m, kappa) if np.all(s == 1) else None,
    "weibull_min": lambda c, m, s: shifted(Weibull(s, c), m),
}


def _multivariate_normal(d: Any) -> MultivariateNormal | None:
    if d.cov_object.rank < d.dim:
        return None
    return MultivariateNormal(d.mean, covariance_matrix=d.cov)


_SEVERAL: Families = {
    "dirichlet_frozen": lambda d: Dirichlet(d.alpha),
    "invwishart_frozen": lambda d: InverseWishart(d.df, np.linalg.cholesky(d.scale)),
    "matrix_normal_frozen": lambda d: MatrixNormal(
        d.mean, np.linalg.cholesky(d.rowcov), np.linalg.cholesky(d.colcov)
    ),
    "multinomial_frozen": lambda d: Multinomial(d.n, d.p),
    "multivariate_normal_frozen": _multivariate_normal,
    "multivariate_t_frozen": lambda d: MultivariateStudentT(
        d.df, d.loc, np.linalg.cholesky(d.shape)
    ),
    "wishart_frozen": lambda d: Wishart(d.df, np.linalg.cholesky(d.scale)),
}


def _parameters(frozen: Any) -> list[Any]:
    """Shapes, location and scale, however they were given."""
    shapes, loc, scale = frozen.dist._parse_args(*frozen.args, **frozen.kwds)
    values = [np.asarray(x, float) for x in (*shapes, loc, scale)]
    return [float(x) if x.ndim == 0 else x for x in values]


class SciPy(AbstractLibrary):
    """`scipy.stats`: of numbers, never of parameters that are traced.

    What is of no family here is called back on the host, and has no derivative.
    """

    def translate(self, obj):
        if type(obj).__name__ in ("rv_continuous_frozen", "rv_discrete_frozen"):
            own = type(obj.dist).__module__.startswith("scipy.stats.")
            build = _ONE_NUMBER.get(obj.dist.name) if own else None
            return None if build is None else build(*_parameters(obj))
        family = member(_SEVERAL, "scipy.stats.", obj)
        if family is None:
            raise TypeError(
                f"{type(obj).__name__}: of SciPy's distributions over arrays those of "
                f"{', '.join(_SEVERAL)} are known, where they have a density."
            )
        return family

    def shapes(self, obj):
        return np.broadcast_shapes(*(np.shape(x) for x in _parameters(obj))), ()

    def log_prob(self, obj, x):
        (x,) = floating(x)
        shape = jnp.broadcast_shapes(x.shape, self.shapes(obj)[0])
        log_density = obj.logpmf if self.is_integer(obj) else obj.logpdf
        return jax.pure_callback(
            lambda x: np.asarray(log_density(np.asarray(x)), x.dtype),
            jax.ShapeDtypeStruct(shape, x.dtype),
            jnp.broadcast_to(x, shape),
            vmap_method="broadcast_all",
        )

    def sample(self, obj, key, shape):
        shape, dtype = (*shape, *self.shapes(obj)[0]), jnp.result_type(float)

        def draw(seed: Any) -> np.ndarray:
            generator = np.random.default_rng(np.asarray(seed))
            return np.asarray(obj.rvs(size=shape, random_state=generator), dtype)

        result, seed = jax.ShapeDtypeStruct(shape, dtype), jr.bits(key, (4,))
        return jax.pure_callback(draw, result, seed, vmap_method="sequential")

    def moments(self, obj):
        return obj.mean, obj.var

    def is_integer(self, obj):
        return type(obj).__name__ == "rv_discrete_frozen"

    def is_free(self, obj):
        return False

    def is_reparameterized(self, obj):
        return True  # in no parameter


LIBRARY = SciPy()
