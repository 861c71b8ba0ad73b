"""How draws are made: even points, normals whose moments are exact, and the errors they report."""

# pyright: reportArgumentType=false

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

import jaxdiv as jd
from jaxdiv._estimator.quasi import normal_draws, sobol_bits
from jaxdiv._operand.from_bits import as_normal, as_uniform, from_bits
from tests import error_bars


def test_scrambled_points_are_as_even_as_they_were():
    """Each elementary interval of a digital net holds as many points as its volume says."""
    points = jax.jit(jax.vmap(lambda key: sobol_bits(256, 40, key)))(jr.split(jr.key(0), 200))
    u = np.asarray(as_uniform(points, jnp.float64))
    assert (u > 0).all() and (u < 1).all()
    stripes = np.sort((256 * u).astype(int), 1)
    assert (stripes == np.arange(256)[:, None]).all()  # each coordinate in each of 256 intervals
    for i, j in ((2, 6), (4, 4), (7, 1)):  # the first two coordinates are a (0, 8, 2)-net
        boxes = (u[..., 0] * 2**i).astype(int) * 2**j + (u[..., 1] * 2**j).astype(int)
        assert (np.sort(boxes, 1) == np.arange(256)).all()
    # Over the scramblings each point is uniform.
    assert abs(u[:, 77].mean(0) - 0.5).max() < 4 * (1 / 12 / 200) ** 0.5


