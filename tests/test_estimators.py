"""Every estimator against closed forms, SciPy's integrals, and its own reported error."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportOptionalIterable=false, reportGeneralTypeIssues=false

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import jaxdiv as jd

P, Q = jd.Normal(0.3, 0.8), jd.Normal(1.0, 1.3)
WEIGHTS, LOCS, SCALES = [0.7, 0.3], [-2.0, 2.0], [0.5, 0.9]
TARGET = jd.Mixture(jd.probs(jnp.array(WEIGHTS)), jd.Normal(jnp.array(LOCS), jnp.array(SCALES)))
WITH_CLOSED_FORM = [jd.KL(), jd.Jeffreys(), jd.Renyi(0.5), jd.Renyi(1.5), jd.SquaredHellinger()]
WITHOUT = [
    jd.JensenShannon(),
    jd.JensenShannon(0.2),
    jd.FDivergence(lambda u: (u - 1) ** 2 / (u + 1)),
]


def density(x):
    parts = [
        w * scipy.stats.norm.pdf(x, m, s) for w, m, s in zip(WEIGHTS, LOCS, SCALES, strict=True)
    ]
    return sum(parts)


def integral(term):
    """Of `term(p(x), q(x))` for the normal `P` and the mixture, by SciPy."""

    def f(x):
        return term(scipy.stats.norm.pdf(x, 0.3, 0.8), density(x))

    return scipy.integrate.quad(f, -9, 9, epsabs=1e-12, epsrel=1e-12, limit=400)[0]


def name(functional):
    return str(functional)


@pytest.mark.parametrize("functional", WITH_CLOSED_FORM, ids=name)
def test_all_agree_with_the_closed_form(functional):
    want = float(jd.divergence(functional, P, Q))
    by_rule = jd.estimate(functional, P, Q, jd.Quadrature())
    assert abs(by_rule.value - want) <= min(float(by_rule.standard_error) + 1e-14, 1e-9)
    for draws in (jd.MonteCarlo(20_000), jd.FixedDraws(20_000, seed=3)):
        e = jd.estimate(functional, P, Q, draws, key=jr.key(1))
        assert 0 < e.standard_error < 0.05 and abs(e.value - want) < 4 * e.standard_error
        assert e.effective_sample_size == 20_000


TERMS = [
    (jd.KL(), lambda p, q: p * np.log(p / q)),
    (jd.CrossEntropy(), lambda p, q: -p * np.log(q)),
    (jd.ChiSquared(), lambda p, q: (p - q) ** 2 / q),
    (jd.SquaredHellinger(), lambda p, q: 0.5 * (np.sqrt(p) - np.sqrt(q)) ** 2),
    (
        jd.JensenShannon(),
        lambda p, q: 0.5 * (p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))),
    ),
    (WITHOUT[2], lambda p, q: (p - q) ** 2 / (p + q)),
]


@pytest.mark.parametrize("functional, term", TERMS, ids=[name(f) for f, _ in TERMS])
def test_quadrature_and_draws_against_scipy(functional, term):
    want = integral(term)
    e = jd.estimate(functional, P, TARGET, jd.Quadrature())
    assert abs(e.value - want) < 1e-8 and abs(e.value - want) <= e.standard_error + 1e-10
    if not isinstance(functional, jd.ChiSquared | jd.FDivergence):  # heavy tails under P here
        e = jd.estimate(functional, P, TARGET, jd.MonteCarlo(50_000), key=jr.key(2))
        assert abs(e.value - want) < 4 * e.standard_error < 0.2


def test_total_variation_reports_that_its_kinks_are_missed():
    want = integral(lambda p, q: 0.5 * abs(p - q))
    e = jd.estimate(jd.TotalVariation(), P, TARGET, jd.Quadrature())
    assert abs(e.value - want) <= e.standard_error < 1e-2


def test_entropy_of_a_mixture():
    want = scipy.integrate.quad(
        lambda x: -density(x) * np.log(density(x)), -9, 9, epsabs=1e-12, limit=400
    )[0]
    assert jd.entropy(TARGET, estimator=jd.Quadrature()) == pytest.approx(want, abs=1e-9)
    e = jd.estimate(jd.Entropy(), TARGET, None, jd.MonteCarlo(50_000), key=jr.key(0))
    assert abs(e.value - want) < 4 * e.standard_error < 0.05


def test_unnormalised_targets():
    log_z = math.log(3.0)

    def log_prob(x):
        return TARGET.log_prob(x) + log_z

    unnormalised = jd.LogDensity(log_prob, points=jnp.array([-5.0, -2.0, 0.0, 2.0, 6.0]))
    want = integral(lambda p, q: p * np.log(p / q))
    assert jd.kl(P, unnormalised, estimator=jd.Quadrature()) == pytest.approx(
        want - log_z, abs=1e-6
    )
    whole = jd.Quadrature(normalize=True)
    assert jd.kl(P, unnormalised, estimator=whole) == pytest.approx(want, abs=1e-7)
    assert jd.kl(unnormalised, TARGET, estimator=whole) == pytest.approx(0, abs=1e-7)
    e = jd.estimate(jd.KL(), P, unnormalised, jd.MonteCarlo(50_000), key=jr.key(0))
    assert abs(e.value - (want - log_z)) < 4 * e.standard_error
    with pytest.raises(ValueError, match="unnormalised first argument"):
        jd.kl(unnormalised, TARGET, estimator=jd.Quadrature())
    with pytest.raises(TypeError, match="JensenShannon is not defined"):
        jd.jensen_shannon(P, unnormalised, estimator=jd.Quadrature())


INTERVALS = [
    ("exponential", (0.0, math.inf), [0.0, 0.5, 2.0, 6.0], lambda x: -x, 1.0),
    (
        "cauchy",
        (-math.inf, math.inf),
        [-20.0, -4.0, 0.0, 4.0, 20.0],
        lambda x: -jnp.log1p(x * x),
        math.log(4 * math.pi),
    ),
    ("uniform", (0.0, 1.0), [0.0, 0.5, 1.0], lambda x: 0 * x, 0.0),
    (
        "beta 3, 2",
        (0.0, 1.0),
        [0.0, 0.5, 1.0],
        lambda x: 2 * jnp.log(x) + jnp.log1p(-x),
        float(scipy.stats.beta(3, 2).entropy()),
    ),
]


@pytest.mark.parametrize("case", INTERVALS, ids=lambda case: case[0])
def test_entropy_on_intervals(case):
    _, support, points, log_prob, want = case
    d = jd.LogDensity(log_prob, support=support, points=jnp.array(points))
    e = jd.estimate(jd.Entropy(), d, None, jd.Quadrature(order=16, normalize=True))
    assert abs(e.value - want) < 1e-4 and abs(e.value - want) <= e.standard_error + 1e-9


@pytest.mark.parametrize("dims", [2, 3])
def test_quadrature_in_more_dimensions(dims):
    rng = np.random.default_rng(dims)

    def normal():
        a = rng.normal(size=(dims, dims)) * 0.3
        tril = np.linalg.cholesky(a @ a.T + 0.5 * np.eye(dims))
        return jd.MultivariateNormal(jnp.asarray(rng.normal(size=dims)), jnp.asarray(tril))

    p, q = normal(), normal()
    rule = jd.Quadrature() if dims == 2 else jd.Quadrature(order=4, tolerance=1e-3)
    e = jax.jit(lambda p, q: jd.estimate(jd.KL(), p, q, rule))(p, q)
    want = jd.kl(p, q)
    assert abs(e.value - want) < (1e-9 if dims == 2 else 1e-4)
    assert abs(e.value - want) <= e.standard_error


def test_a_missed_mass_is_nan_and_never_a_value():
    # The density is narrow, and its points do not say so.
    spike = jd.LogDensity(
        lambda x: jd.Normal(0.1234, 1e-7).log_prob(x),
        points=jnp.array([-5.0, 5.0]),
        normalized=True,
    )
    assert jnp.isnan(jd.kl(P, spike, estimator=jd.Quadrature()))
    assert jnp.isnan(jd.kl(spike, P, estimator=jd.Quadrature()))


def test_batches():
    loc = jnp.array([[0.0], [1.0]])
    p, q = jd.Normal(loc, 1.0), jd.Normal(jnp.array([0.0, 0.5, 2.0]), 1.5)
    want = jd.kl(p, q)
    assert want.shape == (2, 3)
    np.testing.assert_allclose(jd.kl(p, q, estimator=jd.Quadrature()), want, atol=1e-11)
    e = jd.estimate(jd.KL(), p, q, jd.MonteCarlo(20_000), key=jr.key(0))
    assert e.value.shape == (2, 3) and (abs(e.value - want) < 4.5 * e.standard_error).all()


@pytest.mark.exhaustive
def test_draws_of_batches_that_broadcast():
    """Classes, and mixtures whose weights alone are batched."""
    rng = np.random.default_rng(0)
    p, q = (jd.logits(jnp.asarray(rng.normal(size=s))) for s in ((3, 1, 5), (4, 5)))
    draws = jd.FixedDraws(5000, gradient=jd.Score())
    e = jax.jit(lambda p, q: jd.estimate(jd.KL(), p, q, draws))(p, q)
    want = jd.kl(p, q)
    assert e.value.shape == want.shape
    assert (abs(e.value - want) < 4.5 * e.standard_error).all()
    weights = jd.probs(jnp.array([[0.5, 0.5], [0.2, 0.8], [1.0, 0.0]]))
    p = jd.Mixture(weights, (jd.Normal(0.0, 1.0), jd.Normal(1.0, 2.0)))
    assert p.sample(jr.key(0), (4,)).shape == (4, 3)
    ways = jd.Quadrature(), jd.FixedDraws(20_000)
    want, e = jax.jit(lambda p: [jd.estimate(jd.KL(), p, Q, by) for by in ways])(p)
    assert (abs(e.value - want.value) < 4.5 * e.standard_error).all()


def test_standard_errors_are_calibrated():
    want = jd.kl(P, Q)
    estimates = jax.vmap(lambda key: jd.estimate(jd.KL(), P, Q, jd.MonteCarlo(200), key=key))(
        jr.split(jr.key(4), 400)
    )
    z = np.asarray((estimates.value - want) / estimates.standard_error)
    # The standard error of the mean of 400 z-scores is 0.05, of their sd 0.035.
    assert abs(z.mean()) < 0.25 and 0.85 < z.std() < 1.15
    stratified = jax.vmap(lambda key: jd.estimate(jd.KL(), TARGET, Q, jd.MonteCarlo(400), key=key))(
        jr.split(jr.key(5), 400)
    )
    truth = jd.kl(TARGET, Q, estimator=jd.Quadrature())
    z = np.asarray((stratified.value - truth) / stratified.standard_error)
    assert abs(z.mean()) < 0.25 and 0.85 < z.std() < 1.15


GRADIENTS = [jd.Pathwise(), jd.StickTheLanding(), jd.Score(), jd.Score(baseline=None)]


@pytest.mark.parametrize("gradient", GRADIENTS, ids=name)
def test_gradients_are_unbiased(gradient):
    def value(x, estimator, key):
        p = jd.Mixture(
            jd.probs(jnp.stack([x[0], 1 - x[0]])), jd.Normal(jnp.stack([x[1], x[2]]), 0.7)
        )
        return jd.kl(p, Q, estimator=estimator, key=key)

    x = jnp.array([0.3, -0.5, 1.4])
    want = jax.grad(value)(x, jd.Quadrature(), None)
    estimator = jd.MonteCarlo(500, gradient=gradient)
    got = jax.vmap(jax.grad(value), (None, None, 0))(x, estimator, jr.split(jr.key(0), 300))
    error = jnp.std(got, 0) / math.sqrt(300)
    assert (abs(got.mean(0) - want) < 4 * error + 1e-6).all() and (error < 0.1).all()


def test_stick_the_landing_vanishes_at_the_optimum():
    def value(loc, gradient):
        return jd.kl(jd.Normal(loc, 1.3), Q, estimator=jd.FixedDraws(50, gradient=gradient))

    assert abs(jax.grad(value)(1.0, jd.StickTheLanding())) < 1e-14
    with pytest.raises(TypeError, match="StickTheLanding is biased for Renyi"):
        by = jd.FixedDraws(50, gradient=jd.StickTheLanding())
        jd.renyi(P, Q, 2.0, estimator=by)


@pytest.mark.exhaustive
def test_score_of_classes():
    q = jd.probs(jnp.array([0.2, 0.3, 0.5]))

    def value(z, estimator, key):
        return jd.kl(jd.logits(z), q, estimator=estimator, key=key)

    z = jnp.array([0.5, -0.3, 0.1])
    want = jax.grad(lambda z: jd.kl(jd.logits(z), q))(z)
    by = jd.MonteCarlo(500, gradient=jd.Score())
    got = jax.vmap(jax.grad(value), (None, None, 0))(z, by, jr.split(jr.key(1), 300))
    assert (abs(got.mean(0) - want) < 4 * jnp.std(got, 0) / math.sqrt(300)).all()
    with pytest.raises(TypeError, match="use gradient=Score"):
        value(z, jd.MonteCarlo(500), jr.key(0))


def test_the_same_seed_gives_the_same_bits():
    by = jd.FixedDraws(100, seed=7)
    assert jd.kl(P, Q, estimator=by) == jd.kl(P, Q, estimator=by)
    assert jd.kl(P, Q, estimator=by) != jd.kl(P, Q, estimator=jd.FixedDraws(100, seed=8))


def test_wrong_uses_say_what_to_do():
    with pytest.raises(ValueError, match="give `key="):
        jd.kl(P, Q, estimator=jd.MonteCarlo(10))
    with pytest.raises(jd.NoClosedFormError, match=r"KL between Normal and Mixture.\n.*Quadrature"):
        jd.kl(P, TARGET)
    with pytest.raises(jd.NoClosedFormError, match="Observations have no density"):
        jd.kl(jd.samples(jnp.zeros(3)), P)
    bare = jd.LogDensity(lambda x: -x * x)
    with pytest.raises(ValueError, match="no break points for LogDensity, LogDensity"):
        jd.kl(bare, bare, estimator=jd.Quadrature(normalize=True))
    with pytest.raises(TypeError, match="Enumerate serves discrete operands"):
        jd.kl(P, Q, estimator=jd.Enumerate())
    many = jd.MultivariateNormal(jnp.zeros(4), jnp.eye(4))
    with pytest.raises(ValueError, match="one to three dimensions"):
        jd.kl(many, many, estimator=jd.Quadrature())
    for bad in (1, 2.5, 0):
        with pytest.raises(ValueError, match="num_draws"):
            jd.MonteCarlo(bad)
