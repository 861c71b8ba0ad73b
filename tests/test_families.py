"""The parametric families: densities, draws, closed forms within and across them, and precision."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import mpmath as mp
import numpy as np
import pytest

import jaxdiv as jd
from jaxdiv._estimator.quadrature import _all_pieces, _nodes
from jaxdiv._operand.exponential_family import AbstractExponentialFamily

from .errors_of_families import (
    derivative_errors,
    entropy_errors,
    quantiles,
    rounded,
    value_errors,
)
from .parametric import PARAMETRIC, Parametric

every = pytest.mark.parametrize("family", PARAMETRIC, ids=lambda family: family.name)


def members(family: Parametric, dtype=jnp.float64):
    return [family.make(*(jnp.asarray(x, dtype) for x in side)) for side in family.moderate]


@every
def test_log_density(family):
    p, _ = members(family)
    x = jnp.asarray(family.outcomes)
    with mp.workdps(40):
        fields = [mp.mpf(v) for v in family.moderate[0]]
        want = [float(family.log_density(mp.mpf(v), *fields)) for v in family.outcomes]
    np.testing.assert_allclose(p.log_prob(x), want, rtol=1e-13, atol=1e-13)
    low, high = p.support
    for end in (low - 1, high + 1):
        if math.isfinite(end) and family.name != "VonMises":
            assert p.log_prob(end) == -np.inf


# The others' draws are those of `jax.random`, moved and scaled.
OWN_DRAWS = (
    "Gamma",
    "Chi",
    "Weibull",
    "Pareto",
    "LogitNormal",
    "VonMises",
    "InverseGaussian",
    "Kumaraswamy",
    "ContinuousBernoulli",
    "Geometric",
    "NegativeBinomial",
)


@pytest.mark.parametrize(
    "family", [f for f in PARAMETRIC if f.name in OWN_DRAWS], ids=lambda family: family.name
)
def test_draws(family):
    """Their mean, their variance and the mean of their log-density, within their errors."""
    p, _ = members(family)
    x = p.sample(jr.key(0), (20_000,))
    assert x.shape == (20_000,) and x.dtype == jnp.float64
    log_prob = p.log_prob(x)
    assert jnp.isfinite(log_prob).all()
    if family.entropy is not None:
        assert abs(log_prob.mean() + jd.entropy(p)) < 5 * log_prob.std() / 20_000**0.5 + 1e-12
    if family.name not in ("Cauchy", "InverseGamma", "Pareto", "VonMises"):
        assert abs(x.mean() - p.mean) < 5 * x.std() / 20_000**0.5
        assert float(p.variance) == pytest.approx(float(x.var()), rel=0.15)


NODES = 2400


def integrals(p, functionals, *kinks):
    """E_P of functions of the outcome, by the package's nodes for P."""
    origin, x, weights, _ = _nodes(_all_pieces((p, *kinks)), (p,), (), 12)
    x = (x + origin)[..., 0]
    # To one length: eager operations are compiled once a shape.
    x = jnp.pad(x, (0, NODES - len(x)), mode="edge")
    weights = jnp.pad(weights, (0, NODES - len(weights)))
    mass = weights * jnp.exp(p.log_prob(x))
    assert abs(mass.sum() - 1) < 1e-9
    keep = mass > 0
    return [jnp.sum(jnp.where(keep, mass * f(x), 0.0)).item() for f in functionals]


CONTINUOUS = [f for f in PARAMETRIC if f.integral]
TWINS = ("Chi", "LogitNormal")  # first arguments of few pairs, by the same means as another


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "family", [f for f in CONTINUOUS if f.name not in TWINS], ids=lambda family: family.name
)
def test_closed_forms_are_integrals(family):
    """From P to every family: means, entropies and KL divergences."""
    p, _ = members(family)
    if isinstance(p, jd.VonMises):
        others = [members(f)[1] for f in CONTINUOUS if f is family]
    else:
        others = [members(f)[1] for f in CONTINUOUS] + [jd.Normal(0.4, 1.3)]
    values = [(q, value) for q in others if (value := kl_or_none(p, q)) is not None]
    finite = [(q, float(value)) for q, value in values if value < jnp.inf]
    log_ratios = [lambda x, q=q: p.log_prob(x) - q.log_prob(x) for q, _ in finite]
    kinks = [q for q, _ in finite if isinstance(q, jd.Laplace)]
    values = integrals(p, [lambda x: x, lambda x: -p.log_prob(x), *log_ratios], *kinks)
    if not isinstance(p, jd.Cauchy | jd.VonMises):
        assert float(p.mean) == pytest.approx(values[0], rel=1e-7)
    if family.entropy is not None:
        assert float(jd.entropy(p)) == pytest.approx(values[1], rel=1e-8, abs=1e-8)
    for (q, got), want in zip(finite, values[2:], strict=True):
        assert got == pytest.approx(want, rel=1e-7), type(q).__name__