def test_normals_have_their_moments():
    for n, dim, dtype in ((512, 100, jnp.float32), (10, 5, jnp.float64)):
        z = np.asarray(jax.jit(normal_draws, static_argnums=(0, 1, 3))(n, dim, jr.key(1), dtype))
        assert z.shape == (n, dim) and z.dtype == dtype
        assert (z[: n // 2] == -z[n // 2 :]).all()
        eps = float(jnp.finfo(dtype).eps)
        np.testing.assert_allclose(z.T @ z / n, np.eye(dim), atol=20 * eps)
    ends = jnp.asarray([0, 2**31 - 1, 2**31, 2**32 - 1], jnp.uint32)
    tail = 6.337957754644309  # scipy.special.ndtri(2.0**-33)
    for dtype in (jnp.float32, jnp.float64):
        np.testing.assert_allclose(as_normal(ends, dtype), [-tail, 0, 0, tail], atol=2e-6)
        assert 0 < as_uniform(ends, dtype)[0] < as_uniform(ends, dtype)[-1] < 1
    with pytest.raises(ValueError, match=r"at least 2 \* dim = 12"):
        normal_draws(10, 6, jr.key(0))


def test_quantiles_are_those_of_scipy():
    st: Any = scipy.stats
    a, b = 0.7, 2.5
    pairs = [
        (jd.Normal(a, b), st.norm(a, b)),
        (jd.Laplace(a, b), st.laplace(a, b)),
        (jd.Logistic(a, b), st.logistic(a, b)),
        (jd.Cauchy(a, b), st.cauchy(a, b)),
        (jd.Gumbel(a, b), st.gumbel_r(a, b)),
        (jd.Exponential(b), st.expon(scale=1 / b)),
        (jd.Weibull(a, b), st.weibull_min(b, scale=a)),
        (jd.Pareto(a, b), st.pareto(b, scale=a)),
        (jd.Uniform(a, b), st.uniform(a, b - a)),
        (jd.HalfNormal(b), st.halfnorm(scale=b)),
        (jd.LogNormal(a, b), st.lognorm(b, scale=np.exp(a))),
        (jd.Shifted(jd.Exponential(b), 3.0), st.expon(3.0, 1 / b)),
        (jd.Transformed(jd.Gumbel(0.0, 1.0), jd.Exp()), st.invweibull(1.0)),
    ]
    u = np.array([1e-8, 1e-3, 0.2, 0.5, 0.8, 0.999, 1 - 1e-8])
    bits = jnp.asarray(np.floor(u * 2.0**32), jnp.uint32)[:, None]
    u = (np.floor(u * 2.0**32) + 0.5) * 2.0**-32
    ours = jax.jit(lambda dists: [from_bits(d).draws(bits) for d in dists])([d for d, _ in pairs])
    for got, (d, theirs) in zip(ours, pairs, strict=True):
        rtol = 1e-8 if not isinstance(d, jd.HalfNormal) else 0.02  # it has a bit less
        np.testing.assert_allclose(got, theirs.ppf(u), rtol=rtol, atol=1e-14, err_msg=str(d))
    kumaraswamy = from_bits(jd.Kumaraswamy(a, b)).draws(bits)
    np.testing.assert_allclose(1 - (1 - kumaraswamy**a) ** b, u, rtol=1e-7, atol=1e-12)


def test_vectors_and_batches_have_their_moments():
    tril = jnp.array([[1.0, 0.0], [0.6, 0.5]])
    low = jd.LowRankMultivariateNormal(jnp.ones(2), tril[:, :1], jnp.array([0.3, 0.2]))
    scale = jnp.array([[1.0, 2.0], [0.5, 3.0], [1.0, 1.0]])
    dists = [
        jd.MultivariateNormal(jnp.array([1.0, -1.0]), tril),
        low,
        jd.Independent(jd.Normal(jnp.arange(2.0), scale), 1),
    ]
    even = jd.RandomizedQMC(4)
    draws = jax.jit(lambda: [even.sample(d, jr.key(1), 2**12) for d in dists])()
    for x, d in zip(draws, dists, strict=True):
        assert x.shape == (2**12, *d.batch_shape, 2)
        np.testing.assert_allclose(x.mean(0), d.mean, atol=0.003)
        np.testing.assert_allclose(x.var(0), d.variance, rtol=0.01)
    for i, d in enumerate(dists[:2]):
        np.testing.assert_allclose(np.cov(draws[i].T)[0, 1], 0.6, rtol=0.02, err_msg=str(d))


def test_wrong_uses_say_what_to_do():
    def kl(p, by, q=error_bars.NORMAL):
        return jax.eval_shape(lambda key: jd.kl(p, q, estimator=by, key=key), jr.key(0))

    with pytest.raises(TypeError, match=r"cube to draws of Gamma.*\n?.*IndependentDraws"):
        by = jd.MonteCarlo(10, draws=jd.Antithetic())
        kl(jd.Gamma(2.0, 1.0), by)
    for bad, draws, good in (
        (9, jd.Antithetic(), 10),
        (2, jd.Antithetic(), 4),
        (100, jd.RandomizedQMC(4), 128),
    ):
        with pytest.raises(ValueError, match=f"takes {good} draws, and not {bad}"):
            jd.MonteCarlo(bad, draws=draws)
    with pytest.raises(ValueError, match="one has no standard error"):
        jd.RandomizedQMC(1)
    with pytest.raises(ValueError, match="not known for an unnormalised Q"):
        by = jd.MonteCarlo(10, control=jd.RatioControlVariate())
        kl(jd.Normal(0.0, 1.0), by, jd.LogDensity(lambda x: -x * x))
    for moved in (jd.Normal(jnp.zeros(2), 1.0), jd.Uniform(0.0, 1.0)):
        by = jd.MonteCarlo(10, control=jd.ScoreControlVariate())
        with pytest.raises(ValueError, match=r"no batch axes .* a support that no parameter moves"):
            kl(moved, by)
    with pytest.raises(ValueError, match="2 controls, for which 4 blocks of draws are too few"):
        by = jd.MonteCarlo(8, draws=jd.Antithetic(), control=jd.ScoreControlVariate())
        kl(jd.Normal(0.0, 1.0), by)


@pytest.mark.parametrize("case", error_bars.CASES, ids=lambda case: case.name)
def test_error_bars_cover(case):
    """Nominally 95 %; here of 500, so that a share has a standard error of 1 %."""
    c = error_bars.coverage(case, 500, 0)
    assert 92 <= c.covered <= 98 and 0.9 < c.ratio < 1.1
    assert c.flagged < 1 and c.silent == 0


def test_error_bars_that_lie_are_said_to():
    c = error_bars.coverage(error_bars.HEAVY[1], 500, 0)
    assert c.covered < 60 and c.flagged > 60 and c.silent == 0
