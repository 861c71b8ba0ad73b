"""Truncated normal distributions between all kinds of bounds, in the tails, and their draws."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import mpmath as mp
import numpy as np
import pytest
import scipy.stats

import jaxdiv as jd

from .errors_of_families import quantiles, ulp

STEP = mp.mpf(10) ** -30


def moments(loc, scale, low, high):
    """The mass between the bounds, and E[z] and E[z^2] of z = (x - loc) / scale."""
    a, b = (low - loc) / scale, (high - loc) / scale
    ends = (a, b) if a > 0 else (-b, -a)
    mass = (mp.erfc(ends[0] / mp.sqrt(2)) - mp.erfc(ends[1] / mp.sqrt(2))) / 2
    at_a, at_b = (mp.npdf(z) for z in (a, b))
    return mass, (at_a - at_b) / mass, 1 + (a * at_a - b * at_b) / mass


def kl(p, q):
    mass, mean, square = moments(*p)
    k, h = p[1] / q[1], (p[0] - q[0]) / q[1]
    cross = (k * k * square + 2 * k * h * mean + h * h) / 2
    return cross - square / 2 + mp.log(q[1] / p[1]) + mp.log(moments(*q)[0] / mass)


def pairs(count):
    """Locations up to 30 scales out of the bounds; alike down to 1e-6, apart, and wider bounds."""
    rng, rows = np.random.default_rng(0), []
    for i in range(count):
        scale = math.exp(rng.uniform(math.log(1e-3), math.log(1e6)))
        loc = scale * rng.uniform(-1, 1) * (3, 30)[i % 2]
        low = scale * rng.normal()
        high = low + scale * math.exp(rng.uniform(-4, 4))
        gap = 10 ** rng.uniform(-6, -1)
        far = i % 3 == 0
        other = loc + scale * rng.normal() * (2 if far else gap)
        wide = scale * (math.exp(rng.normal()) if far else 1 + gap * rng.uniform(-1, 1))
        outer = scale * np.exp(rng.uniform(-6, 2, 2)) * (i % 4 == 0)
        rows.append([[loc, scale, low, high], [other, wide, low - outer[0], high + outer[1]]])
        if i % 7 == 6:
            rows[-1][1] = rows[-1][0]
    return np.asarray(rows, np.float32)


def test_precision():
    """Value, and gradient in every location and scale."""

    def of(fields):
        return jd.kl(*(jd.TruncatedNormal(*side) for side in fields))

    rows = pairs(80)
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(of)))(jnp.asarray(rows))
    errors, gradients = [], []
    with mp.workdps(220):
        for row, value, slope in zip(rows, np.asarray(values), np.asarray(slopes), strict=True):
            p, q = ([mp.mpf(float(x)) for x in side] for side in row)
            if p == q:
                assert value == 0 and (slope[:, :2] == 0).all()
                continue
            assert value >= 0
            want = kl(p, q)
            errors.append(ulp(abs(mp.mpf(float(value)) - want), want, np.float32))
            exact, got = [], []
            for side, fields in enumerate((p, q)):
                for i in (0, 1):
                    ends = []
                    for h in (STEP, -STEP):
                        moved = [list(p), list(q)]
                        moved[side][i] += h * fields[1]
                        ends.append(kl(*moved))
                    exact.append((ends[0] - ends[1]) / (2 * STEP))
                    got.append(mp.mpf(float(slope[side, i])) * fields[1])
            error = max(abs(g - e) for g, e in zip(got, exact, strict=True))
            gradients.append(ulp(error, max(map(abs, exact)), np.float32))
    for got, budget in ((errors, (1, 32, 64)), (gradients, (2, 32, 128))):
        assert all(g <= b for g, b in zip(quantiles(got), budget, strict=True)), quantiles(got)


def test_bounds():
    wide, narrow = jnp.array([0.3, 1.3, -0.7, 2.0]), jnp.array([0.3, 1.3, -0.2, 1.0])
    between = jax.jit(jax.vmap(lambda p, q: jd.kl(*(jd.TruncatedNormal(*d) for d in (p, q)))))
    away, towards = between(jnp.stack([wide, narrow]), jnp.stack([narrow, wide]))
    assert away == jnp.inf and 0 < towards < jnp.inf
    # Within its bounds a normal distribution is what it is without them, but for its mass there.
    p = jd.TruncatedNormal(jnp.array([0.3, 40.0]), 1.3, -0.7, 2.0)
    q = jd.Normal(p.loc, p.scale)
    want = [-moment_log(loc, 1.3, -0.7, 2.0) for loc in (0.3, 40.0)]
    np.testing.assert_allclose(jax.jit(jd.kl)(p, q), want, rtol=1e-13)
    assert (jd.kl(q, p) == jnp.inf).all() and jd.TruncatedNormal(0.0, 1.0, -math.inf).low is None
    assert jax.jit(jd.kl)(jd.HalfNormal(1.2), jd.TruncatedNormal(0.0, 1.2, 0.0)) == 0


def moment_log(*fields):
    with mp.workdps(50):
        return float(mp.log(moments(*map(mp.mpf, fields))[0]))


def test_draws_and_their_derivatives():
    """By the mean of the draws and of their derivatives, which is that of the mean."""
    fields = jnp.array(
        [[0.3, -0.7, 2.0], [0.0, 30.0, 31.0], [0.0, -1e-3, 2e-3], [0.5, -40.0, -8.0]]
    )

    def member(loc, low, high):
        return jd.TruncatedNormal(loc, 1.0, low, high)

    def draws(fields):
        return member(*fields).sample(jr.key(0), (4000,))

    @jax.jit
    @jax.vmap
    def all_of(fields):
        tangents = jnp.eye(3)
        x, slopes = jax.vmap(lambda v: jax.jvp(draws, (fields,), (v,)), out_axes=(None, 0))(
            tangents
        )
        mean, slope = jax.value_and_grad(lambda f: member(*f).mean)(fields)
        return x, slopes, mean, slope, member(*fields).variance

    x, slopes, mean, slope, variance = map(np.asarray, all_of(fields))
    low, high = np.asarray(fields[:, 1:]).T
    assert (x >= low[:, None]).all() and (x <= high[:, None]).all()
    for i, (loc, a, b) in enumerate(np.asarray(fields)):
        scipys = scipy.stats.truncnorm(a - loc, b - loc, loc=loc)
        assert mean[i] == pytest.approx(scipys.mean(), rel=1e-9)
        assert scipy.stats.kstest(x[i], scipys.cdf).pvalue > 1e-3
        assert variance[i] == pytest.approx(x[i].var(), rel=0.15)
    error = slopes.std(-1) / 4000**0.5
    assert (abs(slopes.mean(-1) - slope) < 5 * error + 1e-12).all()
