"""Families of vectors and matrices: densities by SciPy, divergences by textbooks in mpmath."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false

import jax
import jax.numpy as jnp
import jax.random as jr
import mpmath as mp
import numpy as np
import pytest
import scipy.stats

import jaxdiv as jd

from .errors_of_families import quantiles, ulp
from .families import moments, normal_reference
from .oracle import exact
from .parametric import MULTIVARIATE, kl_dirichlet

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


# The textbook's forms, of exact numbers.


def matrix(x):
    return mp.matrix([exact(row) for row in np.asarray(x)])


def gram(x):
    return matrix(x) * matrix(x).T


def kl_wishart(p, q, inverse=False):
    (v, w), size = [gram(d.scale_tril) for d in (p, q)], p.scale_tril.shape[-1]
    ratio = v * w**-1 if inverse else w**-1 * v
    ratio = ratio**-1 if inverse else ratio
    n, m = (mp.mpf(float(d.df)) for d in (p, q))
    halves = range(size)
    logs = [mp.loggamma((m - i) / 2) - mp.loggamma((n - i) / 2) for i in halves]
    slopes = mp.fsum(mp.digamma((n - i) / 2) for i in halves)
    trace = mp.fsum(ratio[i, i] for i in halves)
    volume = -m / 2 * mp.log(mp.det(ratio)) + n / 2 * (trace - size)
    return volume + mp.fsum(logs) + (n - m) / 2 * slopes


def kl_matrix_normal(p, q):
    parts = []
    for d in (p, q):
        row, column = gram(d.scale_tril_row), gram(d.scale_tril_column)
        n, k = row.rows, column.rows
        full = mp.matrix(n * k, n * k)
        for i in range(n * k):
            for j in range(n * k):
                full[i, j] = row[i // k, j // k] * column[i % k, j % k]
        parts.append((mp.matrix(exact(d.loc)), full))
    return normal_reference(jd.KL(), *parts)


def kl_low_rank(p, q):
    parts = []
    for d in (p, q):
        factor = matrix(d.factor)
        parts.append((mp.matrix(exact(d.loc)), factor * factor.T + mp.diag(exact(d.diagonal))))
    return normal_reference(jd.KL(), *parts)


def near(rng, d, size):
    return jax.tree.map(lambda x: x * (1 + size * jnp.asarray(rng.normal(size=x.shape))), d)


def pairs_of(name, rng, count):
    """A third apart, the others near down to 1e-6; of sizes from 1e-3 to 1e6."""
    make = {family.name: family.make for family in MULTIVARIATE}[name]
    for i in range(count):
        p, q = make(rng), make(rng)
        if name == "Dirichlet":
            size = np.exp(rng.uniform(np.log(1e-3), np.log(1e6), 4 if i % 2 else 1))
            p = jd.Dirichlet(p.concentration * size)
            q = jd.Dirichlet(q.concentration * size[::-1])
        if "Wishart" in name:
            df = 3 + np.exp(rng.uniform(np.log(1e-2), np.log(1e5)))
            p = type(p)(jnp.asarray(df), p.scale_tril)
        if i % 3:
            gap = 10 ** rng.uniform(-6, -1)
            q = near(rng, p, gap)
            if "Wishart" in name:
                q = type(q)(p.df + (p.df - 2) * gap * rng.uniform(-1, 1), q.scale_tril)
        yield tuple(jax.tree.map(lambda x: x.astype(jnp.float32), d) for d in (p, q))


# Median, 99th percentile and largest error in ulp: measured, and a margin. An ulp of a covariance
# that is formed counts as many times as it is ill-conditioned.
CASES = [
    ("Dirichlet", lambda p, q: kl_dirichlet(exact(p.concentration), exact(q.concentration)), 256),
    ("Wishart", kl_wishart, 256),
    ("InverseWishart", lambda p, q: kl_wishart(p, q, inverse=True), 256),
    ("MatrixNormal", kl_matrix_normal, 32),
    ("LowRankMultivariateNormal", kl_low_rank, 32),
]


@pytest.mark.parametrize(("name", "reference", "largest"), CASES)
def test_precision(name, reference, largest):
    pairs = list(pairs_of(name, np.random.default_rng(1), 24))
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *pairs)
    got = np.asarray(jax.jit(jax.vmap(jd.kl))(*stacked))
    assert got.dtype == np.float32 and (got >= 0).all()
    with mp.workdps(60):
        errors = []
        for value, pair in zip(got, pairs, strict=True):
            want = reference(*pair)
            errors.append(ulp(abs(mp.mpf(float(value)) - want), want, np.float32))
    median, _, most = quantiles(errors)
    assert median <= 2 and most <= largest, quantiles(errors)


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
