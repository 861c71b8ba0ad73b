"""SciPy's frozen distributions, each against what SciPy says of it."""

from typing import Any

import numpy as np
import scipy.stats

import jaxdiv as jd

st: Any = scipy.stats

A, B, Z, P = (
    np.array([0.7, 2.5]),
    np.array([1.5, 0.6]),
    np.array([-1.2, 0.4]),
    np.array([0.2, 0.65]),
)
TRIL = np.array([[1.2, 0.0], [-0.7, 0.4]])
COVARIANCE = TRIL @ TRIL.T

# With a scale throughout, and with a location where the family has it or where it shifts.
FROZEN = [
    (st.bernoulli(P), jd.Bernoulli),
    (st.beta(A, B), jd.Beta),
    (st.beta(A, B, loc=2.0), jd.Shifted),
    (st.binom(5, P), jd.Binomial),
    (st.binom(5, P, loc=2), jd.Shifted),
    (st.cauchy(Z, scale=A), jd.Cauchy),
    (st.chi(A), jd.Chi),
    (st.chi2(A), jd.Chi2),
    (st.chi2(A, scale=B), jd.Gamma),
    (st.erlang(3, scale=B), jd.Gamma),
    (st.expon(scale=A), jd.Exponential),
    (st.expon(Z, A), jd.Shifted),
    (st.gamma(A, scale=B), jd.Gamma),
    (st.gamma(A, Z, B), jd.Shifted),
    (st.geom(P), jd.Shifted),
    (st.geom(P, loc=-1), jd.Geometric),
    (st.gumbel_r(Z, A), jd.Gumbel),
    (st.halfnorm(scale=A), jd.HalfNormal),
    (st.invgamma(A + 2, scale=B), jd.InverseGamma),
    (st.invgauss(A, scale=B), jd.InverseGaussian),
    (st.laplace(Z, A), jd.Laplace),
    (st.levy(Z, A), jd.Shifted),
    (st.logistic(Z, A), jd.Logistic),
    (st.lognorm(A, scale=B), jd.LogNormal),
    (st.lognorm(A, Z, B), jd.Shifted),
    (st.nbinom(A, P), jd.NegativeBinomial),
    (st.norm(Z, A), jd.Normal),
    (st.pareto(A + 2, scale=B), jd.Pareto),
    (st.poisson(A), jd.Poisson),
    (st.rayleigh(scale=A), jd.Weibull),
    (st.t(A + 2, Z, B), jd.StudentT),
    (st.uniform(Z, A), jd.Uniform),
    (st.vonmises(A, Z), jd.VonMises),
    (st.weibull_min(A, scale=B), jd.Weibull),
    (st.dirichlet([2.0, 3.0, 0.5]), jd.Dirichlet),
    (st.invwishart(9.5, COVARIANCE), jd.InverseWishart),
    (st.matrix_normal(TRIL, COVARIANCE, 2 * COVARIANCE), jd.MatrixNormal),
    (st.multinomial(4, [0.2, 0.5, 0.3]), jd.Multinomial),
    (st.multivariate_normal(Z, COVARIANCE), jd.MultivariateNormal),
    (st.multivariate_t(Z, COVARIANCE, 3.5), jd.MultivariateStudentT),
    (st.wishart(4.5, COVARIANCE), jd.Wishart),
]


def test_is_the_same_distribution():
    """In SciPy's words and in ours, at draws of SciPy's."""
    for frozen, family in FROZEN:
        ours: Any = jd.as_distribution(frozen)
        name = type(frozen).__name__ + " " + getattr(getattr(frozen, "dist", None), "name", "")
        assert type(ours) is family, name
        size = (3, *ours.batch_shape) if ours.batch_shape else 3
        x = frozen.rvs(size=size, random_state=np.random.default_rng(0))
        x = np.reshape(x, (3, *ours.batch_shape, *ours.event_shape))
        mass = name.startswith(("rv_discrete", "multinomial"))
        each = x if ours.event_shape == () else list(x)
        theirs = frozen.logpmf if mass else frozen.logpdf
        expected = theirs(x) if ours.event_shape == () else [theirs(y) for y in each]
        at = x.astype(int if family is jd.Bernoulli else float)
        np.testing.assert_allclose(ours.log_prob(at), expected, rtol=1e-9, atol=1e-12, err_msg=name)
        if not name.startswith("rv_") or family is jd.Bernoulli:
            continue
        if ours.event_shape == () and "vonmises" not in name:  # a mean direction is not a mean
            np.testing.assert_allclose(ours.mean, frozen.mean(), rtol=1e-9, err_msg=name)
            np.testing.assert_allclose(ours.variance, frozen.var(), rtol=1e-9, err_msg=name)
