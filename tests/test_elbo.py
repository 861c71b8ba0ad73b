"""Evidence bounds of a model whose evidence is known: z ~ N(0, 1), x | z ~ N(z, 1)."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import jaxdiv as jd

X = np.array([1.0, -0.5])
EVIDENCE = -0.25 * X**2 - 0.5 * np.log(4 * np.pi)
PRIOR = jd.Independent(jd.Normal(np.zeros(1), 1.0), 1)


def likelihood(z):
    return jd.Normal(z[..., 0], 1.0).log_prob(X)


def posterior(loc, scale):
    return jd.Independent(jd.Normal(loc[:, None], scale), 1)


LOC, SCALE = np.array([0.3, 0.1]), 0.9


def test_bounds_in_order():
    """The ELBO is what it is known to be, and below the bounds of more and more draws.

    From the exact posterior each draw gives the evidence.
    """

    @jax.jit
    def bounds(key):
        q, keys = posterior(LOC, SCALE), jr.split(key, 3)
        one = jd.elbo(likelihood, q, PRIOR, key=keys[0])
        more = [
            jd.importance_weighted_bound(likelihood, q, PRIOR, key=k, num_draws=n)
            for k, n in zip(keys[1:], (4, 32), strict=True)
        ]
        exact = posterior(X / 2, 0.5**0.5)
        tight = jd.importance_weighted_bound(likelihood, exact, PRIOR, key=keys[0], num_draws=3)
        return jnp.stack([one.bound, *more]), one.kl, tight

    found, kl, tight = jax.vmap(bounds)(jr.split(jr.key(0), 4000))
    np.testing.assert_allclose(tight, jnp.broadcast_to(EVIDENCE, tight.shape), rtol=1e-12)
    mean, error = found.mean(0), found.std(0) / 4000**0.5
    misfit = 0.5 * ((X - LOC) ** 2 + SCALE**2) + 0.5 * np.log(2 * np.pi)
    exact_kl = 0.5 * (SCALE**2 + LOC**2 - 1) - np.log(SCALE)
    np.testing.assert_allclose(kl, jnp.broadcast_to(exact_kl, kl.shape), rtol=1e-12)
    assert (abs(mean[0] + misfit + exact_kl) < 4 * error[0]).all()
    for below, above, e, f in zip(mean, mean[1:], error, error[1:], strict=False):
        assert (below < above + 4 * jnp.hypot(e, f)).all()
    assert (mean[0] < mean[2] - 4 * error[0]).all() and (mean < EVIDENCE + 4 * error).all()
    assert (abs(mean[2] - EVIDENCE) < 0.2 * abs(mean[0] - EVIDENCE)).all()


def test_parts_of_kl_closed_or_estimated():
    """They sum to the total; against a mixture, which has no closed form, they are averages."""
    loc = np.array([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]])
    q = jd.Independent(jd.Normal(loc, 0.5), 1)
    components = jd.Normal(jnp.array([-1.0, 1.0]) * jnp.ones((3, 2)), 1.0)
    mixed = jd.Independent(jd.Mixture(jd.probs(jnp.full((3, 2), 0.5)), components), 1)
    plain = jd.Independent(jd.Normal(np.zeros(3), 1.0), 1)

    def nothing(z):
        return jnp.zeros(z.shape[:-1])

    @jax.jit
    def of(key):
        return [jd.elbo(nothing, q, p, key=key, num_draws=20_000) for p in (plain, mixed)]

    closed, estimated = of(jr.key(2))
    assert closed.kl_is_exact and not estimated.kl_is_exact
    for found in (closed, estimated):
        assert found.kl_by_dimension.shape == (2, 3)
        np.testing.assert_allclose(found.kl_by_dimension.sum(-1), found.kl, rtol=1e-14)
        np.testing.assert_allclose(found.value, -found.kl, rtol=1e-14)
    np.testing.assert_allclose(
        closed.kl_by_dimension, 0.5 * (0.25 + loc**2 - 1) + np.log(2), rtol=1e-12
    )
    grid = np.linspace(-6, 8, 20_001)
    log_q = -2 * (grid[:, None, None] - loc) ** 2 + 0.5 * np.log(2 / np.pi)
    both = [-0.5 * (grid - m) ** 2 - 0.5 * np.log(8 * np.pi) for m in (-1, 1)]
    log_p = np.logaddexp(*both)[:, None, None]
    density = np.exp(log_q)
    want = np.sum(density * (log_q - log_p), 0) * (grid[1] - grid[0])
    spread = np.sqrt(np.sum(density * (log_q - log_p - want) ** 2, 0) * (grid[1] - grid[0]))
    assert (abs(estimated.kl_by_dimension - want) < 4 * spread / 20_000**0.5).all()


def test_beta_free_nats_and_balance():
    """KL of N(m, 1) from N(n, 1) is half the square of m - n, with a slope of m - n."""

    @jax.jit
    def slopes(m, n, free, balance):
        def value(m, n):
            q, p = (jd.Independent(jd.Normal(x, 1.0), 1) for x in (m, n))
            options: dict[str, Any] = dict(beta=3.0, free_nats=free, balance=balance)
            found = jd.elbo(lambda z: jnp.zeros(len(z)), q, p, key=jr.key(3), **options)
            return found.value, found.kl

        return jax.value_and_grad(value, (0, 1), has_aux=True)(m, n)

    m, n = np.array([1.0, 0.0]), np.array([-1.0, 0.5])
    kl, gap = 0.5 * np.sum((m - n) ** 2), m - n
    for free in (0.0, 2.0, 3.0):
        for balance, of_p, of_q in ((None, 1.0, 1.0), (0.8, 0.8, 0.2)):
            (value, found), (in_q, in_p) = slopes(m, n, free, balance)
            np.testing.assert_allclose([value, found], [-3 * max(kl, free), kl], rtol=1e-14)
            on = 3.0 * (kl > free)
            np.testing.assert_allclose(in_q, -on * of_q * gap, rtol=1e-14, atol=0)
            np.testing.assert_allclose(in_p, on * of_p * gap, rtol=1e-14, atol=0)


def test_classes_as_latents_have_gradients_by_the_score():
    z, reward = jnp.array([0.5, 0.0, -1.0]), jnp.array([1.0, -2.0, 0.5])
    prior = jd.logits(jnp.zeros(3))

    def value(z, key):
        found = jd.elbo(
            lambda x: reward[x], jd.logits(z), prior, key=key, num_draws=64, gradient=jd.Score()
        )
        return found.value

    p = np.exp(z) / np.exp(z).sum()
    gain = reward - np.log(p)  # up to a constant
    each = jax.jit(jax.vmap(jax.grad(value), (None, 0)))(z, jr.split(jr.key(4), 500))
    error = each.std(0) / 500**0.5
    assert (abs(each.mean(0) - p * (gain - p @ gain)) < 4 * error).all()
    assert (error < 0.01).all()


def test_what_is_refused():
    q = jd.Normal(np.zeros((2, 3)), 1.0)
    with pytest.raises(ValueError, match=r"must give \[n, \*batch\] = \(1, 2, 3\), got \(1, 2\)"):
        jd.elbo(lambda z: z[..., 0], q, q, key=jr.key(0))
    with pytest.raises(ValueError, match="prior's batch shape"):
        jd.elbo(lambda z: z, jd.Normal(0.0, 1.0), q, key=jr.key(0))
    with pytest.raises(TypeError, match=r"cannot be differentiated: use gradient=Score\(\)"):
        jd.elbo(lambda z: z, jd.logits(jnp.zeros(3)), jd.logits(jnp.zeros(3)), key=jr.key(0))
