"""Distributions of a direction, against the textbook's Bessel and gamma functions in mpmath."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

import functools
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import mpmath as mp
import numpy as np
import pytest

import jaxdiv as jd

from .errors_of_families import quantiles, ulp

STEP = mp.mpf(10) ** -18


@functools.cache
def bessel(order, kappa):
    return mp.besseli(order, kappa)


def log_mass(size, kappa):
    """Of the exponential of kappa times a coordinate, over the sphere."""
    if kappa == 0:
        return mp.log(2) + mp.mpf(size) / 2 * mp.log(mp.pi) - mp.loggamma(mp.mpf(size) / 2)
    order = mp.mpf(size) / 2 - 1
    return mp.mpf(size) / 2 * mp.log(2 * mp.pi) + mp.log(bessel(order, kappa) / kappa**order)


def entropy_power(size, kappa):
    half = mp.mpf(size - 1) / 2
    a, whole = half + kappa, 2 * half + kappa
    norm = whole * mp.log(2) + half * mp.log(mp.pi) + mp.loggamma(a) - mp.loggamma(whole)
    return norm - kappa * (mp.log(2) + mp.digamma(a) - mp.digamma(whole))


def fisher(size, kappa):
    """The length of the mean, and the entropy."""
    order = mp.mpf(size) / 2 - 1
    length = bessel(order + 1, kappa) / bessel(order, kappa) if kappa else mp.mpf(0)
    return length, log_mass(size, kappa) - kappa * length


def power(size, kappa):
    return kappa / (kappa + size - 1), entropy_power(size, kappa)


REFERENCES = {jd.VonMisesFisher: fisher, jd.PowerSpherical: power}


def reference(kind, size, kappa, other, gap):
    """`gap` is one less the cosine between the two."""
    length, entropy = REFERENCES[kind](size, kappa)
    return log_mass(size, other) - other * length * (1 - gap) - entropy


def pairs_of(kind, size, count):
    """Concentrations from 1e-3 to 1e6 (and 0), apart, near and equal; directions as well."""
    rng, even = np.random.default_rng(size), np.arange(count)
    kappa = np.exp(rng.uniform(math.log(1e-3), math.log(1e6), count))
    own = kappa if kind is jd.VonMisesFisher else kappa / 2
    gaps = 10 ** rng.uniform(-6, -1, count) * rng.choice([-1, 1], count)
    other = np.where(even % 3 == 0, kappa * np.exp(rng.normal(size=count)), own * (1 + gaps))
    other[5::10] = 0
    if kind is jd.VonMisesFisher:
        other[7::10] = own[7::10]
    angle = np.where(even % 2, 0.0, 10 ** rng.uniform(-5, 0.4, count))
    loc, turned = np.zeros((2, count, size))
    loc[:, 0], turned[:, 0], turned[:, 1] = 1, np.cos(angle), np.sin(angle)
    arrays = kappa, other, loc, turned
    return [x.astype(np.float32) for x in arrays]


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (jd.VonMisesFisher, 3),
        (jd.VonMisesFisher, 300),
        (jd.PowerSpherical, 2),
    ],
)
def test_precision(kind, size):
    """Value, gradient in both concentrations, and entropy: median, 99th percentile, largest."""

    def kl(kappa, other, loc, turned):
        return jd.kl(kind(loc, kappa), jd.VonMisesFisher(turned, other))

    @jax.jit
    @jax.vmap
    def all_of(*args):
        value, slopes = jax.value_and_grad(kl, (0, 1))(*args)
        return value, *slopes, jd.entropy(kind(args[2], args[0]))

    pairs = pairs_of(kind, size, 50)
    got = [np.asarray(x) for x in all_of(*pairs)]
    values, gradients, entropies = [], [], []
    with mp.workdps(50):
        for i in range(50):
            k, c = (mp.mpf(float(x[i])) for x in pairs[:2])
            sides = (list(map(mp.mpf, map(float, x[i, :2]))) for x in pairs[2:])
            gap = mp.fsum((x - y) ** 2 for x, y in zip(*sides, strict=True)) / 2
            value, *slopes, entropy = (mp.mpf(float(x[i])) for x in got)
            want = reference(kind, size, k, c, gap)
            if kind is jd.VonMisesFisher and k == c and gap == 0:
                assert value == 0 and slopes == [0, 0]
                continue
            assert value >= 0
            values.append(ulp(abs(value - want), want, np.float32))
            own = REFERENCES[kind](size, k)[1]
            entropies.append(ulp(abs(entropy - own), max(abs(own), 1), np.float32))
            if c > 0:
                ends = [
                    (
                        reference(kind, size, k * (1 + h), c, gap),
                        reference(kind, size, k, c * (1 + h), gap),
                    )
                    for h in (STEP, -STEP)
                ]
                exact = [(a - b) / (2 * STEP) for a, b in zip(*ends, strict=True)]
                errors = [abs(g * x - w) for g, x, w in zip(slopes, (k, c), exact, strict=True)]
                gradients.append(ulp(max(errors), max(map(abs, exact)), np.float32))
    for errors, budget in (
        (values, (2, 16, 64)),
        (gradients, (4, 32, 64)),
        (entropies, (2, 16, 24)),
    ):
        assert all(g <= b for g, b in zip(quantiles(errors), budget, strict=True)), quantiles(
            errors
        )


def test_two_power_spherical_distributions():
    """Between equal directions, against the beta distributions of their cosines."""
    pole = jnp.array([0.0, 0.6, 0.8])
    p, q = jd.PowerSpherical(pole, 2.5), jd.PowerSpherical(pole, 0.3)
    kl = jax.jit(jd.kl)
    want = math.log(3.5 / 1.3) + 1.3 / 3.5 - 1  # Beta(a, 1) is the law of exp(-x / a)
    assert kl(p, q) == pytest.approx(want, rel=1e-13) and kl(p, p) == 0
    turned = jd.PowerSpherical(pole[::-1], 0.3)
    assert jnp.isnan(kl(p, turned))
    with pytest.raises(jd.NoClosedFormError):
        jd.kl(p, turned)
    with pytest.raises(ValueError, match="must agree"):
        jd.kl(p, jd.VonMisesFisher(pole[:2] / 0.6, 1.0))


def test_renyi_divergences():
    """In three dimensions the mass of exp(eta . x) is that of sinh(|eta|) / |eta|."""
    a, b = jnp.array([0.0, 0.6, 0.8]), jnp.array([0.6, 0.0, -0.8])
    p, q = jd.VonMisesFisher(a, 3.0), jd.VonMisesFisher(b, 0.7)
    orders = jnp.array([0.2, 0.5, 1.7])
    got = jax.jit(jax.vmap(lambda order: jd.renyi(p, q, order)))(orders)

    def log_norm(eta):
        length = float(np.linalg.norm(eta))
        return math.log(math.sinh(length) / length)

    for order, value in zip(np.asarray(orders), got, strict=True):
        ends = order * log_norm(3 * a) + (1 - order) * log_norm(0.7 * b)
        middle = log_norm(order * 3 * a + (1 - order) * 0.7 * b)
        assert float(value) == pytest.approx((middle - ends) / (order - 1), rel=1e-9)


def test_draws_by_rejection():
    """Of directions in four dimensions: those in three are by inversion."""
    pole, kappa = jnp.array([0.48, 0.6, 0.0, 0.64]), jnp.array([0.0, 3.0, 1e6])
    draw = jax.jit(lambda d: (d.sample(jr.key(1), (2000,)), d.mean, d.variance))
    x, mean, variance = map(np.asarray, draw(jd.VonMisesFisher(pole, kappa)))
    np.testing.assert_allclose(np.linalg.norm(x, axis=-1), 1.0, rtol=1e-12)
    assert (abs(x.mean(0) - mean) < 5 * x.std(0) / 2000**0.5).all()
    np.testing.assert_allclose(variance, x.var(0), rtol=0.3)


def test_free_coordinates_and_values():
    d = jd.VonMisesFisher(jnp.array([0.6, 0.0, -0.8]), jnp.array(2.0))
    free, rebuild = jd.unconstrain(d)
    assert free.loc.shape == (2,) and (rebuild(free).loc == d.loc).all()
    moved = rebuild(jax.tree.map(lambda x: x + 1.7, free))
    again, back = jd.unconstrain(moved)
    np.testing.assert_allclose(jnp.linalg.norm(moved.loc), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(back(again).loc, moved.loc)
    assert not any(check.bad.any() for check in moved.value_checks())
    for bad in ((2 * d.loc, 1.0), (d.loc, -1.0)):
        checks = jd.VonMisesFisher(*bad).value_checks()
        assert [bool(check.bad.any()) for check in checks].count(True) == 1
