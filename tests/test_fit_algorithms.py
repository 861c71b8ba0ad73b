"""Algorithms of `fit`: their derivatives, other families, and data that come in batches."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.special import polygamma

import jaxdiv as jd

PRECISION = np.array([[2.0, 0.3], [0.3, 0.5]])


def normal(x, mean, scale):
    return -0.5 * (x - mean) @ PRECISION @ (x - mean) / scale


def test_a_reverse_fit_moves_with_its_target():
    """Of N(m, s S): the mean as m does, the variance as s does, log Z as s to the power D/2."""

    def fitted(mean, scale):
        target = jd.LogDensity(normal, (mean, scale), event_shape=(2,))
        found = jd.fit(jd.reverse_kl(target), key=jr.key(0), starts=1)
        return found.distribution.mean, found.distribution.variance, found.value

    mean, scale = jnp.array([1.0, -2.0]), jnp.array(1.7)
    slopes = jax.jit(jax.jacfwd(fitted, (0, 1)))(mean, scale)
    by_mean, by_scale = zip(*slopes, strict=True)
    np.testing.assert_allclose(by_mean[0], np.eye(2), atol=1e-8)
    np.testing.assert_allclose(by_mean[1], np.zeros((2, 2)), atol=1e-8)
    np.testing.assert_allclose(by_scale[0], np.zeros(2), atol=1e-8)
    variance = np.diag(np.linalg.inv(PRECISION))
    np.testing.assert_allclose(by_scale[1], variance, rtol=1e-5)
    np.testing.assert_allclose(by_mean[2], np.zeros(2), atol=1e-8)
    np.testing.assert_allclose(by_scale[2], -1 / 1.7, rtol=1e-5)


@pytest.mark.exhaustive
def test_a_forward_fit_moves_as_the_moments_do():
    """Of the logarithm of a gamma variable: trigamma and its derivative."""

    def log_density(params, a):
        return jd.Gamma(a, 1.0).log_prob(params["x"])

    def fitted(a):
        posterior = jd.Posterior(log_density, {"x": jd.Positive()}, (a,))
        q = jd.fit(jd.forward_kl(posterior), key=jr.key(0), starts=1).distribution
        return q.base.mean[0], q.base.variance[0]

    slopes = jax.jacfwd(fitted)(3.0)
    np.testing.assert_allclose(slopes, [polygamma(1, 3.0), polygamma(2, 3.0)], rtol=0.05)


@pytest.mark.exhaustive
def test_forward_kl_of_other_families():
    """Student's t to one of its own members, and two normals to two normals."""
    tril = jnp.linalg.cholesky(jnp.linalg.inv(PRECISION))
    t = jd.MultivariateStudentT(6.0, jnp.array([1.0, -1.0]), tril)
    target = jd.LogDensity(lambda x: t.log_prob(x) + 3.0, event_shape=(2,))
    found = jd.fit(jd.forward_kl(target), jd.FullRankT(), key=jr.key(0))
    assert abs(found.value) < 0.01 and abs(found.distribution.df - 6) < 1.0
    np.testing.assert_allclose(found.distribution.loc, t.loc, atol=0.05)
    np.testing.assert_allclose(found.distribution.scale_tril, tril, atol=0.05)

    def two(x):
        parts = [-0.5 * jnp.sum((x - at) ** 2) for at in (3.0, -3.0)]
        return jnp.logaddexp(jnp.log(0.7) + parts[0], jnp.log(0.3) + parts[1])

    target, family = jd.LogDensity(two, event_shape=(2,)), jd.MixtureOf(2, jd.FullRank())
    found = jd.fit(jd.forward_kl(target), family, key=jr.key(0))
    order = jnp.argsort(found.distribution.components.loc[:, 0])
    places = found.distribution.components.loc[order]
    np.testing.assert_allclose(places, [[-3, -3], [3, 3]], atol=0.05)
    assert abs(found.value) < 0.01


