"""Renyi divergences and the Chernoff information of families: textbooks, and integrals."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportOptionalIterable=false, reportGeneralTypeIssues=false

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import jaxdiv as jd

from .errors_of_families import quantiles, ulp
from .families import INF, moments, normal_reference
from .multivariate import CASES, gram, matrix
from .oracle import exact
from .parametric import MULTIVARIATE, PARAMETRIC, Parametric, tril

ORDERS = (0.01, 0.3, 0.5, 0.99, 1.0, 1.01, 2.0, 5.0)


# The textbook's forms, of the parameters of two members: (1 - a) times -R_a, or None for infinity.


def exponential(order, a, b):
    mixed = order * a + (1 - order) * b
    return order * mp.log(a) + (1 - order) * mp.log(b) - mp.log(mixed) if mixed > 0 else None


def laplace(order, p, q):
    (m, b), (n, c) = p, q
    x, y, gap = order / b, (1 - order) / c, abs(m - n)
    scales = exponential(order, 1 / b, 1 / c)
    if scales is None or x == y:
        return scales if scales is None else scales - x * gap + mp.log(1 + x * gap)
    factor = (x * mp.exp(-y * gap) - y * mp.exp(-x * gap)) / (x - y)
    return scales + mp.log(factor)


def pareto(order, p, q):
    (s, a), (t, b) = p, q
    shapes = exponential(order, a, b)
    if shapes is None or (order >= 1 and s < t):
        return None
    top = max(s, t)
    return shapes + order * a * mp.log(s / top) + (1 - order) * b * mp.log(t / top)


def gumbel(order, p, q):
    return exponential(order, mp.exp(p[0] / p[1]), mp.exp(q[0] / q[1]))


def weibull(order, p, q):
    return exponential(order, p[0] ** -p[1], q[0] ** -q[1])


def multigamma(x, size):
    return mp.fsum(mp.loggamma(x - mp.mpf(i) / 2) for i in range(size))


def wishart(order, p, q, inverse=False):
    (v, w), size = [gram(d.scale_tril) for d in (p, q)], p.scale_tril.shape[-1]
    v, w = (v, w) if inverse else (v**-1, w**-1)
    n, m = (mp.mpf(float(d.df)) for d in (p, q))
    df, mixed = order * n + (1 - order) * m, order * v + (1 - order) * w
    minors = [mp.det(mixed[: i + 1, : i + 1]) for i in range(size)]
    if df <= size - 1 or min(minors) <= 0:
        return None
    parts = [(df, mixed, 1), (n, v, -order), (m, w, order - 1)]
    return mp.fsum(k * (multigamma(a / 2, size) - a / 2 * mp.log(mp.det(x))) for a, x, k in parts)


def of_exponent(log_affinity: Callable[..., Any]) -> Callable[..., Any]:
    """The Renyi divergence; at order 1 its limit."""

    def renyi(order, p, q):
        if order == 1:
            with mp.workdps(3 * mp.mp.dps):
                return renyi(1 + mp.mpf(10) ** (-mp.mp.dps // 2), p, q)
        value = log_affinity(mp.mpf(order), p, q)
        return INF if value is None else value / (order - 1)

    return renyi


def members(name: str, count: int) -> tuple[Parametric, np.ndarray]:
    """Fields of pairs as in `parametric`; of one scale or shape where the form needs that."""
    family = next(f for f in PARAMETRIC if f.name == name)
    pairs = family.pairs(np.random.default_rng(7), count)
    gaps = pairs[:, 1] / pairs[:, 0] - 1
    gaps = np.where(abs(gaps[:, :1]) < 0.3, gaps[:, :1], np.linspace(-3, 3, count)[:, None])[:, 0]
    if name == "Gumbel":
        pairs[:, 1, 1] = pairs[:, 0, 1]
        pairs[:, 1, 0] = pairs[:, 0, 0] + gaps * pairs[:, 0, 1]
    if name == "Weibull":
        pairs[:, :, 1] = np.clip(pairs[:, :1, 1], 0.05, 50)
        pairs[:, 1, 0] = pairs[:, 0, 0] * np.exp(gaps / pairs[:, 0, 1])
    return family, pairs.astype(np.float32)


SCALAR = [("Laplace", laplace), ("Pareto", pareto), ("Gumbel", gumbel), ("Weibull", weibull)]


def errors_of(got: np.ndarray, wants: list[list[Any]]) -> list[float]:
    """In ulp, `got` with a row an order."""
    errors, tiny = [], mp.mpf(10) ** -30
    assert got.dtype == np.float32 and not np.isnan(got).any() and (got >= 0).all()
    for value, want in zip(got.ravel(), [x for row in wants for x in row], strict=True):
        if want > 1e38:
            errors.append(0.0 if value > 1e38 else math.inf)
            continue
        error = max(abs(mp.mpf(float(value)) - want) - tiny, mp.mpf(0))
        errors.append(ulp(error, want, np.float32))
    return errors


@pytest.mark.parametrize(("name", "log_affinity"), SCALAR)
def test_precision_on_the_line(name, log_affinity):
    family, pairs = members(name, 30)

    def renyi(order: Any, fields: Any) -> Any:
        return jd.renyi(family.make(*fields[0]), family.make(*fields[1]), order)

    over = jax.vmap(jax.vmap(renyi, (None, 0)), (0, None))
    got = np.asarray(jax.jit(over)(jnp.asarray(ORDERS, jnp.float32), jnp.asarray(pairs)))
    with mp.workdps(50):
        reference = of_exponent(log_affinity)
        orders = [mp.mpf(float(np.float32(order))) for order in ORDERS]
        rows = [[[mp.mpf(float(x)) for x in side] for side in row] for row in pairs]
        wants = [[reference(order, *row) for row in rows] for order in orders]
        errors = errors_of(got, wants)
    got = quantiles(errors)
    assert all(g <= most for g, most in zip(got, (1, 8, 16), strict=True)), got


def normal_parts(d: Any) -> tuple[Any, Any]:
    match d:
        case jd.MultivariateNormal():
            return moments(d)
        case jd.LowRankMultivariateNormal():
            factor = matrix(d.factor)
            return mp.matrix(exact(d.loc)), factor * factor.T + mp.diag(exact(d.diagonal))
        case jd.MatrixNormal():
            row, column = gram(d.scale_tril_row), gram(d.scale_tril_column)
            k, size = column.rows, row.rows * column.rows
            full = mp.matrix(size, size)
            for i in range(size):
                for j in range(size):
                    full[i, j] = row[i // k, j // k] * column[i % k, j % k]
            return mp.matrix(exact(d.loc)), full
    raise AssertionError(type(d))


def normal(order, p, q):
    return normal_reference(jd.Renyi(float(order)), normal_parts(p), normal_parts(q))


def multivariate_normals(rng, count):
    for i in range(count):
        p, q = (by_tril(rng, 4, scale) for scale in (1.0, (1.0, 30.0)[i % 2]))
        if i % 3:
            gap = 10 ** rng.uniform(-6, -1)
            q = jax.tree.map(lambda x, gap=gap: x * (1 + gap * rng.normal(size=x.shape)), p)
        yield tuple(jax.tree.map(lambda x: x.astype(jnp.float32), d) for d in (p, q))


def by_tril(rng, size, spread):
    factor = tril(rng, size) * np.exp(np.log(spread) * rng.uniform(-1, 1, (size, 1)))
    return jd.MultivariateNormal(jnp.asarray(rng.normal(size=size)), jnp.asarray(factor))


VECTORS = [
    ("MultivariateNormal", normal),
    ("LowRankMultivariateNormal", normal),
    ("MatrixNormal", normal),
    ("Wishart", of_exponent(wishart)),
    ("InverseWishart", of_exponent(lambda order, p, q: wishart(order, p, q, inverse=True))),
]


@pytest.mark.parametrize(("name", "reference"), VECTORS)
def test_precision_of_vectors(name, reference):
    rng = np.random.default_rng(3)
    if name == "MultivariateNormal":
        pairs = list(multivariate_normals(rng, 12))
    else:
        pairs = CASES[name].pairs(rng, 12)
    p, q = jax.tree.map(lambda *xs: jnp.stack(xs), *pairs)
    over = jax.vmap(lambda order: jd.renyi(p, q, order))
    got = np.asarray(jax.jit(over)(jnp.asarray(ORDERS, jnp.float32)))
    with mp.workdps(40):
        orders = [mp.mpf(float(np.float32(order))) for order in ORDERS]
        wants = [[reference(order, *pair) for pair in pairs] for order in orders]
        errors = errors_of(got, wants)
    got = quantiles(errors)
    assert all(g <= most for g, most in zip(got, (2, 32, 64), strict=True)), got


MODERATE = {
    "Laplace": (jd.Laplace(0.3, 0.8), jd.Laplace(-0.4, 1.3)),
    "Pareto": (jd.Pareto(1.3, 1.8), jd.Pareto(0.6, 2.3)),
    "Gumbel": (jd.Gumbel(0.3, 1.3), jd.Gumbel(-0.4, 1.3)),
    "Weibull": (jd.Weibull(0.8, 1.3), jd.Weibull(1.7, 1.3)),
    "Kumaraswamy": (jd.Kumaraswamy(1.7, 0.8), jd.Kumaraswamy(1.7, 1.3)),
    "Cauchy": (jd.Cauchy(0.3, 0.8), jd.Cauchy(-0.4, 1.3)),
    "Uniform": (jd.Uniform(0.3, 1.1), jd.Uniform(0.5, 1.9)),
}
KINKS = {"Laplace": (-0.4, 0.3), "Pareto": (1.3,), "Uniform": (0.5, 1.1), "Kumaraswamy": (0.0, 1.0)}


def log_affinity(name: str, order: float) -> float:
    """By mpmath's quadrature of the textbook's densities."""
    family = next(f for f in PARAMETRIC if f.name == name)
    p, q = ([float(x) for x in jax.tree.leaves(d)] for d in MODERATE[name])
    low, high = (float(x) for x in MODERATE[name][0].support)
    if name != "Cauchy" and name != "Pareto":  # what is beyond is below 1e-20
        low, high = max(low, -7.0 if name == "Gumbel" else -60.0), min(high, 70.0)
    inner = [x for x in KINKS.get(name, (1.0,)) if low < x < high]
    ends = [-mp.inf if low == -math.inf else low, *inner, mp.inf if high == math.inf else high]

    def power(x: Any) -> Any:
        of_p, of_q = family.log_density(x, *p), family.log_density(x, *q)
        return mp.exp(order * of_p + (1 - order) * of_q) if of_q > -mp.inf else mp.mpf(0)

    return float(mp.log(mp.quad(power, ends)))


def test_textbooks_are_integrals():
    for name, (p, q) in MODERATE.items():
        for order in (2.0,) if name == "Cauchy" else (0.3,) if name == "Uniform" else (0.3, 1.4):
            want = log_affinity(name, order) / (order - 1)
            assert float(jd.renyi(p, q, order)) == pytest.approx(want, rel=1e-9), (name, order)
    p, q = MODERATE["Cauchy"]
    with pytest.raises(jd.NoClosedFormError):
        jd.renyi(p, q, 0.5)
    assert float(jd.renyi(p, q, 4.0)) == pytest.approx(log_affinity("Cauchy", 4.0) / 3, rel=1e-9)
    assert float(jd.renyi(p, q, 1.0)) == pytest.approx(float(jd.kl(p, q)), rel=1e-14)


def chernoff_pairs():
    rng = np.random.default_rng(11)
    yield from (MODERATE[name] for name in ("Laplace", "Pareto", "Uniform"))
    yield by_tril(rng, 3, 1.0), by_tril(rng, 3, 2.0)


@pytest.mark.exhaustive
def test_chernoff_information_is_the_largest_exponent():
    grid = jnp.linspace(0.01, 0.99, 99)
    for p, q in chernoff_pairs():

        def both(p: Any = p, q: Any = q) -> Any:
            over = jax.vmap(lambda a: (1 - a) * jd.renyi(p, q, a))
            return jd.chernoff_information(p, q), over(grid)

        value, exponents = jax.jit(both)()
        top = float(max(exponents))
        assert top * (1 - 1e-12) <= value <= top * 1.02, (p, value)
    one, other = jd.Normal(jnp.array([0.3, 1.0]), 0.7), jd.Normal(jnp.zeros(2), 0.7)
    apart = float(jd.chernoff_information(jd.Independent(one, 1), jd.Independent(other, 1)))
    assert apart == pytest.approx(1.09 / 8 / 0.49, rel=1e-9)  # of one covariance, at one half


@pytest.mark.parametrize("name", ["Laplace", "MultivariateNormal"])
def test_curvature_at_equality(name):
    r"""The Hessian of $q \mapsto R_\alpha(p, q)$ at $p$ is alpha times that of KL."""
    d = by_tril(np.random.default_rng(0), 2, 1.0) if name != "Laplace" else MODERATE[name][0]
    x, rebuild = ravel_pytree(d)

    def curvature(functional: Any) -> Any:
        return jax.hessian(lambda y: jd.divergence(functional, d, rebuild(y)))(x)

    orders = jnp.array([0.3, 1.0, 2.5])
    got = jax.jit(jax.vmap(lambda a: curvature(jd.Renyi(a))))(orders)
    want = orders[:, None, None] * jax.jit(lambda: curvature(jd.KL()))()
    np.testing.assert_allclose(got, want, atol=1e-12 * abs(want).max())


def test_infinite_and_extreme_orders():
    """Where the mixed covariance is not positive; in the limit of the largest ratio."""
    narrow = jd.MultivariateNormal(jnp.zeros(2), jnp.diag(jnp.array([1.0, 0.5])))
    wide = jd.MultivariateNormal(jnp.array([0.3, 0.0]), jnp.diag(jnp.array([2.0, 0.5])))
    assert jd.renyi(wide, narrow, 1.2) < jnp.inf
    assert jd.renyi(wide, narrow, 4 / 3 + 1e-9) == jnp.inf
    assert jax.grad(lambda a: jd.renyi(wide, narrow, a))(2.0) == 0
    assert jd.renyi(wide, narrow, math.inf) == jnp.inf
    assert jd.renyi(wide, narrow, 0.0) == 0
    # Along the axis on which they are the same nothing counts.
    one = jd.renyi(jd.Normal(0.0, 1.0), jd.Normal(0.3, 2.0), math.inf)
    assert float(jd.renyi(narrow, wide, math.inf)) == pytest.approx(float(one), rel=1e-14)
    for p, q in [MODERATE["Laplace"], MODERATE["Pareto"], (narrow, wide), MODERATE["Cauchy"]]:
        large = 400 if isinstance(p, jd.Cauchy) else 1e7
        limit = float(jd.renyi(p, q, math.inf))
        assert float(jd.renyi(p, q, large)) == pytest.approx(limit, rel=2 / math.sqrt(large))
    assert jd.renyi(*MODERATE["Pareto"][::-1], 1.0) == jnp.inf
    assert jd.renyi(*MODERATE["Laplace"][::-1], math.inf) == jnp.inf
    rng = np.random.default_rng(0)
    p = {family.name: family.make for family in MULTIVARIATE}["Wishart"](rng)
    q = jd.Wishart(p.df + 2, 1.5 * p.scale_tril)
    assert jd.renyi(q, p, 3.0) == jnp.inf and jd.renyi(p, q, 3.0) == jnp.inf
    assert 0 < jd.renyi(p, jd.Wishart(p.df - 0.5, p.scale_tril), 3.0) < jnp.inf
    half = float(jd.renyi(narrow, wide, 0.5)) / 2
    assert float(jd.squared_hellinger(narrow, wide)) == pytest.approx(-math.expm1(-half))
