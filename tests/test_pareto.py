"""Smoothed importance weights: ArviZ's numbers, tails of known shape, and what has no tail."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import jaxdiv as jd

U = np.arange(1, 501) * 0.6180339887498949 % 1
RATIOS = np.stack(
    [np.log(U), 3 * U, -0.4 * np.log(U), -1.2 * np.log(U), 0.01 * U, np.round(8 * U) / 2]
)
# For each of them shape, sum of squared weights and largest log weight, by `arviz.psislw` 0.23.4:
#     log_weights, k = arviz.psislw(log_ratios.copy())
#     print(float(k), float(np.exp(2 * log_weights).sum()), float(log_weights.max()))
ARVIZ = np.array(
    [
        (-0.7656115759979673, 0.002670127188801124, -5.522554805117597),
        (-0.6642509930502215, 0.003335426424297289, -5.071069773912267),
        (0.3605319760799643, 0.002807803349097115, -4.213446845877811),
        (1.014832687636087, 0.08700461298142265, -1.3417382484183258),
        (-0.7652687820044475, 0.0020000167504783395, -6.209623683757602),
        (-4.436916060226359, 0.004255224902747373, -4.816299146377119),
    ]
)

smooth = jax.jit(jax.vmap(jd.pareto_smooth))


@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-11), ("float32", 1e-5)])
def test_arviz_gives_the_same(dtype, rtol):
    log_weights, k = smooth(jnp.asarray(RATIOS, dtype))
    assert log_weights.dtype == k.dtype == dtype
    log_weights = np.asarray(log_weights, float)
    squares = np.exp(2 * log_weights).sum(1)
    np.testing.assert_allclose(np.stack([k, squares, log_weights.max(1)], 1), ARVIZ, rtol=rtol)
    # A constant moves nothing.
    again, _ = smooth(jnp.asarray(RATIOS + 64.0, dtype))
    np.testing.assert_allclose(log_weights, again, atol=100 * float(jnp.finfo(dtype).eps) * 64)


def test_tails_of_known_shape():
    """A generalised Pareto tail of shape k, which the prior of ten draws moves towards 1/2."""
    k = jnp.array([-0.4, 0.1, 0.5, 0.7, 1.0, 2.0])[:, None]
    n, repetitions = 2000, 60
    tail = 3 * n**0.5
    u = jr.uniform(jr.key(0), (repetitions, len(k), n))
    ratios = jnp.log1p(0.7 * jnp.expm1(-k * jnp.log(u)) / k)
    _, got = jax.jit(jax.vmap(jax.vmap(jd.pareto_smooth)))(ratios)
    want = (tail * k[:, 0] + 5) / (tail + 10)
    error = (1 + k[:, 0]) / tail**0.5  # the best attainable (Smith 1987)
    assert (abs(got.mean(0) - want) < 4 * error / repetitions**0.5).all()
    np.testing.assert_allclose(got.std(0)[1:], error[1:], rtol=0.25)


def test_weights_sum_to_one_and_exceed_no_raw_one():
    log_ratios = 4 * jr.normal(jr.key(1), (20, 300))
    log_weights, k = smooth(log_ratios)
    np.testing.assert_allclose(jnp.exp(log_weights).sum(1), 1, rtol=1e-13)
    order = jnp.argsort(log_ratios, 1)
    assert (jnp.diff(jnp.take_along_axis(log_weights, order, 1), axis=1) >= 0).all()
    # In the body the ratios are as they were: so is the largest to them.
    span = jnp.max(log_weights, 1) - jnp.min(log_weights, 1)
    assert (span <= jnp.ptp(log_ratios, 1) + 1e-12).all() and jnp.isfinite(k).all()


def test_derivatives_are_those_of_the_value():
    def value(r):
        log_weights, k = jd.pareto_smooth(r)
        return jnp.exp(log_weights) @ jnp.cos(jnp.arange(100.0)) + k

    r, step = 2 * jr.normal(jr.key(2), (100,)), 1e-6 * jr.normal(jr.key(3), (100,))
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(value)))(
        jnp.stack([r - step, r + step, r])
    )
    assert float(values[1] - values[0]) == pytest.approx(float(2 * slopes[2] @ step), rel=1e-4)


def test_what_has_no_tail():
    ramp = jnp.linspace(0.0, 1.0, 100)
    cases = {
        "constant": jnp.full(100, -3.0),
        "constant but for rounding": -300 + 1e-13 * ramp,
        "nothing": jnp.full(100, -jnp.inf),
        "not known": jnp.full(100, jnp.nan),
        "an infinite ratio": ramp.at[3].set(jnp.inf),
        "ties": jnp.where(ramp < 0.95, 0.0, 1.0).at[-1].set(40.0).at[-2].set(41.0),
        "partly unknown": ramp.at[:50].set(jnp.nan),
        "partly nothing": ramp.at[:50].set(-jnp.inf),
        "few": jnp.where(jnp.arange(100) < 4, ramp, -jnp.inf),
    }
    log_weights, k = smooth(jnp.stack(list(cases.values())))
    of = dict(zip(cases, zip(np.asarray(log_weights), np.asarray(k), strict=True), strict=True))
    for name in ("constant", "constant but for rounding"):
        np.testing.assert_allclose(of[name][0], -np.log(100), atol=1e-12)
        assert of[name][1] == -np.inf
    for name in ("nothing", "not known"):
        assert np.isnan(of[name][0]).all() and of[name][1] == np.inf
    sure, k_infinite = of["an infinite ratio"]
    assert sure[3] == 0 and (np.delete(sure, 3) == -np.inf).all() and k_infinite == np.inf
    assert of["few"][1] == np.inf and np.isfinite(of["few"][0]).sum() == 4
    np.testing.assert_array_equal(*(of[f"partly {name}"][0] for name in ("unknown", "nothing")))
    assert np.isfinite(of["partly unknown"][1]) and of["ties"][1] > 0.7

    log_weights, k = jd.pareto_smooth(ramp[:20])  # too short for a tail
    np.testing.assert_allclose(log_weights, jax.nn.log_softmax(ramp[:20]), rtol=1e-14)
    assert k == jnp.inf
    for bad in (jnp.zeros((2, 3)), jnp.zeros(0), 1.0):
        with pytest.raises(ValueError, match="one axis of draws"):
            jd.pareto_smooth(bad)