def kl_or_none(p, q):
    try:
        return jd.kl(p, q)
    except jd.NoClosedFormError:
        return None


# Median, 99th percentile and largest error allowed, in ulp: measured, and a margin.
VALUES, GRADIENTS, HESSIANS = (1, 16, 64), (2, 32, 128), (3, 64, 256)
DOUBLES = (2, 16, 64)
# Those whose kernels have series or rules of their own for it.
IN_DOUBLE = ("Gamma", "Beta", "Gumbel", "VonMises", "ContinuousBernoulli", "Laplace", "Geometric")


@pytest.mark.parametrize(
    "family", [f for f in PARAMETRIC if f.kl and not f.twin], ids=lambda family: family.name
)
def test_precision(family):
    pairs = family.pairs(np.random.default_rng(5), 36)
    checks = [(value_errors(family, rounded(pairs, np.float32)), VALUES)]
    if family.name in IN_DOUBLE:
        checks.append((value_errors(family, pairs), DOUBLES))
    firsts, seconds = derivative_errors(family, rounded(pairs[:12], np.float32))
    checks += [(firsts, GRADIENTS), (seconds, HESSIANS)]
    for errors, budget in checks:
        if errors:
            got = quantiles(errors)
            assert all(g <= b for g, b in zip(got, budget, strict=True)), got


@pytest.mark.parametrize(
    "family", [f for f in PARAMETRIC if f.entropy is not None], ids=lambda family: family.name
)
def test_precision_of_entropies(family):
    pairs = rounded(family.pairs(np.random.default_rng(6), 30), np.float32)
    got = quantiles(entropy_errors(family, pairs))
    assert got[0] <= 2 and got[2] <= 24, got


EXPONENTIAL = [
    f
    for f in PARAMETRIC
    if isinstance(members(f)[0], AbstractExponentialFamily) and f.integral and not f.twin
]


@pytest.mark.parametrize("family", EXPONENTIAL, ids=lambda family: family.name)
def test_divergences_of_exponential_families(family):
    """Renyi divergences of every order, and the Chernoff information, against integrals."""
    p, q = members(family)
    orders = [0.2, 0.5, 0.999, 1.0, 1.001, 1.2]
    over = jax.vmap(lambda order: jd.renyi(p, q, order))
    renyi = jax.jit(over)(jnp.asarray(orders))
    powers = [lambda x, a=a: jnp.exp((a - 1) * (p.log_prob(x) - q.log_prob(x))) for a in orders]
    for order, value, want in zip(orders, renyi, integrals(p, powers, q), strict=True):
        if order != 1:
            assert float(value) == pytest.approx(math.log(want) / (order - 1), rel=1e-6), order
    assert float(renyi[3]) == pytest.approx(float(jd.kl(p, q)), rel=1e-12)
    half = float(renyi[1]) / 2
    assert float(jd.squared_hellinger(p, q)) == pytest.approx(-math.expm1(-half), rel=1e-12)


def test_chernoff_information():
    chernoff = jax.jit(jd.chernoff_information)
    p, q = jd.Gamma(2.0, 1.0), jd.Gamma(3.0, 0.7)
    value = float(chernoff(p, q))
    exponents = [(1 - a) * float(jd.renyi(p, q, a)) for a in (0.4, 0.45, 0.5, 0.55, 0.6)]
    assert max(exponents) <= value <= max(exponents) + 1e-4
    assert float(chernoff(q, p)) == pytest.approx(value, rel=1e-9)
    # Of exponential distributions it is a function of their ratio.
    a, b = jd.Exponential(1.0), jd.Exponential(2.0)
    best = math.log(2) - 1 - math.log(math.log(2))
    assert float(chernoff(a, b)) == pytest.approx(best, rel=1e-9)
