"""Templates of families, and sampled fits of the mixtures that they make."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxdiv as jd


def test_low_rank_keeps_what_it_can():
    rng = np.random.default_rng(0)
    loadings, noise = rng.normal(size=(6, 2)), np.full(6, 0.3)
    correlated = loadings @ loadings.T + np.diag(noise)
    units = np.logspace(-3, 3, 6)
    covariance = correlated * np.outer(units, units)
    loc, tril = jnp.array(rng.normal(size=6)), jnp.array(np.linalg.cholesky(covariance))
    found = {rank: jd.LowRank(rank).member(loc, tril) for rank in (1, 2, 5)}
    target, away = jd.MultivariateNormal(loc, tril), []
    for rank, member in found.items():
        np.testing.assert_allclose(member.variance, np.diag(covariance), rtol=1e-10)
        assert member.factor.shape == (6, rank) and np.all(member.diagonal > 0)
        away.append(float(jd.kl(target, member)))
    assert away[0] > away[1] > away[2] > 0
    scaled = jd.LowRank(2).member(loc * units, jnp.diag(jnp.array(units)) @ tril)
    np.testing.assert_allclose(
        scaled.full().covariance(),
        found[2].full().covariance() * np.outer(units, units),
        rtol=1e-8,
        atol=1e-12 * float(jnp.min(jnp.abs(scaled.full().covariance()))),
    )
    with pytest.raises(ValueError, match="rank must be less than the dimension, got 6"):
        jd.LowRank(6).member(loc, tril)


def test_members_of_the_others():
    loc, tril = jnp.array([1.0, 2.0]), jnp.array([[2.0, 0.0], [1.0, 0.5]])
    student = jd.FullRankT(4.0).member(loc, tril)
    np.testing.assert_array_equal(student.scale_tril, tril)
    assert student.df == 4.0
    for template in (jd.MeanField(), jd.FullRankT()):
        mixture = jax.jit(jd.MixtureOf(3, template).member)(loc, tril)
        assert mixture.event_shape == (2,) and mixture.batch_shape == ()
        first = jax.tree.map(lambda x: x[0], mixture.components)
        alone = template.member(loc, tril)
        np.testing.assert_allclose(first.log_prob(loc + 1), alone.log_prob(loc + 1), rtol=1e-12)
        means = mixture.components.mean
        assert len({tuple(mean) for mean in np.asarray(means)}) == 3
    at_modes = jd.MixtureOf(2, jd.FullRank()).member(
        jnp.stack([loc, -loc]), jnp.stack([tril, 2 * tril])
    )
    components: Any = at_modes.components
    np.testing.assert_array_equal(components.scale_tril[1], 2 * tril)
    for bad in (lambda: jd.MixtureOf(0, jd.FullRank()), lambda: jd.LowRank(0)):
        with pytest.raises(ValueError, match="must be a positive integer"):
            bad()
    with pytest.raises(ValueError, match="df must be positive"):
        jd.FullRankT(0.0)
    with pytest.raises(ValueError, match="one location or 3"):
        jd.MixtureOf(3, jd.FullRank()).member(jnp.stack([loc, loc]), jnp.stack([tril, tril]))


@pytest.mark.exhaustive
def test_sampled_fit_of_a_mixture():
    """Reverse KL by fixed draws and L-BFGS, where the target is a member: it is found."""
    template = jd.FullRank()
    modes = jnp.array([[-2.0, 0.0], [2.0, 1.0]])
    trils = jnp.array([[[0.6, 0.0], [0.3, 0.5]], [[0.8, 0.0], [-0.2, 0.4]]])
    parts = jd.MixtureOf(2, template).member(modes, trils).components
    target = jd.Mixture(jd.probs(jnp.array([0.7, 0.3])), parts)
    start = jd.MixtureOf(2, template).member(
        jnp.array([[-1.0, 0.0], [1.0, 0.0]]), jnp.stack([jnp.eye(2)] * 2)
    )
    objective = jd.reverse_kl(target, jd.FixedDraws(256))
    found = jd.fit(objective, start, optax.lbfgs(), num_steps=100)
    assert abs(found.value) < 0.02
    best = found.distribution
    weights = jax.nn.softmax(best.mixing.values)
    np.testing.assert_allclose(weights, [0.7, 0.3], atol=0.05)
    np.testing.assert_allclose(best.components.loc, modes, atol=0.1)
