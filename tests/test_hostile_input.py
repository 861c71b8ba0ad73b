"""What is passed by mistake, or stepped into by a fit: never a hang, never a confident number."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false

import math

import equinox as eqx
import jax
import jax.numpy as jnp
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


def test_slope_of_an_infinite_bound():
    components = jd.Uniform(jnp.array([-1.0, 0.0]), jnp.array([2.0, 3.0]))
    q = jd.Mixture(jd.probs([1.0, 0.0]), jd.Uniform(jnp.array([0.0, 5.0]), jnp.array([1.0, 6.0])))

    def bound(w):
        return jd.kl(jd.Mixture(jd.probs(w), components), q, estimator=jd.UpperBound())

    value, slope = jax.value_and_grad(bound)(jnp.array([0.5, 0.5]))
    assert jnp.isinf(value) and jnp.isfinite(slope).all()


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
