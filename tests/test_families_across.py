"""Families meet: the pairs of other libraries, supports, integers, and the rest of the package."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import mpmath as mp
import numpy as np
import pytest
import scipy.stats

import jaxdiv as jd

from .parametric import kl_gamma

MEMBERS = {
    "Bernoulli": jd.Bernoulli(probs=0.3),
    "Beta": jd.Beta(2.0, 3.0),
    "Binomial": jd.Binomial(5, 0.3),
    "Chi2": jd.Chi2(3.0),
    "ContinuousBernoulli": jd.ContinuousBernoulli(probs=0.3),
    "Exponential": jd.Exponential(1.3),
    "Gamma": jd.Gamma(2.0, 1.5),
    "Geometric": jd.Geometric(0.4),
    "Gumbel": jd.Gumbel(0.2, 1.1),
    "HalfNormal": jd.HalfNormal(1.2),
    "Laplace": jd.Laplace(0.1, 0.9),
    "LogNormal": jd.LogNormal(0.1, 0.6),
    "Logistic": jd.Logistic(0.1, 0.6),
    "Normal": jd.Normal(0.3, 1.2),
    "Pareto": jd.Pareto(0.2, 3.0),
    "Poisson": jd.Poisson(2.0),
    "StudentT": jd.StudentT(4.0, 0.2, 1.1),
    "Uniform": jd.Uniform(0.3, 0.9),
    "UnitUniform": jd.Uniform(0.0, 1.0),
    "Weibull": jd.Weibull(1.2, 0.8),
}
# torch.distributions.kl 2.13: every pair of different families, finite and infinite (there are two
# more finite ones, between full and low-rank normals, which are tested with those). TFP has no
# other pair of families of numbers but those of `MORE`.
FINITE = """
Bernoulli Poisson
Beta ContinuousBernoulli Exponential Gamma Normal UnitUniform
ContinuousBernoulli Exponential Normal UnitUniform
Exponential Gamma Gumbel Normal
Gamma Exponential Gumbel Normal
Gumbel Normal
Laplace Normal
Normal Gumbel Laplace
Pareto Exponential Gamma Normal
Uniform Beta ContinuousBernoulli Exponential Gamma Gumbel Normal Pareto
"""
INFINITE = """
Beta Pareto
ContinuousBernoulli Pareto
Exponential Beta ContinuousBernoulli Pareto Uniform
Gamma Beta ContinuousBernoulli Pareto Uniform
Gumbel Beta ContinuousBernoulli Exponential Gamma Pareto Uniform
Laplace Beta ContinuousBernoulli Exponential Gamma Pareto Uniform
Normal Beta ContinuousBernoulli Exponential Gamma Pareto Uniform
Pareto Beta ContinuousBernoulli Uniform
Poisson Bernoulli Binomial
"""
MORE = """
Gamma Laplace
ContinuousBernoulli Laplace
Gumbel Laplace
Pareto Laplace
Chi2 Gamma Exponential Normal
Gamma Chi2
Weibull Gamma Exponential Normal
LogNormal Gamma Weibull Normal Exponential
Exponential Laplace Weibull Chi2
Uniform Laplace Weibull HalfNormal
HalfNormal Gamma Normal Weibull
StudentT Normal
Logistic Normal Laplace Gumbel
"""


def listed(table):
    for line in table.strip().splitlines():
        p, *qs = line.split()
        yield from ((p, q) for q in qs)


def test_pairs_of_other_libraries():
    """Finite where theirs are; what they are is tested by integrals, with the families."""
    finite, infinite = list(listed(FINITE)), list(listed(INFINITE))
    assert (len(finite), len(infinite)) == (29, 33)
    for p, q in [*finite, *listed(MORE)]:
        value = jd.kl(MEMBERS[p], MEMBERS[q])
        assert 0 < value < jnp.inf, (p, q)
    for p, q in infinite:
        assert jd.kl(MEMBERS[p], MEMBERS[q]) == jnp.inf, (p, q)


UNIT = jd.Uniform(0.0, 1.0)
SAME = [
    (jd.Exponential(2.0), jd.Weibull(0.5, 1.0)),
    (jd.Exponential(2.0), jd.Gamma(1.0, 2.0)),
    (jd.Chi2(3.0), jd.Gamma(1.5, 0.5)),
    (jd.Chi2(2.0), jd.Exponential(0.5)),
    (jd.HalfNormal(1.0), jd.Chi(1.0)),
    (UNIT, jd.Beta(1.0, 1.0)),
    (UNIT, jd.ContinuousBernoulli(probs=0.5)),
    (jd.Bernoulli(probs=0.3), jd.Binomial(1.0, 0.3)),
    (jd.Geometric(0.3), jd.NegativeBinomial(1.0, 0.3)),
]


def test_families_that_share_members():
    pairs = [pair for one, other in SAME for pair in ((one, other), (other, one))]
    pairs.append((jd.Kumaraswamy(1.0, 1.0), UNIT))
    pairs = jax.tree.map(jnp.float32, pairs)
    assert not np.any(jax.jit(lambda pairs: [jd.kl(p, q) for p, q in pairs])(pairs))


@pytest.mark.exhaustive
def test_beside_the_members_that_families_share():
    """In float32, against cross-entropies less entropies in double precision."""
    apart = 1 + 2.0**-11
    pairs = [
        (jd.Exponential(2.0), jd.Weibull(0.5 * apart, apart)),
        (jd.Weibull(0.5, 1 / apart), jd.Exponential(2.0)),
        (UNIT, jd.Beta(1.0, apart)),
        (jd.Uniform(0.0, 1 - 2.0**-9), jd.Beta(apart, 1.0)),
        (jd.Beta(apart, 1 - 2.0**-10), UNIT),
        (jd.Kumaraswamy(apart, apart), jd.Uniform(0.0, apart)),
        (jd.Uniform(2.0**-8, 1.0), jd.ContinuousBernoulli(logits=2.0**-6)),
        (jd.ContinuousBernoulli(logits=2.0**-6), UNIT),
        (jd.Uniform(0.2, 0.6), jd.Beta(3.0, 0.4)),
    ]
    single = jax.tree.map(jnp.float32, pairs)
    exactly = jax.tree.map(jnp.float64, single)  # as they are once rounded
    got = jax.jit(lambda pairs: [jd.kl(p, q) for p, q in pairs])(single)
    wants = jax.jit(lambda pairs: [jd.cross_entropy(p, q) - jd.entropy(p) for p, q in pairs])
    for pair, value, want in zip(single, got, wants(exactly), strict=True):
        assert value.dtype == np.float32 and float(value) == pytest.approx(float(want), rel=2e-6), (
            pair
        )
    # Squares have gamma distributions; the counts of one trial are two classes.
    half, chi, p, q = (
        jd.HalfNormal(1.3),
        jd.Chi(2.2),
        jd.Bernoulli(probs=0.3),
        jd.Binomial(3.0, 0.4),
    )
    pairs = [(half, chi), (chi, half), (p, q)]
    got = jax.jit(lambda pairs: [jd.kl(p, q) for p, q in pairs])(jax.tree.map(jnp.float64, pairs))
    shapes = [(mp.mpf(0.5), 0.5 / mp.mpf(1.3) ** 2), (mp.mpf(2.2) / 2, mp.mpf(0.5))]
    mass = np.array([0.7, 0.3])
    wants = [kl_gamma(*shapes), kl_gamma(*shapes[::-1])]
    wants.append(np.sum(mass * np.log(mass / scipy.stats.binom.pmf([0, 1], 3, 0.4))))
    np.testing.assert_allclose(got, np.array(wants, float), rtol=1e-13)
    assert jd.kl(q, p) == jnp.inf
    outside = jd.Uniform(-0.1, 0.5), jd.Beta(1.1, 1.0)
    assert jd.kl(*outside) == jnp.inf and jd.kl(jd.Beta(1.1, 1.0), jd.Uniform(0.1, 2.0)) == jnp.inf


def test_supports_that_are_arrays():
    q = jd.Uniform(jnp.array([0.0, -1.0]), jnp.array([1.0, 0.5]))
    assert jd.kl(jd.Beta(1.0, 1.0), q).tolist() == pytest.approx([0.0, np.inf], abs=1e-15)
    p = jd.Uniform(jnp.array([-0.5, 0.5]), 1.0)
    slope = jax.grad(lambda rate: jd.kl(p, jd.Exponential(rate))[1])(1.0)
    assert jd.kl(p, jd.Exponential(1.0))[0] == jnp.inf and slope == pytest.approx(-0.25)
    below = jd.Shifted(jd.Exponential(1.0), -1.0)
    assert jd.cross_entropy(below, jd.Exponential(1.0)) == jnp.inf
    assert jd.cross_entropy(jd.Normal(0.0, 1.0), jd.Exponential(1.0)) == jnp.inf
    assert jd.renyi(jd.Normal(0.0, 1.0), jd.Exponential(1.0), 2.0) == jnp.inf
    assert jd.jeffreys(jd.Exponential(1.0), jd.Normal(0.0, 1.0)) == jnp.inf


def test_integers_have_no_quadrature_and_no_pathwise_draws():
    p, q = jd.Poisson(2.0), jd.Poisson(3.0)
    with pytest.raises(TypeError, match=r"lives on the integers.*MonteCarlo"):
        jd.kl(p, q, estimator=jd.Quadrature())
    with pytest.raises(TypeError, match=r"gradient=Score\(\)"):
        jd.kl(p, q, estimator=jd.MonteCarlo(10), key=jr.key(0))
    with pytest.raises(ValueError, match="no outcomes in common"):
        jd.kl(p, jd.Normal(0.0, 1.0), estimator=jd.Quadrature())
    with pytest.raises(jd.NoClosedFormError, match="no common outcomes"):
        jd.kl(p, jd.Normal(0.0, 1.0))
    assert jd.kl(jd.PointMass(3.0), p) == -p.log_prob(3.0)
    with pytest.raises(jd.NoClosedFormError, match="no density"):
        jd.kl(jd.PointMass(3.0), jd.Normal(0.0, 1.0))
    estimator = jd.MonteCarlo(20_000, gradient=jd.Score())
    got = jd.estimate(jd.KL(), p, q, estimator, key=jr.key(0))
    assert abs(got.value - jd.kl(p, q)) < 5 * got.standard_error
    mixture = jd.Mixture(jd.probs([0.4, 0.6]), jd.Poisson(jnp.array([1.0, 4.0])))
    assert mixture.integer and mixture.mean == pytest.approx(2.8)
    assert mixture.variance == pytest.approx(2.8 + 0.24 * 9)


def test_logarithms_of_gamma_distributions():
    p, q = (jd.Transformed(jd.Gamma(2.5, rate), jd.Log()) for rate in (1.0, 1.5))
    x = np.linspace(-5.0, 2.0, 8)
    want = scipy.stats.loggamma.logpdf(x, 2.5)
    np.testing.assert_allclose(p.log_prob(x), want, rtol=1e-12)
    assert jd.kl(p, q) == jd.kl(p.base, q.base) and p.support == (-np.inf, np.inf)


def test_closed_forms_that_hold_for_equal_counts_only():
    one, other = jd.NegativeBinomial(2.0, 0.4), jd.NegativeBinomial(3.0, 0.4)
    with pytest.raises(jd.NoClosedFormError):
        jd.kl(one, other)
    assert jnp.isnan(jax.jit(jd.kl)(one, other))
    assert jd.kl(jd.Binomial(5, 0.3), jd.Binomial(4, 0.3)) == jnp.inf
    with pytest.raises(jd.NoClosedFormError):
        jd.kl(jd.Binomial(4, 0.3), jd.Binomial(5, 0.3))
    with pytest.raises(jd.NoClosedFormError):
        jd.kl(jd.Kumaraswamy(1.0, 2.0), jd.Kumaraswamy(2.0, 2.0))


@pytest.mark.exhaustive
def test_transforms_shapes_and_dtypes():
    a, b = jnp.asarray(np.random.default_rng(0).uniform(0.5, 2, (2, 4, 3)))
    for family in (jd.Gamma, jd.Weibull):
        p, q = family(a, b), family(b[0], 1.0)
        want = jax.jit(jd.kl)(p, q)
        assert want.shape == (4, 3)
        each = jax.vmap(jax.vmap(lambda a, b, c, f=family: jd.kl(f(a, b), f(c, 1.0))))
        np.testing.assert_allclose(each(a, b, jnp.broadcast_to(b[0], (4, 3))), want, rtol=1e-12)
        half = jax.eval_shape(jd.kl, family(a.astype(jnp.bfloat16), 1.0), family(1.0, 1.0))
        assert half.dtype == jnp.float32 and half.shape == (4, 3)
    assert jd.kl(jd.Gamma(1, 1), jd.Gamma(2, 1)).dtype == jnp.float64
    wide = jd.Independent(jd.Gamma(a, b), 1)
    assert wide.batch_shape == (4,) and wide.mean.shape == (4, 3)
    np.testing.assert_allclose(jd.entropy(wide), jd.entropy(jd.Gamma(a, b)).sum(-1))


def test_values_are_checked_when_asked():
    def value(rate):
        return jd.kl(jd.Gamma(1.0, rate), jd.Gamma(1.0, 1.0))

    assert jd.checked(value)(2.0) > 0
    with pytest.raises(Exception, match="Gamma: rate must be positive"):
        jd.checked(value)(-1.0)


@pytest.mark.parametrize(
    ("target", "start"),
    [
        (jd.Gamma(2.0, 1.5), jd.Gamma(1.0, 1.0)),
    ],
)
def test_fit(target, start):
    fit = jd.fit(jd.forward_kl(target), start)
    assert fit.value < 1e-6 or type(target) is not type(start)
    got = jax.tree.leaves(fit.distribution)
    if type(target) is type(start):
        np.testing.assert_allclose(got, jax.tree.leaves(target), rtol=1e-3)
    free, rebuild = jd.unconstrain(start)
    assert jax.tree.leaves(rebuild(free)) == jax.tree.leaves(start)


def test_every_pair_says_something():
    """A number, or that there is no closed form: never another error."""
    for p, q in itertools.product(MEMBERS.values(), repeat=2):
        try:
            value = jd.kl(p, q)
        except jd.NoClosedFormError:
            continue
        assert value >= 0, (p, q)
