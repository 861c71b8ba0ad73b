"""Batch and match against what it must find, and against its own defining equation."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import jaxdiv as jd
from jaxdiv._fit.algorithm import Problem
from jaxdiv._fit.batch_and_match import match

START = jd.MultivariateNormal(jnp.zeros(3), jnp.eye(3))


def gaussian(seed, dim=3):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(dim, dim)) * np.logspace(-2, 2, dim)[:, None]
    tril = np.linalg.cholesky(factor @ factor.T)
    return jd.MultivariateNormal(jnp.array(rng.normal(size=dim)), jnp.array(tril))


def test_one_update_solves_its_equation():
    r"""$\Sigma U \Sigma + \Sigma = V$ and the mean of Cai et al. 2024, with moments by NumPy."""
    rng = np.random.default_rng(0)
    loc, draws, scores = rng.normal(size=3), rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    tril, weight = np.linalg.cholesky(np.cov(rng.normal(size=(3, 9)))), 2.7
    new_loc, new_tril = map(np.asarray, match(*map(jnp.array, (loc, tril, draws, scores, weight))))
    z, g = draws.mean(0), scores.mean(0)
    c, gamma = np.cov(draws.T, bias=True), np.cov(scores.T, bias=True)
    share = weight / (1 + weight)
    u = weight * gamma + share * np.outer(g, g)
    v = tril @ tril.T + weight * c + share * np.outer(loc - z, loc - z)
    sigma = new_tril @ new_tril.T
    np.testing.assert_allclose(sigma @ u @ sigma + sigma, v, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(new_loc, (loc + weight * (sigma @ g + z)) / (1 + weight), rtol=1e-10)
    np.testing.assert_array_equal(np.triu(new_tril, 1), 0)
    assert np.all(np.diag(new_tril) > 0)


def test_a_gaussian_is_found_in_two_steps():
    """From scores that are linear, with a weight that leaves nothing of the start."""

    @jax.jit
    def fit(target, key):
        return jd.batch_and_match(
            target.log_prob, START, key=key, num_draws=8, num_steps=2, rate=lambda t: 1e12 + t
        )

    for seed in (0, 1):
        assert jd.kl(fit(gaussian(seed), jr.key(seed)), gaussian(seed)) < 1e-12


def test_draws_without_a_score_are_left_out():
    def holed(x):
        value = -0.5 * jnp.sum((x - 1) ** 2)
        return jnp.where(x[0] > 0, value, jnp.nan)

    found = jd.batch_and_match(holed, START, key=jr.key(0), num_draws=64, num_steps=30)
    np.testing.assert_allclose(found.loc, 1.0, atol=1e-3)
    lost = jd.batch_and_match(
        lambda x: jnp.nan * x[0], START, key=jr.key(0), num_draws=4, num_steps=3
    )
    np.testing.assert_array_equal(lost.loc, START.loc)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        jd.batch_and_match(holed, START, key=jr.key(0), num_draws=1, num_steps=1)


def test_the_algorithm_of_fit():
    target = gaussian(2)
    algorithm = jd.BatchAndMatch(num_steps=10)

    @jax.jit
    def solve(first, others):
        problem = Problem(target.log_prob, jd.FullRank(), first, others, target, None)
        return algorithm.solve(problem, jr.key(0), 100)

    ends = solve(jnp.zeros(3), jnp.ones((1, 3)))
    assert ends.settled[0] and ends.repeated[1] and ends.gap[0] < 1e-10
    member = jax.tree.map(lambda x: x[0], ends.members)
    assert jd.kl(member, target) < 1e-10
    with pytest.raises(TypeError, match=r"BatchAndMatch fits FullRank\(\)"):
        problem = Problem(target.log_prob, jd.MeanField(), jnp.zeros(3), 1, target, None)
        algorithm.solve(problem, jr.key(0), 1)
