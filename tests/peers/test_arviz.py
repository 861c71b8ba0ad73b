"""Smoothed importance weights, against ArviZ's."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np

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
