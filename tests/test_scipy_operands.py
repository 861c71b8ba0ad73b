"""SciPy's frozen distributions as operands; those of other libraries are in tests/peers."""

from typing import Any

import jax
import numpy as np
import pytest
import scipy.integrate
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
        x = frozen.rvs(size=(3, *ours.batch_shape), random_state=np.random.default_rng(0))
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


def test_every_verb_and_fit():
    p, q = st.gamma(3.0, loc=1.0, scale=0.5), st.gamma(2.0, loc=1.0)

    def integrand(x):
        return p.pdf(x) * (p.logpdf(x) - q.logpdf(x))

    expected, _ = scipy.integrate.quad(integrand, 1, np.inf, epsabs=1e-12)
    np.testing.assert_allclose(jd.kl(p, q), expected, rtol=1e-9)
    np.testing.assert_allclose(jax.jit(lambda: jd.divergence(jd.KL(), p, q))(), expected, rtol=1e-9)
    np.testing.assert_allclose(jd.entropy(p), p.entropy(), rtol=1e-9)
    np.testing.assert_allclose(jd.surprisal(q, 1.7), -q.logpdf(1.7), rtol=1e-9)
    with pytest.raises(jd.NoClosedFormError):
        jd.kl(p, st.gamma(2.0, loc=0.5))
    shifts = st.norm([0.0, 1.0]), st.norm([0.0, 1.0, 3.0])
    np.testing.assert_allclose(jd.pairwise(jd.KL(), *shifts), [[0, 0.5, 4.5], [0.5, 0, 2.0]])
    np.testing.assert_allclose(
        jd.multi_jensen_shannon(jd.as_distribution(st.bernoulli([0, 1]))), np.log(2)
    )
    objective = jd.Reverse(jd.KL(), st.norm(1.0, 1.0))
    np.testing.assert_allclose(objective(st.norm(0.0, 1.0), None), 0.5, rtol=1e-12)


def test_of_no_family_is_called_back():
    p, q = st.skewnorm(3.0), jd.Normal(0.5, 1.0)

    def integrand(x):
        return p.pdf(x) * (p.logpdf(x) - st.norm.logpdf(x, 0.5))

    expected, _ = scipy.integrate.quad(integrand, -3, 10)
    value = jax.jit(lambda m: jd.kl(p, jd.Normal(m, 1.0), estimator=jd.Quadrature(16)))(0.5)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    drawn = jd.estimate(jd.KL(), p, q, jd.MonteCarlo(10_000), key=jax.random.key(0))
    assert abs(drawn.value - expected) < 4 * drawn.standard_error < 0.05
    slope = jax.grad(lambda m: jd.kl(p, jd.Normal(m, 1.0), estimator=jd.FixedDraws(10_000)))(0.5)
    assert abs(slope - (0.5 - p.mean())) < 0.05
    with pytest.raises(jd.NoClosedFormError, match="rv_continuous_frozen"):
        jd.kl(p, jd.Gamma(1.0, 1.0))  # nor infinite: how far its support reaches is not known
    with pytest.raises(TypeError, match="of no family here"):
        jd.fit(jd.reverse_kl(q), p)
    with pytest.raises(TypeError, match="SciPy"):
        jd.as_distribution(st.ortho_group(3))
    with pytest.raises(TypeError, match="SciPy"):
        jd.as_distribution(np.ones(3))


def test_costs_nothing_where_it_is_not_asked_for():
    p = jd.Normal(0.0, 1.0)
    assert jd.as_distribution(p) is p
