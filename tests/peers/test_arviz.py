"""Smoothed importance weights against ArviZ's, and draws as its data."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiv as jd

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own future
    import arviz


def test_pareto_smoothed_weights():
    rng = np.random.default_rng(0)
    smooth = jax.jit(jd.pareto_smooth)
    for n in (30, 100, 1000, 4000):
        part = np.arange(n) < n // 3
        for r in (
            0.1 * rng.normal(size=n),
            3 * rng.normal(size=n),
            np.log(rng.pareto(1.5, n)),
            np.log(rng.pareto(0.5, n)),
            np.log(rng.uniform(size=n)),
            np.where(part, -np.inf, rng.normal(size=n)),
            np.round(rng.normal(size=n), 1),
        ):
            want, k = arviz.psislw(r.copy())
            log_weights, got = smooth(jnp.asarray(r))
            np.testing.assert_allclose(got, k, atol=1e-12)
            # In order, for either may be the larger of two that tie.
            np.testing.assert_allclose(np.sort(log_weights), np.sort(want), atol=1e-10)


def test_to_arviz():
    rng = np.random.default_rng(1)
    draws = {"beta": rng.normal(size=(2000, 2)), "scale": rng.uniform(size=2000)}
    log_weights = 2 * draws["beta"][:, 0]
    plain = jd.to_arviz(draws)
    np.testing.assert_array_equal(plain.posterior["beta"].values[0], draws["beta"])
    summary = arviz.summary(plain, kind="stats", round_to="none")
    np.testing.assert_allclose(summary.loc["scale", "mean"], draws["scale"].mean())
    assert list(summary.index) == ["beta[0]", "beta[1]", "scale"]

    kept = jd.to_arviz(draws, log_weights)
    np.testing.assert_array_equal(kept.sample_stats["log_weight"].values[0], log_weights)
    drawn = jd.to_arviz(draws, log_weights, key=jax.random.key(0)).posterior["beta"].values[0]
    weights = np.exp(log_weights) / np.exp(log_weights).sum()
    means = weights @ draws["beta"]
    error = np.sqrt(weights @ (draws["beta"] - means) ** 2 / 2000)
    assert (abs(drawn.mean(0) - means) < 4 * error).all()

    with pytest.raises(ValueError, match="give `log_weights`"):
        jd.to_arviz(draws, key=jax.random.key(0))
    with pytest.raises(ValueError, match="3 log_weights"):
        jd.to_arviz(draws, np.zeros(3))
