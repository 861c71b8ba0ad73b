"""Importance sampling against closed forms, and KL of sequences against all that there are."""

# pyright: reportArgumentType=false

import itertools
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import jaxdiv as jd

P, Q = jd.Normal(0.3, 0.8), jd.Normal(1.0, 1.3)
WIDE = jd.StudentT(5.0, 0.5, 1.5)
BARE_P = jd.LogDensity(lambda x: P.log_prob(x) + 3.0)
BARE_Q = jd.LogDensity(lambda x: Q.log_prob(x) - 2.0)


@pytest.mark.exhaustive
def test_what_is_not_normalised():
    """Every functional, of operands whose constants are not known, in one program."""
    by = jd.ImportanceSampling(WIDE, 4000)
    cases = [
        (jd.KL(), BARE_P, Q, jd.kl(P, Q)),
        (jd.KL(), BARE_P, BARE_Q, jd.kl(P, Q) + 2.0),  # as of every estimator: less log Z_Q
        (jd.Entropy(), BARE_P, None, jd.entropy(P)),
        (jd.Jeffreys(), BARE_P, BARE_Q, jd.jeffreys(P, Q)),
        (jd.SquaredHellinger(), P, BARE_Q, jd.squared_hellinger(P, Q)),
        (jd.Renyi(0.5), BARE_P, BARE_Q, jd.renyi(P, Q, 0.5)),
    ]

    @jax.jit
    def estimates(key):
        log_z = by.log_normalizer(BARE_P, key=key)
        return [log_z, *(jd.estimate(f, p, q, by, key=key) for f, p, q, _ in cases)]

    log_z, *rest = estimates(jr.key(0))
    for e, want in zip([log_z, *rest], [3.0, *(case[-1] for case in cases)], strict=True):
        assert abs(e.value - want) < 4 * e.standard_error < 0.2
        assert e.reliable and e.warning is None and 1000 < e.effective_sample_size < 4000


def test_the_proposal_that_is_the_target_is_plain_monte_carlo():
    """Batched, too: the same draws, weights that are all alike, the same error."""
    q = jd.Normal(jnp.array([0.0, 1.0, 2.0]), 1.3)

    @jax.jit
    def both(key):
        weighted = jd.estimate(jd.KL(), BARE_P, q, jd.ImportanceSampling(P, 500), key=key)
        x = P.sample(key, (500, 1))
        return weighted, (P.log_prob(x) - q.log_prob(x))

    e, terms = both(jr.key(1))
    np.testing.assert_allclose(e.value, terms.mean(0), rtol=1e-12)
    np.testing.assert_allclose(e.standard_error, terms.std(0, ddof=1) / 500**0.5, rtol=1e-12)
    np.testing.assert_allclose(e.effective_sample_size, 500)
    assert (e.pareto_k < 0.7).all() and e.value.shape == (3,)


def test_gradients():
    def value(loc, key):
        by = jd.ImportanceSampling(WIDE, 1000)
        return jd.estimate(jd.KL(), BARE_P, jd.Normal(loc, 1.3), by, key=key).value

    slopes = jax.jit(jax.vmap(jax.grad(value), (None, 0)))(1.0, jr.split(jr.key(2), 50))
    want = jax.grad(lambda loc: jd.kl(P, jd.Normal(loc, 1.3)))(1.0)
    assert abs(slopes.mean() - want) < 4 * slopes.std() / 50**0.5 < 0.05


def test_the_result_says_where_not_to_trust_it():
    narrow = jd.ImportanceSampling(jd.Normal(0.3, 0.1), 1000)
    unknown = jd.LogDensity(lambda x: jnp.where(x > 2.0, jnp.nan, P.log_prob(x)))
    runs = jax.jit(
        lambda key: [
            jd.estimate(jd.KL(), BARE_P, Q, narrow, key=key),
            jd.estimate(jd.KL(), unknown, Q, jd.ImportanceSampling(WIDE, 1000), key=key),
            jd.estimate(jd.KL(), P, Q, jd.MonteCarlo(50), key=key),
        ]
    )
    heavy, nan, few = runs(jr.key(0))
    assert heavy.pareto_k > 0.7 and "tail is too heavy" in heavy.warning and not heavy.reliable
    assert jnp.isnan(nan.value) and "the value is not finite" in nan.warning
    assert few.warning == "the effective sample size is below 100."
    exact = jd.estimate(jd.KL(), P, Q, jd.Exact())
    assert jnp.isnan(exact.pareto_k) and exact.reliable and exact.warning is None


def test_wrong_uses_say_what_to_do():
    by = jd.ImportanceSampling(WIDE, 100)
    with pytest.raises(ValueError, match="give `key="):
        jd.kl(BARE_P, Q, estimator=by)
    with pytest.raises(ValueError, match=r"ImportanceSampling\(proposal, num_draws\)"):
        jd.kl(BARE_P, Q, estimator=jd.MonteCarlo(10), key=jr.key(0))
    with pytest.raises(ValueError, match="the proposal must be normalised"):
        jd.kl(BARE_P, Q, estimator=jd.ImportanceSampling(BARE_Q, 100), key=jr.key(0))
    with pytest.raises(ValueError, match="num_draws"):
        jd.ImportanceSampling(WIDE, 1)


def test_sequences_against_all_of_them():
    """Of a Markov chain with three states and four steps, 81 sequences."""
    rng = np.random.default_rng(0)
    first, step = rng.normal(size=(2, 3)), rng.normal(size=(2, 3, 3))

    def log_softmax(z):
        return z - np.log(np.exp(z).sum(-1, keepdims=True))

    first, step = log_softmax(first), log_softmax(step)
    every = np.array(list(itertools.product(range(3), repeat=4)))
    log_p, log_q = (
        f[every[:, 0]] + sum(s[every[:, t], every[:, t + 1]] for t in range(3))
        for f, s in zip(first, step, strict=True)
    )
    want = (np.exp(log_p) * (log_p - log_q)).sum()
    drawn = rng.choice(81, 2000, p=np.exp(log_p))
    x = every[drawn]
    at = [
        np.concatenate([np.broadcast_to(f, (2000, 1, 3)), s[x[:, :3]]], 1)
        for f, s in zip(first, step, strict=True)
    ]
    padded = [np.concatenate([z, rng.normal(size=(2000, 1, 3))], 1) for z in at]
    kept = jnp.arange(5) < 4
    e = jax.jit(lambda p, q: jd.sequence_kl(jd.logits(p), jd.logits(q), where=kept))(*padded)
    plain = (log_p - log_q)[drawn]
    assert abs(e.value - want) < 4 * e.standard_error < 0.1 and e.reliable
    assert e.standard_error < 0.5 * plain.std() / math.sqrt(2000)
    with pytest.raises(TypeError, match=r"tag the logits, `logits\(z\)`"):
        jd.sequence_kl(P, Q)
    with pytest.raises(ValueError, match=r"must be \[n, T\]"):
        jd.sequence_kl(jd.logits(jnp.zeros((4, 3))), jd.logits(jnp.zeros((4, 3))))
