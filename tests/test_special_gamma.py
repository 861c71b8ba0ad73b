"""The kernels of the gamma function against mpmath, all of them in one program for each dtype."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from jaxdiv import _special as special

from .oracle import value_error

grad = jax.grad


def between(kernel):
    """As a function of two numbers, whose difference is exact near equality."""
    return lambda x, y: kernel(x, y, x - y)


def excess(x):
    return mp.loggamma(x) - x * mp.log(x) + x


def slope(x):
    return mp.digamma(x) - mp.log(x)


# Name, kernel, reference, largest error in ulp (about twice what is measured).
ONE = [
    ("log gamma", special.log_gamma, mp.loggamma, 4),
    ("digamma", special.digamma, mp.digamma, 8),
    ("trigamma", special.trigamma, lambda x: mp.psi(1, x), 4),
    ("shape slope", special.shape_slope, slope, 4),
    ("shape curvature", special.shape_curvature, lambda x: mp.psi(1, x) - 1 / x, 5),
]
TWO = [
    ("itakura saito", special.itakura_saito, lambda x, y: x / y - 1 - mp.log(x / y), 4),
    ("log ratio", special.log_ratio, lambda x, y: mp.log(x / y), 4),
    (
        "gamma bregman",
        between(special.gamma_bregman),
        lambda x, y: mp.loggamma(x) - mp.loggamma(y) - mp.digamma(y) * (x - y),
        6,
    ),
    (
        "digamma difference",
        between(special.digamma_difference),
        lambda x, y: mp.digamma(x) - mp.digamma(y),
        6,
    ),
    (
        "shape bregman",
        between(special.shape_bregman),
        lambda x, y: excess(x) - excess(y) - slope(y) * (x - y),
        12,
    ),
]
SLOPES = [
    ("itakura saito y", grad(special.itakura_saito, 1), lambda x, y: (y - x) / y**2, 3),
    ("log ratio y", grad(special.log_ratio, 1), lambda x, y: -1 / y, 2),
    (
        "gamma bregman x",
        grad(between(special.gamma_bregman)),
        lambda x, y: mp.digamma(x) - mp.digamma(y),
        6,
    ),
    (
        "gamma bregman y",
        grad(between(special.gamma_bregman), 1),
        lambda x, y: mp.psi(1, y) * (y - x),
        5,
    ),
    (
        "gamma bregman xy",
        grad(grad(between(special.gamma_bregman)), 1),
        lambda x, y: -mp.psi(1, y),
        5,
    ),
    ("shape bregman x", grad(between(special.shape_bregman)), lambda x, y: slope(x) - slope(y), 6),
    (
        "shape bregman y",
        grad(between(special.shape_bregman), 1),
        lambda x, y: (mp.psi(1, y) - 1 / y) * (y - x),
        5,
    ),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_accuracy(dtype):
    rng = np.random.default_rng(0)
    y = np.exp(rng.uniform(np.log(1e-3), np.log(1e6), 80))
    x = y * np.exp(rng.choice([-1, 1], 80) * 10 ** rng.uniform(-6, 0, 80))
    x[:30] = np.exp(rng.uniform(np.log(1e-3), np.log(1e6), 30))
    x, y = x.astype(dtype), y.astype(dtype)
    kernels = [(name, lambda x, y, k=k: k(x), r, b) for name, k, r, b in ONE]
    kernels = [(name, k, lambda x, y, r=r: r(x), b) for name, k, r, b in kernels] + TWO + SLOPES
    all_of = jax.jit(jax.vmap(lambda x, y: jnp.stack([k(x, y) for _, k, _, _ in kernels])))
    got = np.asarray(all_of(x, y))
    assert got.dtype == dtype
    with mp.workdps(50):
        pairs = [(mp.mpf(float(a)), mp.mpf(float(b))) for a, b in zip(x, y, strict=True)]
        for i, (name, _, reference, budget) in enumerate(kernels):
            errors = [
                value_error(g, reference(*pair), dtype)
                for g, pair in zip(got[:, i], pairs, strict=True)
            ]
            assert np.median(errors) <= 1 and max(errors) <= budget, (name, max(errors))


def remainder(x1, x0):
    return excess(x1) - excess(x0) - slope(x0) * (x1 - x0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_a_small_part_adds_to_a_remainder(dtype):
    """Relative to the larger, at either end, of the two terms of the integral that it is."""
    rng = np.random.default_rng(2)
    x0 = np.exp(rng.uniform(np.log(1e-2), np.log(1e5), 40))
    x1 = x0 * np.exp(rng.choice([-1, 1], 40) * 10 ** rng.uniform(-5, 1, 40))
    r0 = 0.1 * x0 * 10 ** rng.uniform(-5, 0, 40)
    r1 = np.minimum(r0 * np.exp(rng.normal(size=40)), 0.1 * x1)
    x1, x0, r1, r0 = (x.astype(dtype) for x in (x1, x0, r1, r0))
    got = jax.jit(special.shape_excess)(x1, x0, x1 - x0, r1, r0, r1 - r0)
    assert got.dtype == dtype
    with mp.workdps(60):
        for value, row in zip(got, zip(x1, x0, r1, r0, strict=True), strict=True):
            a, b, s, r = (mp.mpf(float(v)) for v in row)
            want = remainder(a, b) - remainder(a + s, b + r)
            sizes = []
            for y, x in ((a, b), (a + s, b + r)):
                curved = (mp.psi(1, x) - 1 / x) * (y - x)
                sizes.append(s * abs(slope(y) - slope(x) - curved) + abs((s - r) * curved))
            assert abs(mp.mpf(float(value)) - want) <= 16 * np.finfo(dtype).eps * max(sizes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sum_in_two_parts(dtype):
    x = np.random.default_rng(3).normal(size=(11, 20)) * 10.0 ** np.arange(-10, 1)[:, None]
    x = x.astype(dtype)
    high, low = jax.jit(special.total)(x, np.zeros_like(x))
    for i in range(20):
        want = mp.fsum(mp.mpf(float(v)) for v in x[:, i])
        error = abs(mp.mpf(float(high[i])) + mp.mpf(float(low[i])) - want)
        assert error <= 16 * np.finfo(dtype).eps ** 2 * abs(x[:, i]).sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_digits_of_a_difference_of_products(dtype):
    rng = np.random.default_rng(1)
    a, b, c = np.exp(rng.normal(size=(3, 200))).astype(dtype)
    d = (a * b / c * (1 + 1e-6 * rng.normal(size=200))).astype(dtype)
    got = jax.jit(special.product_difference)(a, b, c, d)
    with mp.workdps(50):
        rows = zip(*([mp.mpf(float(v)) for v in x] for x in (a, b, c, d)), strict=True)
        want = [p * q - r * s for p, q, r, s in rows]
        errors = [value_error(g, w, dtype) for g, w in zip(got, want, strict=True)]
    assert max(errors) <= 2


def test_zero_for_equal_arguments():
    x = jnp.exp(jnp.linspace(-7.0, 14.0, 50))
    for kernel in (special.itakura_saito, special.log_ratio):
        assert (kernel(x, x) == 0).all()
    for kernel in (
        special.gamma_bregman,
        special.digamma_difference,
        special.shape_bregman,
    ):
        assert (kernel(x, x, 0.0) == 0).all()
