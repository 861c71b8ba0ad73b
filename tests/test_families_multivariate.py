"""Families of vectors and matrices: densities by SciPy, divergences by textbooks in mpmath."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

import jaxdiv as jd

from .errors_of_families import quantiles
from .families import moments
from .multivariate import CASES, derivative_errors, value_errors
from .parametric import MULTIVARIATE

every = pytest.mark.parametrize("family", MULTIVARIATE, ids=lambda family: family.name)


def in_scipy(d):
    match d:
        case jd.Dirichlet():
            return scipy.stats.dirichlet(np.asarray(d.concentration))
        case jd.Wishart():
            return scipy.stats.wishart(float(d.df), np.asarray(d.scale_tril @ d.scale_tril.T))
        case jd.InverseWishart():
            return scipy.stats.invwishart(float(d.df), np.asarray(d.scale_tril @ d.scale_tril.T))
        case jd.MatrixNormal():
            row, column = (np.asarray(x @ x.T) for x in (d.scale_tril_row, d.scale_tril_column))
            return scipy.stats.matrix_normal(np.asarray(d.loc), row, column)
        case jd.MultivariateStudentT():
            shape = np.asarray(d.scale_tril @ d.scale_tril.T)
            return scipy.stats.multivariate_t(np.asarray(d.loc), shape, float(d.df))
        case jd.LowRankMultivariateNormal():
            covariance = np.asarray(d.factor @ d.factor.T) + np.diag(d.diagonal)
            return scipy.stats.multivariate_normal(np.asarray(d.loc), covariance)
        case jd.Multinomial():
            return scipy.stats.multinomial(int(d.total_count), np.asarray(d.probs))
        case jd.VonMisesFisher():
            return scipy.stats.vonmises_fisher(np.asarray(d.loc), float(d.concentration))
    return None


def log_density(reference, x):
    if isinstance(reference, scipy.stats._multivariate.multinomial_frozen):
        return reference.logpmf(x)
    return reference.logpdf(x.T if "dirichlet" in type(reference).__name__ else x)


@every
def test_densities_and_draws(family):
    d = family.make(np.random.default_rng(0))
    x = jax.jit(lambda d: d.sample(jr.key(0), (4000,)))(d)
    assert x.shape == (4000, *d.event_shape) and d.batch_shape == ()
    log_prob = d.log_prob(x)
    reference = in_scipy(d)
    if reference is not None:
        for i in range(3):
            want = log_density(reference, np.asarray(x[i]))
            np.testing.assert_allclose(log_prob[i], want, rtol=1e-9, atol=1e-9)
    if not isinstance(d, jd.Transformed):
        assert (abs(x.mean(0) - d.mean) < 5 * x.std(0) / 4000**0.5).all()
        np.testing.assert_allclose(d.variance, x.var(0), rtol=0.3)
        assert d.mean.shape == d.variance.shape == d.event_shape
    if isinstance(d, jd.Multinomial | jd.Shifted | jd.Transformed):
        return
    assert abs(log_prob.mean() + jd.entropy(d)) < 5 * log_prob.std() / 4000**0.5
    if isinstance(d, jd.PowerSpherical):  # which SciPy has not: `tests/test_spherical.py`
        return
    assert reference is not None
    if not isinstance(d, jd.InverseWishart):  # whose entropy SciPy has wrong for D > 1
        assert float(jd.entropy(d)) == pytest.approx(float(reference.entropy()), rel=1e-8)
    if not isinstance(d, jd.MultivariateStudentT):
        assert jd.kl(d, jax.tree.map(lambda x: x + 0, d)) == 0


def test_divergences_between_images_are_those_of_the_bases():
    p, q = jd.Laplace(0.3, 1.2), jd.Laplace(-0.4, 0.9)
    for bijection in (jd.Exp(), jd.Sigmoid(), jd.Softplus()):
        images = [jd.Transformed(d, bijection) for d in (p, q)]
        assert jd.kl(*images) == jd.kl(p, q)
        x = bijection.forward(jnp.linspace(-2.0, 2.0, 4001))
        outside = 0.5 * (np.exp(-1.7 / 1.2) + np.exp(-2.3 / 1.2))
        mass = float(jnp.trapezoid(jnp.exp(images[0].log_prob(x)), x))
        assert mass == pytest.approx(1 - outside, rel=1e-5)


# Those with derivative rules of their own; `bench/families.py` measures the others' as well.
RULED = ("Dirichlet", "Wishart", "multivariate normal by covariance")


@pytest.mark.parametrize("name", CASES)
def test_precision(name):
    """Median and largest error in ulp of values; the largest of gradients and Hessians' columns."""
    case = CASES[name]
    pairs = case.pairs(np.random.default_rng(1), 12)
    median, _, most = quantiles(value_errors(case, pairs))
    assert median <= 2 and most <= 16, (median, most)
    if name in RULED:
        firsts, seconds = derivative_errors(case, pairs[1:3])
        assert max(firsts) <= 16 and max(seconds) <= 32, (firsts, seconds)


def test_low_rank_normals_meet_other_normals():
    rng = np.random.default_rng(2)
    make = {family.name: family.make for family in MULTIVARIATE}["LowRankMultivariateNormal"]
    p, q = make(rng), make(rng)
    full = [jd.MultivariateNormal(*moments_of(d)) for d in (p, q)]
    for one, other in ((p, full[1]), (full[0], q), (p, q)):
        assert float(jd.kl(one, other)) == pytest.approx(float(jd.kl(*full)), rel=1e-10)
    diagonal = jd.Independent(jd.Normal(jnp.zeros(3), jnp.ones(3)), 1)
    assert float(jd.kl(p, diagonal)) == pytest.approx(float(jd.kl(full[0], diagonal)), rel=1e-10)
    mean, covariance = moments(full[0])
    assert mean.rows == 3 and covariance.rows == 3


def moments_of(d):
    covariance = d.factor @ d.factor.T + jnp.diag(d.diagonal)
    return d.loc, jnp.linalg.cholesky(covariance)
