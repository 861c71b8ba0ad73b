"""The scalar kernels and their derivatives against mpmath, to a few ulp."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from jaxdiv import _special as special

from .oracle import value_error

SINGLE, DOUBLE = np.float32, np.float64
grad = jax.grad


def sigma(x):
    return 1 / (1 + mp.exp(-x))


def renyi(r, a):
    """(exp(-r) - 1)/a - (exp(-(1-a)r) - 1)/((1-a)a), with its limits."""
    if a in (0, 1):
        h = mp.mpf(10) ** -25
        return (renyi(r, a + h) + renyi(r, a - h)) / 2
    return (mp.expm1(-r) - mp.expm1(-(1 - a) * r) / (1 - a)) / a


def renyi_r(r, a):
    return (mp.exp(-(1 - a) * r) - mp.exp(-r)) / a if a else r * mp.exp(-r)


def renyi_ra(r, a):
    if a == 0:
        return r * r / 2 * mp.exp(-r)
    return ((a * r - 1) * mp.exp(-(1 - a) * r) + mp.exp(-r)) / a**2


def renyi_a(r, a):
    h = mp.mpf(10) ** -18
    return (renyi(r, a + h) - renyi(r, a - h)) / (2 * h)


def link(s, a):
    return s if a == 1 else -mp.log1p(-a * (1 - a) * s) / (1 - a)


def link_a(s, a):
    h = mp.mpf(10) ** -25
    return (link(s, a + h) - link(s, a - h)) / (2 * h)


def spread(rng, low, high, n=150):
    return np.exp(rng.uniform(np.log(low), np.log(high), n))


def signed(rng, low, high, n=150):
    return rng.choice([-1, 1], n) * spread(rng, low, high, n)


def above_minus_one(rng):
    return (np.r_[spread(rng, 1e-8, 1e8), -spread(rng, 1e-8, 0.999), rng.uniform(-0.99, 3, 150)],)


def line(rng):
    return (np.r_[signed(rng, 1e-8, 80), rng.uniform(-3, 3, 150)],)


def positive(rng):
    return (spread(rng, 1e-6, 80, 300),)


def interval(rng):
    return (np.r_[signed(rng, 1e-8, 0.99), 1 - spread(rng, 1e-6, 0.5)],)


def probability(rng):
    return (np.r_[spread(rng, 1e-30, 1), np.exp(-1) + signed(rng, 1e-7, 0.1), np.exp(-1)],)


def two_masses(rng):
    x = np.r_[spread(rng, 1e-20, 1e5), spread(rng, 1e-6, 1)]
    return x, np.r_[spread(rng, 1e-20, 1e5), x[150:] * (1 + signed(rng, 1e-6, 0.5))]


def ratio_and_order(rng):
    r = np.r_[signed(rng, 1e-6, 20), rng.uniform(-6, 6, 150)]
    special_orders = [0.0, 1.0, 0.5, 2.0, 1 + 1e-6, 1 - 1e-3, 1e-4]
    return r, np.r_[rng.uniform(-0.5, 3, 150), rng.choice(special_orders, 150)]


def sum_and_order(rng):
    a = np.r_[rng.uniform(0.05, 3, 150), rng.choice([1.0, 0.5, 2.0, 1 + 1e-6], 150)]
    s = spread(rng, 1e-6, 20, 300)
    return s * np.minimum(1, 0.9 / np.maximum(a * (1 - a) * s, 1e-9)), a


def rows():
    """Name, kernel, reference, arguments, largest error in ulp (about twice what is measured)."""
    f = special
    yield "phi", f.phi, lambda t: t - mp.log1p(t), above_minus_one, 4
    yield "phi'", grad(f.phi), lambda t: t / (1 + t), above_minus_one, 2
    yield "phi''", grad(grad(f.phi)), lambda t: 1 / (1 + t) ** 2, above_minus_one, 4
    yield "psi", f.psi, lambda x: mp.expm1(-x) + x, line, 4
    yield "psi'", grad(f.psi), lambda x: -mp.expm1(-x), line, 5
    yield "psi''", grad(grad(f.psi)), lambda x: mp.exp(-x), line, 2
    yield "bd0", f.bd0, lambda x, y: x * mp.log(x / y) - x + y, two_masses, 6
    yield "bd0 x", grad(f.bd0), lambda x, y: mp.log(x / y), two_masses, 3
    yield "bd0 y", grad(f.bd0, 1), lambda x, y: 1 - x / y, two_masses, 2
    yield "bd0 xx", grad(grad(f.bd0)), lambda x, y: 1 / x, two_masses, 2
    yield "bd0 xy", grad(grad(f.bd0), 1), lambda x, y: -1 / y, two_masses, 2
    yield "bd0 yx", grad(grad(f.bd0, 1)), lambda x, y: -1 / y, two_masses, 2
    yield "js", f.js_kernel, js, interval, 8
    yield "js'", grad(f.js_kernel), mp.atanh, interval, 3
    yield "js''", grad(grad(f.js_kernel)), lambda y: 1 / (1 - y * y), interval, 3
    yield "entr", f.entr, lambda p: -p * mp.log(p), probability, 2
    yield "entr'", grad(f.entr), lambda p: -1 - mp.log(p), probability, 4
    yield "entr''", grad(grad(f.entr)), lambda p: -1 / p, probability, 2
    yield "sigmoid", f.sigmoid, sigma, line, 2
    yield "sigmoid'", grad(f.sigmoid), lambda x: sigma(x) * sigma(-x), line, 4
    yield "sigmoid''", grad(grad(f.sigmoid)), bell_slope, line, 8
    yield "softplus", f.softplus, lambda x: mp.log1p(mp.exp(x)), line, 4
    yield "softplus''", grad(grad(f.softplus)), lambda x: sigma(x) * sigma(-x), line, 4
    yield "tanh", f.tanh, mp.tanh, line, 8
    yield "tanh'", grad(f.tanh), lambda x: mp.sech(x) ** 2, line, 4
    yield "tanh''", grad(grad(f.tanh)), lambda x: -2 * mp.tanh(x) * mp.sech(x) ** 2, line, 8
    yield "expm1", f.expm1, mp.expm1, line, 7
    yield "expm1'", grad(f.expm1), mp.exp, line, 2
    yield "log1mexp", f.log1mexp, lambda x: mp.log(-mp.expm1(-x)), positive, 4
    yield "log1mexp'", grad(f.log1mexp), lambda x: 1 / mp.expm1(x), positive, 6
    yield "renyi", f.renyi_term, renyi, ratio_and_order, 30
    yield "renyi r", grad(f.renyi_term), renyi_r, ratio_and_order, 30
    yield "renyi a", grad(f.renyi_term, 1), renyi_a, ratio_and_order, 30
    yield "renyi ra", grad(grad(f.renyi_term), 1), renyi_ra, ratio_and_order, 30
    yield "renyi ar", grad(grad(f.renyi_term, 1)), renyi_ra, ratio_and_order, 30
    yield "link", f.renyi_link, link, sum_and_order, 4
    yield "link S", grad(f.renyi_link), lambda s, a: a / (1 - a * (1 - a) * s), sum_and_order, 10
    # The derivative in the order has true zeros for orders above 1/2.
    yield "link a", grad(f.renyi_link, 1), link_a, sum_and_order, 400


def js(y):
    return ((1 + y) * mp.log1p(y) + (1 - y) * mp.log1p(-y)) / 2


def bell_slope(x):
    return -sigma(x) * sigma(-x) * mp.tanh(x / 2)


# Second derivatives are checked in single precision: the formulas are the same, and each program
# takes a while to compile.
ROWS = [(*row, SINGLE) for row in rows()]
ROWS += [
    (*row, DOUBLE) for row in rows() if not row[0].endswith(("''", "xx", "xy", "yx", "ra", "ar"))
]


@pytest.mark.parametrize(("name", "kernel", "reference", "arguments", "budget", "dtype"), ROWS)
def test_accuracy(name, kernel, reference, arguments, budget, dtype):
    xs = [x.astype(dtype) for x in arguments(np.random.default_rng(0))]
    got = jax.jit(jax.vmap(kernel))(*xs)
    assert got.dtype == dtype
    with mp.workdps(80):
        exact = [reference(*(mp.mpf(float(x)) for x in row)) for row in zip(*xs, strict=True)]
    errors = np.array([value_error(g, e, dtype) for g, e in zip(got, exact, strict=True)])
    assert np.median(errors) <= 1
    worst = np.argmax(errors)
    assert errors[worst] <= budget, f"{errors[worst]} ulp at {[x[worst] for x in xs]}"


INF, NAN = np.inf, np.nan
EDGES = [
    # kernel, arguments, value, gradient
    (special.phi, (-1.0,), INF, (0.0,)),
    (special.phi, (0.0,), 0.0, (0.0,)),
    (special.phi, (INF,), INF, (1.0,)),
    (special.psi, (INF,), INF, (1.0,)),
    (special.psi, (-INF,), INF, (0.0,)),
    (special.psi, (0.0,), 0.0, (0.0,)),
    (special.bd0, (0.0, 0.0), 0.0, (0.0, 0.0)),
    (special.bd0, (0.0, 0.25), 0.25, (0.0, 1.0)),
    (special.bd0, (0.25, 0.0), INF, (0.0, 0.0)),
    (special.bd0, (0.25, 0.25), 0.0, (0.0, 0.0)),
    (special.js_kernel, (1.0,), np.log(2), (0.0,)),
    (special.js_kernel, (-1.0,), np.log(2), (0.0,)),
    (special.js_kernel, (0.0,), 0.0, (0.0,)),
    (special.entr, (0.0,), 0.0, (0.0,)),
    (special.entr, (1.0,), 0.0, (-1.0,)),
    (special.neg_xlogy, (0.0, -INF), 0.0, (0.0, 0.0)),
    (special.neg_xlogy, (0.0, -2.0), 0.0, (2.0, 0.0)),
    (special.neg_xlogy, (0.5, -INF), INF, (0.0, -0.5)),
    (special.neg_xlogy, (0.5, -2.0), 1.0, (2.0, -0.5)),
    (special.log1mexp, (0.0,), -INF, (0.0,)),
    (special.log1mexp, (INF,), 0.0, (0.0,)),
    (special.sigmoid, (INF,), 1.0, (0.0,)),
    (special.tanh, (-INF,), -1.0, (0.0,)),
    (special.expm1, (-INF,), -1.0, (0.0,)),
    (special.softplus, (-INF,), 0.0, (0.0,)),
    (special.renyi_term, (0.0, 0.5), 0.0, (0.0, 0.0)),
    (special.renyi_term, (INF, 0.5), 2.0, (0.0, 4.0)),
    (special.renyi_term, (INF, 1.0), INF, (0.0, 0.0)),
    (special.renyi_term, (-INF, 0.5), INF, (0.0, 0.0)),
    (special.renyi_link, (0.0, 0.5), 0.0, (0.5, 0.0)),
    (special.renyi_link, (4.0, 0.5), INF, (0.0, 0.0)),
    (special.renyi_link, (INF, 1.0), INF, (0.0, 0.0)),
    (special.renyi_link, (INF, 2.0), INF, (0.0, 0.0)),
    (special.renyi_node, (0.25, 0.0, INF, 0.5), 0.5, (2.0, 0.0, 0.0, 1.0)),
    (special.renyi_node, (0.0, 0.25, -INF, 0.5), 0.5, (0.0, 2.0, 0.0, -1.0)),
    (special.renyi_node, (0.0, 0.0, 0.0, 0.5), 0.0, (0.0, 0.0, 0.0, 0.0)),
]


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("kernel", dict.fromkeys(edge[0] for edge in EDGES))
def test_edges(kernel, dtype):
    rows = [edge[1:] for edge in EDGES if edge[0] is kernel]
    xs = [jnp.asarray(x, dtype) for x in zip(*(row[0] for row in rows), strict=True)]
    every = tuple(range(len(xs)))

    def all_of(*xs):
        first = grad(kernel, every)
        # The sum of each row of the Hessian: finite only if all its entries are. Single precision
        # overflows first.
        ones = tuple(jnp.ones_like(x) for x in xs)
        second = jax.jvp(first, xs, ones)[1] if dtype == SINGLE else ()
        return kernel(*xs), first(*xs), second

    value, first, second = jax.jit(jax.vmap(all_of))(*xs)
    np.testing.assert_allclose(value, [row[1] for row in rows], rtol=1e-6)
    want = np.array([row[2] for row in rows]).T
    np.testing.assert_allclose(first, want, rtol=1e-6)
    assert np.isfinite(np.array(second)).all()


ONE = [
    special.phi,
    special.psi,
    special.js_kernel,
    special.entr,
    special.sigmoid,
    special.softplus,
    special.tanh,
    special.expm1,
    special.log1mexp,
]


@pytest.mark.parametrize("kernel", ONE)
def test_not_a_number_stays_and_promotion(kernel):
    assert jnp.isnan(kernel(jnp.float32(NAN)))
    assert jnp.isnan(grad(kernel)(jnp.float32(NAN)))
    assert kernel(0.5).dtype == jnp.float64
    assert kernel(jnp.float32(0.5)).dtype == jnp.float32
    assert jax.eval_shape(kernel, jax.ShapeDtypeStruct((3, 2), jnp.float32)).shape == (3, 2)


@pytest.mark.parametrize(
    "kernel",
    [special.bd0, special.neg_xlogy, special.renyi_term, special.renyi_link],
)
def test_transforms(kernel):
    x, y = jnp.asarray(np.random.default_rng(1).uniform(0.1, 0.9, (2, 3, 4)))
    both = (0, 1)

    @jax.jit
    def run(x, y):
        first = jax.grad(kernel, both)
        u, v = x[0, 0], y[0, 0]
        forward = jax.jvp(kernel, (u, v), (1.0, 0.0))[1], jax.jvp(kernel, (u, v), (0.0, 1.0))[1]
        values = kernel(x, y), jax.vmap(jax.vmap(kernel))(x, y)
        scalars = kernel(x, 0.5), kernel(x, jnp.full_like(x, 0.5))
        return values, scalars, (first(u, v), forward), jax.jacfwd(first, both)(u, v)

    *pairs, hessian = run(x, y)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-13)
    np.testing.assert_allclose(hessian[0][1], hessian[1][0], rtol=1e-13)


def test_negative_masses_are_not_a_number():
    assert jnp.isnan(special.bd0(-0.1, 0.5))
    assert jnp.isnan(special.bd0(0.5, -0.1))
    assert jnp.isnan(special.entr(-0.1))
    assert jnp.isnan(special.js_kernel(1.5))


def test_renyi_is_kl_at_one_and_symmetric():
    r = jnp.linspace(-5.0, 5.0, 41)
    term, node = jax.jit(special.renyi_term), jax.jit(special.renyi_node)
    np.testing.assert_allclose(term(r, 1.0), special.psi(r), rtol=1e-14)
    np.testing.assert_allclose(term(r, 0.3), np.exp(-r) * term(-r, 0.7), rtol=1e-14)
    p, q = 0.25, 0.25 * np.exp(-r)
    np.testing.assert_allclose(node(p, q, r, 0.3), p * term(r, 0.3), rtol=1e-13)


def test_third_derivatives():
    for kernel, x, want in [
        (special.phi, 0.5, -2 / 1.5**3),
        (special.psi, 0.5, -np.exp(-0.5)),
        (special.js_kernel, 0.5, 1 / 0.75**2),
        (special.entr, 0.5, 4.0),
    ]:
        assert jax.jit(grad(grad(grad(kernel))))(x) == pytest.approx(want, rel=1e-12)


# Masses: quotients, logarithms, powers.


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_power_has_the_digits_of_the_ratio(dtype):
    rng = np.random.default_rng(5)
    ratio = spread(rng, 1e-20, 1e20).astype(dtype)
    exponent = float(rng.uniform(-1.5, 1.5))
    high, rest = special.in_two(exponent, dtype)
    got = np.asarray(special.power(ratio, np.log(ratio), high, rest))
    errors = [
        value_error(x, mp.mpf(float(u)) ** mp.mpf(exponent), dtype)
        for x, u in zip(got, ratio, strict=True)
    ]
    assert max(errors) <= 4  # by exp(x log u) it would be up to 46


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_log_quotient_and_its_slopes(dtype):
    rng = np.random.default_rng(6)
    p = spread(rng, 1e-36, 1).astype(dtype)
    q = (p * (1 + signed(rng, 1e-6, 10).clip(-0.9))).astype(dtype)
    slopes = jax.vmap(jax.grad(special.log_quotient, (0, 1)))(p, q)
    for x, y, r, in_p, in_q in zip(p, q, special.log_quotient(p, q), *slopes, strict=True):
        a, b = mp.mpf(float(x)), mp.mpf(float(y))
        with mp.workdps(60):
            truth = mp.log(a / b)
        assert value_error(r, truth, dtype) <= 4
        assert value_error(in_p, 1 / a, dtype) <= 2
        assert value_error(in_q, -1 / b, dtype) <= 2


def test_masses_have_finite_second_derivatives_down_to_the_least():
    """1/y^2 would overflow below 5e-20; the second derivative along a change in proportion not."""
    y = np.geomspace(2e-38, 1, 20).astype(SINGLE)

    def second(f):
        return jax.vmap(lambda y: jax.jvp(jax.grad(f), (y,), (y,))[1])(y)

    np.testing.assert_allclose(second(special.log_mass) * y, -1, rtol=1e-6)
    scaled = second(lambda y: special.quotient(2e-38, y)) * y * (y / SINGLE(2e-38))
    np.testing.assert_allclose(scaled, 2, rtol=1e-5)
