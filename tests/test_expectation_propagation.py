"""Expectation propagation: against closed-form scalar EP, brute-force posteriors, and by itself."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

import jaxdiv as jd
from jaxdiv._fit.algorithm import Problem

PROBIT, LOGISTIC = 0.0, 1.0
SCALE = 2.0


def binary_site(f, y, kind):
    probit = jax.scipy.stats.norm.logcdf(y * f)
    return jnp.where(kind == PROBIT, probit, jax.nn.log_sigmoid(y * f))


def student_site(f, y):
    return jax.scipy.stats.t.logpdf(y, 3.0, f, 0.3)


def gaussian_site(f, y):
    return jax.scipy.stats.norm.logpdf(y, f)


def regression(seed, n):
    rng = np.random.default_rng(seed)
    x = np.stack([np.ones(n), rng.normal(size=n)], 1)
    y = np.where(x @ [0.3, -0.8] + rng.normal(size=n) > 0, 1.0, -1.0)
    return x, y


def binary(kind, x, y, scale: Any = SCALE):
    kinds = jnp.full(len(y), kind)
    return jd.Factorised(jd.Normal(0.0, scale), binary_site, jnp.array(x), (jnp.array(y), kinds))


@functools.cache
def both():
    """Probit and logistic regression of 3000 data, by one program."""
    x, y = regression(0, 3000)

    def one(kind):
        return jd.expectation_propagation(binary(kind, x, y))

    return x, y, jax.jit(jax.vmap(one))(jnp.array([PROBIT, LOGISTIC]))


def scalar_probit(x, y, sweeps=9):
    """Rasmussen & Williams 2006, algorithm 3.5 with eq. 3.58, in R^D, and the log evidence."""
    n, size = x.shape
    tau, nu, x = np.zeros(n), np.zeros(n), x * y[:, None]
    covariance, mean = SCALE**2 * np.eye(size), np.zeros(size)
    precision, shift = np.eye(size) / SCALE**2, np.zeros(size)
    for _ in range(sweeps):
        for i in range(n):
            v, m = x[i] @ covariance @ x[i], x[i] @ mean
            cavity_v = 1 / (1 / v - tau[i])
            cavity_m = cavity_v * (m / v - nu[i])
            z = cavity_m / np.sqrt(1 + cavity_v)
            ratio = np.exp(-0.5 * z * z - scipy.special.log_ndtr(z)) / np.sqrt(2 * np.pi)
            before = tau[i], nu[i]
            tilted_m = cavity_m + cavity_v * ratio / np.sqrt(1 + cavity_v)
            tilted_v = cavity_v - cavity_v**2 * ratio * (z + ratio) / (1 + cavity_v)
            tau[i], nu[i] = 1 / tilted_v - 1 / cavity_v, tilted_m / tilted_v - cavity_m / cavity_v
            precision += (tau[i] - before[0]) * np.outer(x[i], x[i])
            shift += (nu[i] - before[1]) * x[i]
            covariance = np.linalg.inv(precision)
            mean = covariance @ shift
    v = np.einsum("ni,ij,nj->n", x, covariance, x)
    cavity_v = 1 / (1 / v - tau)
    cavity_m = cavity_v * (x @ mean / v - nu)
    # The log evidence by its definition: the integral of the prior times all scaled sites.
    norms = scipy.stats.norm.logcdf(cavity_m / np.sqrt(1 + cavity_v))
    of_site = 0.5 * (
        (cavity_m / cavity_v + nu) ** 2 / (1 / cavity_v + tau) - cavity_m**2 / cavity_v
    ) - 0.5 * np.log1p(cavity_v * tau)
    of_all = 0.5 * mean @ (x.T @ nu) + 0.5 * np.linalg.slogdet(covariance / SCALE**2)[1]
    return mean, covariance, np.sum(norms - of_site) + of_all


def brute_force(log_density, mean, covariance):
    """Moments and normaliser in two dimensions on a grid of 41 x 41 in whitened coordinates."""
    axis = np.linspace(-7, 7, 41)
    tril = np.linalg.cholesky(covariance)
    z = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    theta = mean + z @ tril.T
    values = np.asarray(jax.jit(lambda x: log_density(x))(theta))
    weight = np.exp(values - values.max())
    total = weight.sum()
    first = weight @ theta / total
    second = (theta - first).T @ (weight[:, None] * (theta - first)) / total
    cell = (axis[1] - axis[0]) ** 2 * np.linalg.det(tril)
    return first, second, np.log(total * cell) + values.max()


def test_probit_is_the_fixed_point_of_closed_form_ep():
    x, y, found = both()
    found = jax.tree.map(lambda leaf: leaf[0], found)
    mean, covariance, log_evidence = scalar_probit(x, y)
    np.testing.assert_allclose(found.distribution.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(found.distribution.covariance(), covariance, rtol=1e-9)
    np.testing.assert_allclose(found.log_evidence, log_evidence, rtol=1e-10)
    assert found.quadrature_error < 1e-8
    assert found.num_skipped == found.num_negative == 0


@pytest.mark.parametrize("kind", [PROBIT, LOGISTIC], ids=["probit", "logistic"])
def test_posterior_is_that_of_brute_force(kind):
    x, y, found = both()
    found = jax.tree.map(lambda leaf: leaf[int(kind)], found)
    assert found.converged
    q = found.distribution
    mean, covariance, log_evidence = brute_force(
        binary(kind, x, y).log_prob, q.mean, q.covariance()
    )
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((q.mean - mean) / sd, 0, atol=1e-3)
    np.testing.assert_allclose(np.sqrt(q.variance) / sd, 1, atol=1e-3)
    np.testing.assert_allclose(found.log_evidence, log_evidence, atol=1e-3)


def test_sites_of_negative_precision():
    rng = np.random.default_rng(2)
    x = np.stack([np.ones(40), rng.normal(size=40)], 1)
    y = x @ [1.0, 2.0] + 0.3 * rng.standard_t(2, size=40)
    y[:4] += 8
    target = jd.Factorised(jd.Normal(0.0, 5.0), student_site, jnp.array(x), (jnp.array(y),))
    by = jd.ExpectationPropagation(sequential=True, tolerance=1e-10, max_evaluations=97 * 200)
    settings: Any = {"damping": 0.0, "num_nodes": 97, "max_sweeps": 200}
    found = jd.expectation_propagation(target, sequential=True, tolerance=1e-10, **settings)
    assert found.converged and found.num_skipped == 0
    # As an algorithm of fit it is the same.
    problem: Any = Problem(target.log_prob, jd.FullRank(), jnp.zeros(2), 0, target, None)
    ends = by.solve(problem, jax.random.key(0), 0)
    np.testing.assert_array_equal(ends.members.loc[0], found.distribution.loc)
    assert ends.settled.all() and ends.num_evaluations == 97 * found.num_sweeps
    with pytest.raises(TypeError, match="a Factorised, not Normal"):
        by.solve(problem._replace(target=jd.Normal(0.0, 1.0)), jax.random.key(0), 0)
    assert found.num_negative == np.sum(np.asarray(found.precisions) < 0) >= 4
    # At the fixed point each tilted distribution has the moments of q, here by an adaptive rule.
    tau, nu = np.asarray(found.precisions), np.asarray(found.shifts)
    mean = x @ np.asarray(found.distribution.mean)
    variance = np.einsum("ni,ij,nj->n", x, np.asarray(found.distribution.covariance()), x)
    for i in (0, 3, 5, 20):
        cavity = 1 / (1 / variance[i] - tau[i])
        centre = cavity * (mean[i] / variance[i] - nu[i])

        def density(f, power, i=i, cavity=cavity, centre=centre):
            site = scipy.stats.t.pdf(y[i], 3.0, f, 0.3)
            return site * scipy.stats.norm.pdf(f, centre, cavity**0.5) * (f - mean[i]) ** power

        sd = variance[i] ** 0.5
        total, first, second = (
            scipy.integrate.quad(
                density, mean[i] - 12 * sd, mean[i] + 12 * sd, (power,), epsabs=1e-12 * sd**power
            )[0]
            for power in range(3)
        )
        np.testing.assert_allclose(first / total / sd, 0, atol=1e-8)
        np.testing.assert_allclose(second / total, variance[i], rtol=1e-8)


def test_derivatives_are_those_of_the_fixed_point():
    x, y = regression(3, 12)

    @jax.jit
    @jax.value_and_grad
    def fitted(scale):
        found = jd.expectation_propagation(binary(LOGISTIC, x, y, scale), num_nodes=193)
        q = found.distribution
        return q.mean @ jnp.array([1.0, 3.0]) + jnp.sum(q.variance) + 10 * found.log_evidence

    numeric = (fitted(1.501)[0] - fitted(1.499)[0]) / 0.002
    np.testing.assert_allclose(fitted(1.5)[1], numeric, rtol=1e-6)


def test_target_is_an_operand():
    x, y = regression(4, 30)
    target = binary(PROBIT, x, y)
    theta = jnp.array([[0.1, -0.4], [2.0, 1.0]])
    by_hand = scipy.stats.norm.logpdf(theta, 0, SCALE).sum(-1) + scipy.stats.norm.logcdf(
        (theta @ x.T) * y
    ).sum(-1)
    np.testing.assert_allclose(target.log_prob(theta), by_hand, rtol=1e-12)
    moved = target.translate(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(moved.log_prob(theta - jnp.array([1.0, 2.0])), by_hand, rtol=1e-12)
    # With Gaussian sites the posterior is known, and its log-ratio to the target -log Z everywhere.
    model = jd.Factorised(jd.Normal(0.5, SCALE), gaussian_site, jnp.array(x), (jnp.array(y),))
    precision = np.eye(2) / SCALE**2 + x.T @ x
    loc = np.linalg.solve(precision, 0.5 / SCALE**2 + x.T @ y)
    posterior = jd.MultivariateNormal(
        jnp.array(loc), covariance_matrix=jnp.array(np.linalg.inv(precision))
    )
    marginal: Any = np.eye(30) + SCALE**2 * x @ x.T
    log_evidence = scipy.stats.multivariate_normal.logpdf(y, x @ [0.5, 0.5], marginal)
    value, error = jax.jit(kl_by_draws)(posterior, model)
    np.testing.assert_allclose(value, -log_evidence, rtol=1e-12)
    np.testing.assert_allclose(error, 0, atol=1e-12)


def kl_by_draws(p, q):
    found = jd.estimate(jd.KL(), p, q, jd.FixedDraws(8))
    return found.value, found.standard_error


def test_what_is_wrong_is_named():
    x, y = jnp.ones((3, 2)), (jnp.ones(3),)
    site: Any = lambda f, y: -f * f * y  # noqa: E731
    with pytest.raises(TypeError, match="site must be a function"):
        jd.Factorised(jd.Normal(0.0, 1.0), 0.0, x, y)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"projections must be \[n, D\]"):
        jd.Factorised(jd.Normal(0.0, 1.0), site, x[0], y)
    with pytest.raises(TypeError, match="data must be a tuple"):
        jd.Factorised(jd.Normal(0.0, 1.0), site, x, jnp.ones(3))
    with pytest.raises(ValueError, match="leading axis of length 3"):
        jd.Factorised(jd.Normal(0.0, 1.0), site, x, (jnp.ones(4),))
    with pytest.raises(TypeError, match=r"MultivariateNormal on R\^2.*got Gamma"):
        jd.Factorised(jd.Gamma(1.0, 1.0), site, x, y)
    with pytest.raises(ValueError, match="event shape"):
        jd.Factorised(jd.MultivariateNormal(jnp.zeros(3), jnp.eye(3)), site, x, y)
    with pytest.raises(ValueError, match="scalar for one datum"):
        jd.Factorised(jd.Normal(0.0, 1.0), lambda f, y: jnp.stack([f, y]), x, y).log_prob(x[0])
