"""SciPy's frozen distributions as operands; those of other libraries are in tests/peers."""

from typing import Any

import jax
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import jaxdiv as jd

st: Any = scipy.stats


def test_verbs_and_objectives():
    p, q = st.lognorm(0.5, loc=1.0), st.lognorm(0.9, loc=1.0, scale=1.4)

    def integrand(x):
        return p.pdf(x) * (p.logpdf(x) - q.logpdf(x))

    expected, _ = scipy.integrate.quad(integrand, 1, np.inf, epsabs=1e-12)
    np.testing.assert_allclose(jd.kl(p, q), expected, rtol=1e-9)
    np.testing.assert_allclose(jd.entropy(p), p.entropy(), rtol=1e-9)
    np.testing.assert_allclose(jd.surprisal(q, 1.7), -q.logpdf(1.7), rtol=1e-9)
    with pytest.raises(jd.NoClosedFormError):
        jd.kl(p, st.lognorm(0.5, loc=0.5))
    means = st.norm([0.0, 1.0, 3.0])
    gaps = jax.jit(lambda: jd.pairwise(jd.KL(), st.norm([0.0, 1.0]), means))()
    np.testing.assert_allclose(gaps, [[0, 0.5, 4.5], [0.5, 0, 2.0]])
    for objective in (jd.Reverse, jd.Forward):
        value = objective(jd.KL(), st.norm(1.0, 1.0))(st.norm(0.0, 1.0), None)
        np.testing.assert_allclose(value, 0.5, rtol=1e-12)


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


def test_conventions_that_differ():
    """Trials and failures, scales and rates, a location that only moves."""
    pairs = [
        (st.geom(0.3), 3.0),
        (st.nbinom(2.5, 0.3), 3.0),
        (st.expon(0.5, 2.0), 1.7),
        (st.lognorm(0.7, 0.5, 2.0), 1.7),
        (st.weibull_min(1.5, scale=2.0), 1.7),
        (st.uniform(1.0, 0.8), 1.7),
    ]
    for frozen, x in pairs:
        log_prob = frozen.logpmf if x == 3 else frozen.logpdf
        ours: Any = jd.as_distribution(frozen)
        np.testing.assert_allclose(ours.log_prob(x), log_prob(x), rtol=1e-12)
        np.testing.assert_allclose(ours.mean, frozen.mean(), rtol=1e-12)


def test_costs_nothing_where_it_is_not_asked_for():
    p = jd.Normal(0.0, 1.0)
    assert jd.as_distribution(p) is p
