"""What is passed by mistake, or stepped into by a fit: never a hang, never a confident number."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.stats

import jaxdiv as jd

KEY = jax.random.key(0)
NAN = jnp.asarray(jnp.nan)


@pytest.mark.parametrize(
    "d",
    [
        jd.TruncatedNormal(NAN, 1.0, low=0.0),
        jd.TruncatedNormal(0.0, -1.0, low=1.0),
        jd.VonMisesFisher(jnp.eye(4)[0], NAN),
        jd.VonMises(0.0, NAN),
    ],
    ids=lambda d: type(d).__name__,
)
def test_draws_of_no_distribution_end(d):
    assert jnp.isnan(d.sample(KEY, (3,))).all()


def test_nan_stays_nan():
    p, q = jd.Normal(NAN, 1.0), jd.Normal(0.0, 1.0)
    for estimator in (jd.LowerBound(), jd.UpperBound()):
        assert jnp.isnan(jd.kl(p, q, estimator=estimator))
    eye = jnp.eye(2)
    pairs = [
        (jd.Normal(0.0, NAN), q),
        (jd.MultivariateNormal(jnp.zeros(2), NAN * eye), jd.MultivariateNormal(jnp.zeros(2), eye)),
        (jd.Gamma(NAN, 1.0), jd.Gamma(1.0, 1.0)),
    ]
    for p, q in pairs:
        assert jnp.isnan(jd.renyi(p, q, 0.5)) and jnp.isnan(jd.squared_hellinger(p, q))


@pytest.mark.exhaustive
def test_slope_of_an_infinite_bound():
    components = jd.Uniform(jnp.array([-1.0, 0.0]), jnp.array([2.0, 3.0]))
    q = jd.Mixture(jd.probs([1.0, 0.0]), jd.Uniform(jnp.array([0.0, 5.0]), jnp.array([1.0, 6.0])))

    def bound(w):
        return jd.kl(jd.Mixture(jd.probs(w), components), q, estimator=jd.UpperBound())

    value, slope = jax.value_and_grad(bound)(jnp.array([0.5, 0.5]))
    assert jnp.isinf(value) and jnp.isfinite(slope).all()


@pytest.mark.exhaustive
def test_fits_of_integers_and_on_spheres():
    found = jd.fit(jd.forward_kl(jd.Poisson(3.0)), jd.Poisson(1.0))
    np.testing.assert_allclose(found.distribution.rate, 3.0, rtol=1e-8)
    x = jd.VonMisesFisher(jnp.eye(3)[0], 5.0).sample(KEY, (2000,))
    fitted = jd.fit(jd.forward_kl(jd.samples(x)), jd.VonMisesFisher(jnp.eye(3)[1], 1.0))
    # Maximum likelihood: the mean of the members is that of the data (Mardia & Jupp 2000).
    np.testing.assert_allclose(fitted.distribution.mean, x.mean(0), atol=1e-12)


def test_bounds_and_supports():
    with pytest.raises(ValueError, match="low must be less than high"):
        jd.TruncatedNormal(0.0, 1.0, low=1.0, high=-1.0)
    with pytest.raises(ValueError, match="low must be less than high"):
        jd.TruncatedNormal(0.0, 1.0, low=math.inf)
    assert jd.support_mismatch(scipy.stats.skewnorm(1.0), jd.Uniform(-2.0, 2.0)) is None
    with pytest.raises(TypeError, match="ps is a"):
        jd.pairwise(jd.KL(), scipy.stats.skewnorm(np.ones(2)), jd.Normal(jnp.zeros(2), 1.0))
    for kappa in (0.0, 2.0):
        d = jd.PowerSpherical(jnp.eye(3)[0], kappa)
        want = -math.log(4 * math.pi) if kappa == 0 else -math.inf
        assert float(d.log_prob(-jnp.eye(3)[0])) == pytest.approx(want, rel=1e-6)
    got = jd.kl(jd.Binomial(5.0, 0.0), jd.Bernoulli(probs=0.3))
    assert float(got) == pytest.approx(-math.log(0.7), rel=1e-6)


def test_explanations():
    table = {"a": jd.probs([0.5, 0.5]), "b": jd.probs([0.5, 0.5])}
    with pytest.raises(TypeError, match="No decomposition"):
        jd.explain(jd.KL(), jd.masses([1.0, 2.0, 3.0, 4.0]), table)
    padded = jd.explain(jd.KL(), jd.labels([0, -1], ignore=-1), table)
    np.testing.assert_allclose(padded.value, [math.log(4), 0], rtol=1e-6)
    p = {"a": jd.Normal(jnp.zeros(3), 1.0), "b": jd.Normal(0.0, 1.0)}
    q = {"a": jd.Normal(1.0, 1.0), "b": jd.Normal(0.5, 2.0)}
    assert "b" in str(jd.explain(jd.KL(), p, q)[1])


def test_fisher_vector_products_of_whole_numbers_and_of_modules():
    got = jd.fisher_vector_product(jd.KL(), jd.Normal(0, 2), jd.Normal(1, 1))
    np.testing.assert_allclose([got.loc, got.scale], [0.25, 0.5])
    net = eqx.nn.Linear(2, 3, key=KEY)
    got = jd.fisher_vector_product(jd.KL(), net, net, lambda net: jd.logits(net(jnp.ones(2))))
    assert jnp.isfinite(got.weight).all() and abs(got.bias.sum()) < 1e-6


def test_ratios_that_overflow_have_a_slope():
    def loss(log_p, advantage, clip=0.2):
        return jd.surrogate_loss(log_p, 0.0, advantage, clip=clip)

    for far in (100.0, 1e3, jnp.inf):
        value, slope = jax.value_and_grad(loss)(jnp.asarray(far, jnp.float32), 1.0)
        np.testing.assert_allclose((value, slope), (-1.2, 0), rtol=1e-6)
        np.testing.assert_array_equal(jax.value_and_grad(loss)(jnp.asarray(far), 0.0), 0)
        np.testing.assert_array_equal(jax.value_and_grad(loss)(jnp.asarray(far), 0.0, None), 0)
        np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(-far), -1.0), 0)
    z = jnp.array([0.0, 1.0, -jnp.inf])
    slopes = jax.grad(lambda z: loss(jax.nn.log_softmax(z)[1] + 200, 1.0))(z)
    np.testing.assert_array_equal(slopes, 0)


@pytest.mark.parametrize("logits", [-200.0, -95.0, 20.0, 95.0, 200.0])
def test_counts_of_odds_beyond_the_floating_range(logits):
    """In float32, against mpmath."""
    r, y = mpmath.mpf(2.5), 3

    def surprisal(odds, r):
        p = 1 / (1 + mpmath.exp(-odds))
        q = 1 / (1 + mpmath.exp(odds))
        return -mpmath.log(mpmath.binomial(y + r - 1, y) * p**r * q**y)

    def ours(odds, r):
        return jd.cross_entropy(jd.PointMass(float(y)), jd.NegativeBinomial(r, logits=odds))

    at = jnp.float32(logits), jnp.float32(2.5)
    value, slopes = jax.value_and_grad(ours, (0, 1))(*at)
    expected = [
        surprisal(mpmath.mpf(logits), r),
        mpmath.diff(lambda odds: surprisal(odds, r), logits),
        mpmath.diff(lambda r: surprisal(mpmath.mpf(logits), r), r),
    ]
    np.testing.assert_allclose(
        np.array([value, *slopes], float), np.array(expected, float), rtol=2e-5
    )


@pytest.mark.parametrize("r", [1e-6, 1e-5, 1e-4, 1e-3, 0.3, 0.6])
def test_gamma_functions_of_small_shapes(r):
    got = jd.cross_entropy(jd.PointMass(1.0), jd.Gamma(jnp.float32(r), jnp.float32(1.0)))
    np.testing.assert_allclose(float(got), 1 + math.lgamma(np.float32(r)), rtol=1e-6)


def test_a_weight_of_zero_silences_an_infinity():
    student, teacher = jd.logits([1.0, -jnp.inf, 2.0]), jd.logits([3.0, -jnp.inf, 1.0])
    soft = jd.distillation(student, teacher)
    none = jd.distillation(student, teacher, jd.labels(1), hard_weight=0.0)
    assert none == soft and jnp.isfinite(soft)
    certain = jd.logits([0.0, 3.0, 0.0])  # against which the student is infinitely wrong
    hard = jd.distillation(student, certain, jd.labels(0), hard_weight=1.0)
    np.testing.assert_allclose(hard, jd.cross_entropy(jd.labels(0), student))
    q, far = jd.Independent(jd.Normal(jnp.zeros(2), 1.0), 1), jd.Uniform(jnp.full(2, 5.0), 6.0)
    found = jd.elbo(
        lambda z: jnp.sum(z, -1), q, jd.Independent(far, 1), key=jax.random.key(0), beta=0.0
    )
    assert found.kl == jnp.inf and found.value == found.log_likelihood
    bound = jax.grad(
        lambda m: jd.importance_weighted_bound(
            lambda z: jnp.full(z.shape, -jnp.inf),
            jd.Normal(m, 1.0),
            jd.Normal(0.0, 1.0),
            key=jax.random.key(0),
            num_draws=3,
        )
    )(0.5)
    assert bound == 0


Q2 = jd.Independent(jd.Normal(jnp.zeros(2), 1.0), 1)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: jd.labels(0, smoothing=1.5), "smoothing must be from 0 to 1, got 1.5"),
        (lambda: jd.logits([0.0, 1.0], temperature=0.0), "temperature must be positive"),
        (
            lambda: jd.distillation(jd.logits([0.0]), jd.logits([0.0]), temperature=-1.0),
            "temperature must be positive",
        ),
        (
            lambda: jd.distillation(
                jd.logits([0.0]), jd.logits([0.0]), jd.labels(0), hard_weight=1.5
            ),
            "hard_weight must be from 0 to 1",
        ),
        (
            lambda: jd.distillation(jd.logits([0.0]), jd.logits([0.0]), divergence=jd.KL),
            "divergence must be an object",
        ),
        (lambda: jd.AdaptivePenalty(1.0, target=-1.0), "target must be positive"),
        (lambda: jd.AdaptivePenalty(1.0, target=1.0, factor=0.0), "factor must be above 1"),
        (lambda: _elbo(num_draws=0), "num_draws must be an integer of at least 1"),
        (lambda: _elbo(num_draws=2.0), "num_draws must be an integer of at least 1"),
        (lambda: _elbo(beta=-1.0), "beta must be at least 0"),
        (lambda: _elbo(beta=jnp.ones((2, 1))), "beta of shape"),
        (lambda: _elbo(balance=1.8), "balance must be from 0 to 1"),
        (lambda: _elbo(prior=jd.Normal(0.0, 1.0)), "event shape"),
        (lambda: jd.mean(jnp.ones(2), where=jnp.array([0.5, 0.0])), "where is a mask"),
        (lambda: jd.mean(jnp.ones(2), num_segments=2), "no segment_ids"),
    ],
)
def test_numbers_out_of_range_are_named(call, says):
    with pytest.raises((ValueError, TypeError), match=says):
        call()


def _elbo(prior=Q2, **kwargs):
    return jd.elbo(lambda z: jnp.sum(z, -1), Q2, prior, key=jax.random.key(0), **kwargs)
