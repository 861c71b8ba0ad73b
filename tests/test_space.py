"""Spaces: Jacobians against automatic ones of a minimal chart, round trips, and the far ends."""

from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import mpmath as mp
import numpy as np
import pytest

import jaxdiv as jd

BELOW, DOWN = (np.tril_indices(4, k) for k in (-1, 0))
# Each with the entries that its densities are with respect to.
SPACES = {
    "real": (jd.Real((2, 3)), jnp.ravel),
    "scalar": (jd.Real(), jnp.ravel),
    "positive": (jd.Positive(3), jnp.ravel),
    "interval": (jd.Interval(-2.0, 5.0, (2, 2)), jnp.ravel),
    "above": (jd.Interval(1.0, jnp.inf, 2), jnp.ravel),
    "below": (jd.Interval(-jnp.inf, 1.0, 2), jnp.ravel),
    "simplex": (jd.Simplex(5), lambda x: x[:-1]),
    "point": (jd.Simplex(1), lambda x: x[:-1]),
    "ordered": (jd.Ordered(4), jnp.ravel),
    "positive_ordered": (jd.PositiveOrdered(4), jnp.ravel),
    "correlation": (jd.CholeskyCorrelation(4), lambda x: x[BELOW]),
    "cholesky": (jd.Cholesky(4), lambda x: x[DOWN]),
}


def everything(u):
    """Of each space: points, log-determinants, those by `jacfwd`, back again, value and slope."""

    def of(name, u):
        space, minimal = SPACES[name]

        def entries(u):
            return minimal(space.constrain(u)[0])

        def total(u):
            x, log_det = space.constrain(u)
            return jnp.sum(jnp.tanh(x)) + log_det

        x, log_det = space.constrain(u)
        automatic = jnp.linalg.slogdet(jax.jacfwd(entries)(u))[1]
        return x, log_det, automatic, space.unconstrain(x), *jax.value_and_grad(total)(u)

    return {name: jax.vmap(partial(of, name))(rows) for name, rows in u.items()}


everything = jax.jit(everything)
SIZES = {name: space.size for name, (space, _) in SPACES.items()}


def test_jacobian_and_round_trip():
    """At the origin, at ordinary points and rather far out."""
    scale = jnp.array([0.0] + [1.0] * 6 + [4.0] * 3)[:, None]
    u = {name: scale * jr.normal(jr.key(1), (10, size)) for name, size in SIZES.items()}
    for name, (x, log_det, automatic, back, *_) in everything(u).items():
        assert x.shape == (10, *SPACES[name][0].shape)
        np.testing.assert_allclose(log_det, automatic, rtol=1e-9, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(back, u[name], rtol=1e-7, atol=1e-7, err_msg=name)


@pytest.mark.parametrize(("dtype", "far"), [(jnp.float64, 700), (jnp.float32, 80)])
def test_far_ends(dtype, far):
    """No NaN in values, log-determinants or slopes, out to where the exponential overflows."""
    shared = jnp.array([[1.0] * 10, [-1.0] * 10, *([[1.0, -1.0] * 5] * 2)])
    signs = jnp.concatenate([shared, jr.rademacher(jr.key(0), (6, 10), dtype=float)])
    u = {name: (far * signs[:, :size]).astype(dtype) for name, size in SIZES.items()}
    for name, (x, log_det, _, _, *slopes) in everything(u).items():
        assert x.dtype == log_det.dtype == dtype, name
        assert bool(jnp.all(jnp.isfinite(log_det))), name
        assert not any(bool(jnp.any(jnp.isnan(y))) for y in (x, *slopes)), name


def test_digits_at_both_ends():
    """Against mpmath: the smaller of two shares, and log-determinants of a few ulp."""
    points = [-700.0, -40.0, -1e-9, 0.0, 0.3, 40.0, 700.0]

    def got(u):
        share, log_det = jd.Simplex(2).constrain(u[None])
        ends, both = jd.Interval(0.0, 1.0, 2).constrain(jnp.stack([u, -u]))
        tril, of_tril = jd.CholeskyCorrelation(3).constrain(jnp.stack([0 * u, u, u]))
        digits = [*jnp.sort(share), *jnp.sort(ends), log_det, both, *tril[2], of_tril]
        return jnp.stack(digits)

    wanted = []
    with mp.workdps(400):
        for u in points:
            small, large = 1 / (1 + mp.exp(abs(u))), 1 / (1 + mp.exp(-abs(u)))
            slope, sech = mp.log(small * large), 1 / mp.cosh(u)
            row = [mp.tanh(u), sech * mp.tanh(u), sech * sech]
            want = [small, large, small, large, slope, 2 * slope, *row, 5 * mp.log(sech)]
            wanted.append([float(y) for y in want])
    found = jax.jit(jax.vmap(got))(jnp.array(points))
    np.testing.assert_allclose(found, wanted, rtol=2e-13, atol=1e-15)


def test_correlation_is_one():
    tril = jax.jit(jd.CholeskyCorrelation(5).constrain)(3 * jr.normal(jr.key(0), (10,)))[0]
    np.testing.assert_allclose(jnp.diag(tril @ tril.T), 1.0, rtol=1e-14)
    assert bool(jnp.all(jnp.diag(tril) > 0))


def test_errors():
    with pytest.raises(ValueError, match=r"Ordered.constrain: u must have shape \(3,\), got \(2,"):
        jd.Ordered(3).constrain(jnp.zeros(2))
    with pytest.raises(ValueError, match=r"Simplex.unconstrain: x must have shape .*vmap"):
        jd.Simplex(3).unconstrain(jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"low must be less than high.*got 1\.0, 0\.0"):
        jd.Interval(1.0, 0.0)
    with pytest.raises(ValueError, match="whole line is `Real`"):
        jd.Interval(-jnp.inf, jnp.inf)
    with pytest.raises(ValueError, match="positive whole number n, got 0"):
        jd.Simplex(0)
