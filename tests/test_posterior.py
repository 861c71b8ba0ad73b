"""Posteriors and distributions of named parameters, against change of variables by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

import jaxdiv as jd

PARAMETERS = {
    "beta": jd.Real(2),
    "group": {"scale": jd.Positive(), "share": jd.Simplex(3)},
    "tril": jd.CholeskyCorrelation(2),
}
U = jr.normal(jr.key(0), (6, 6))
TRACES = []
LOG_PROB = jax.jit(lambda d, x: d.log_prob(x))


def log_density(params, y):
    TRACES.append(y)
    scale, share = params["group"]["scale"], params["group"]["share"]
    return (
        jnp.sum(jd.Normal(params["beta"], scale).log_prob(y))
        + jd.Gamma(2.0, 3.0).log_prob(scale)
        + jd.Dirichlet(jnp.array([2.0, 3.0, 4.0])).log_prob(share)
        + jnp.log(params["tril"][1, 1])
    )


POSTERIOR = jd.Posterior(log_density, PARAMETERS, (jnp.array([0.5, -1.0]),))


def test_names_and_order():
    assert POSTERIOR.dim == 6
    names = POSTERIOR.names()
    assert names[:3] == ("beta[0]", "beta[1]", "group.scale")
    assert names[3:7] == ("group.share[0]", "group.share[1]", "group.share[2]", "tril[0, 0]")
    params = jax.jit(lambda p, u: p.constrain(u))(POSTERIOR, U[0])
    assert len(names) == sum(x.size for x in jax.tree.leaves(params))
    np.testing.assert_allclose(
        jax.jit(lambda p, x: p.unconstrain(x))(POSTERIOR, params), U[0], rtol=1e-10
    )
    assert jd.Posterior(lambda x: -x, jd.Positive()).names() == ("x",)


def test_free_density_integrates_as_the_constrained_one():
    """A gamma density through its logarithm, and a Dirichlet one in two coordinates."""
    p = jd.Posterior(lambda x: jd.Gamma(2.0, 3.0).log_prob(x["x"]), {"x": jd.Positive()})
    grid = jnp.linspace(-30.0, 6.0, 4001)
    density = jnp.exp(LOG_PROB(p.free(), grid[:, None]))
    np.testing.assert_allclose(np.trapezoid(density, grid), 1.0, rtol=1e-9)
    shares = jd.Posterior(
        lambda x: jd.Dirichlet(jnp.array([2.0, 3.0, 1.5])).log_prob(x), jd.Simplex(3)
    )
    grid = jnp.linspace(-25.0, 25.0, 401)
    u = jnp.stack(jnp.meshgrid(grid, grid), -1)
    inner = np.trapezoid(np.exp(LOG_PROB(shares.free(), u)), grid)
    np.testing.assert_allclose(np.trapezoid(inner, grid), 1.0, rtol=1e-9)


def test_new_data_does_not_compile_again():
    values = jax.jit(lambda posterior: jax.vmap(jax.grad(posterior.free().log_prob))(U))
    values(POSTERIOR)
    count = len(TRACES)
    moved = values(jd.Posterior(log_density, PARAMETERS, (jnp.array([3.0, 0.0]),)))
    assert len(TRACES) == count
    assert bool(jnp.all(jnp.isfinite(moved)))


def test_constrained_density_and_draws():
    loc, tril = jnp.array([0.3, -0.2]), jnp.array([[0.5, 0.0], [0.2, 0.4]])
    q = jd.Constrained(jd.MultivariateNormal(loc, tril), {"a": jd.Positive(), "b": jd.Real()})
    x = jax.jit(lambda q: q.sample(jr.key(1), (20_000,)))(q)
    assert x["a"].shape == (20_000,)
    free = np.stack([np.log(x["a"]), x["b"]], -1)
    covariance: Any = np.asarray(tril @ tril.T)
    want = scipy.stats.multivariate_normal(loc, covariance).logpdf(free) - free[:, 0]
    np.testing.assert_allclose(LOG_PROB(q, x), want, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(free.mean(0), loc, atol=0.02)


def test_divergences():
    """Of the same spaces: those of the bases. To a posterior: an average over draws."""
    spaces = {"a": jd.Positive(), "b": jd.Interval(0.0, 1.0)}
    p = jd.Constrained(jd.MultivariateNormal(jnp.zeros(2), jnp.eye(2)), spaces)
    q = jd.Constrained(jd.MultivariateNormal(jnp.ones(2), jnp.eye(2)), spaces)
    np.testing.assert_allclose(jd.kl(p, q), 1.0, rtol=1e-12)
    np.testing.assert_allclose(jd.squared_hellinger(p, q), -np.expm1(-0.25), rtol=1e-12)
    posterior = jd.Posterior(lambda x, q: q.log_prob(x), spaces, (q,))
    estimate = jax.jit(lambda p, q: jd.estimate(jd.KL(), p, q, jd.FixedDraws(2000)))
    got = estimate(p, posterior)
    assert abs(got.value - 1.0) < 4 * got.standard_error < 0.2
    with pytest.raises(jd.NoClosedFormError):
        jd.kl(p, posterior)


def test_errors():
    with pytest.raises(TypeError, match="parameters: scale must be a space"):
        jd.Posterior(log_density, {"scale": 1.0})
    with pytest.raises(TypeError, match="at least one space"):
        jd.Posterior(log_density, {})
    with pytest.raises(TypeError, match="log_density must be a function"):
        jd.Posterior(0.0, PARAMETERS)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"must return a scalar, got shape \(2,\)"):
        jd.Posterior(lambda x: jnp.zeros(2), jd.Real()).log_prob(0.0)
    with pytest.raises(ValueError, match=r"shape \(6,\), got \(6, 6\).*vmap"):
        POSTERIOR.constrain(U)
    with pytest.raises(ValueError, match=r"beta must have shape \(2,\), got \(\)"):
        POSTERIOR.unconstrain({**PARAMETERS, "beta": 1.0})
    with pytest.raises(ValueError, match=r"the values must be a tree of .*'group.scale'"):
        POSTERIOR.unconstrain({"beta": jnp.zeros(2)})
    with pytest.raises(ValueError, match="vectors of length 6"):
        jd.Constrained(jd.Normal(0.0, 1.0), PARAMETERS)