@pytest.mark.exhaustive
def test_laplace_is_the_mode_and_the_curvature_there():
    """Of exp(2 x - e^x), the logarithm of a gamma variable: log 2, and 1 / 2."""
    target = jd.LogDensity(lambda x: jnp.sum(2 * x - jnp.exp(x)), event_shape=(2,))
    by = jd.LaplaceApproximation()
    found = jd.fit(jd.reverse_kl(target), optim=by, key=jr.key(0))
    np.testing.assert_allclose(found.distribution.loc, np.log([2, 2]), rtol=1e-9)
    np.testing.assert_allclose(found.distribution.covariance(), np.eye(2) / 2, atol=1e-9)


def log_prior(params):
    return jd.Normal(0.0, 2.0).log_prob(params["loc"])


def log_likelihood(params, datum):
    return jd.Normal(params["loc"] * datum["x"], 0.5).log_prob(datum["y"])


def test_data_come_in_batches():
    """The sum over more data than are in memory at once; its mean over batches is itself."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=9000)
    y = 0.7 * x + 0.5 * rng.normal(size=x.size)
    spaces = {"loc": jd.Real()}
    data = {"x": x, "y": y}
    posterior = jd.Posterior(log_prior, spaces, log_likelihood=log_likelihood, data=data)
    assert posterior.num_data == 9000
    at = np.array(0.4)
    terms = -0.5 * ((y - at * x) / 0.5) ** 2 - np.log(0.5 * np.sqrt(2 * np.pi))
    prior = -0.5 * (at / 2) ** 2 - np.log(2 * np.sqrt(2 * np.pi))
    got = jax.jit(lambda p, at: p.log_prob({"loc": at}))
    np.testing.assert_allclose(got(posterior, at), prior + terms.sum(), rtol=1e-12)
    halves = [posterior.subsample(jnp.arange(start, 9000, 2)) for start in (0, 1)]
    values = [got(half, at) for half in halves]
    np.testing.assert_allclose(values[0], prior + 2 * terms[::2].sum(), rtol=1e-12)
    np.testing.assert_allclose(np.mean(values), prior + terms.sum(), rtol=1e-12)


def test_a_fit_on_batches_has_the_posterior_of_all_the_data():
    rng = np.random.default_rng(1)
    x = rng.normal(size=5000)
    y = 0.7 * x + 0.5 * rng.normal(size=x.size)
    spaces, data = {"loc": jd.Real()}, {"x": x, "y": y}
    posterior = jd.Posterior(log_prior, spaces, log_likelihood=log_likelihood, data=data)
    by = jd.StochasticGradient(batch_size=50, num_steps=1000)
    found = jd.fit(jd.reverse_kl(posterior), jd.FullRank(), by, key=jr.key(0), throw=False)
    precision = 1 / 4 + np.sum(x * x) / 0.25
    mean, sd = np.sum(x * y) / 0.25 / precision, precision**-0.5
    q = found.distribution.base
    assert abs(q.mean[0] - mean) < 0.1 * sd
    assert abs(np.sqrt(q.variance[0]) / sd - 1) < 0.05
    assert found.assessment is not None
    assert bool(found.assessment.verdict == jd.VERDICT.usable)


def test_laplace_is_of_one_mode():
    target, by = jd.LogDensity(lambda x: -x @ x, event_shape=(2,)), jd.LaplaceApproximation()
    with pytest.raises(TypeError, match="of one mode"):
        jd.fit(jd.reverse_kl(target), jd.MixtureOf(2, jd.FullRank()), by, key=jr.key(0))


def test_errors_of_batches():
    spaces = {"loc": jd.Real()}
    with pytest.raises(TypeError, match="log_likelihood, of one datum, needs data"):
        jd.Posterior(log_prior, spaces, log_likelihood=log_likelihood)
    with pytest.raises(ValueError, match="one leading axis"):
        data = {"x": jnp.zeros(3), "y": jnp.zeros(4)}
        jd.Posterior(log_prior, spaces, log_likelihood=log_likelihood, data=data)
    with pytest.raises(ValueError, match="batch_size must be positive"):
        jd.StochasticGradient(batch_size=0)
    with pytest.raises(ValueError, match="batch_size needs a Posterior"):
        by = jd.StochasticGradient(batch_size=2)
        jd.fit(jd.reverse_kl(jd.Posterior(log_prior, spaces)), optim=by, key=jr.key(0))
