"""Fits to log-densities, by what is known of their targets: moments, evidence, other modes."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

import jaxdiv as jd
from jaxdiv._estimator.quasi import normal_draws
from jaxdiv._fit.adaptive import adapt, beside
from jaxdiv._fit.draws import residuals
from jaxdiv._fit.modes import Start, _directions, cover
from jaxdiv._fit.steps import is_settled, move, polish, settle


def assessed(found: jd.Fit) -> jd.Assessment:
    assert found.assessment is not None
    return found.assessment


def gaussian(dim: int, condition: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    widths = np.logspace(0, np.log10(condition), dim)
    mean = rng.normal(size=dim)
    return mean, basis @ np.diag(widths) @ basis.T, basis @ np.diag(1 / widths) @ basis.T


def gaussian_kl(loc, scale, mean, precision) -> float:
    """Textbook KL(N(loc, scale scale^T) | N(mean, precision^-1)), in NumPy."""
    loc, scale = np.asarray(loc), np.asarray(scale)
    product = scale.T @ precision @ scale
    off = loc - mean
    values = np.linalg.eigvalsh(product)
    return 0.5 * float(np.sum(values - 1 - np.log(values)) + off @ precision @ off)


def test_three_steps_are_exact_on_an_ill_conditioned_gaussian():
    mean, _, precision = gaussian(100, 1e8)

    def log_density(x):
        return -0.5 * (x - mean) @ precision @ (x - mean)

    @jax.jit
    def steps(z):
        loc, scale = jnp.zeros(100), jnp.eye(100)
        for _ in range(3):
            loc, scale = move(loc, scale, residuals(log_density, loc, scale, z, False), 1.0, False)
        return loc, scale

    loc, scale = steps(normal_draws(400, 100, jr.key(0)))
    assert gaussian_kl(loc, scale, mean, precision) <= 1e-10


def two_modes(x, scale):
    """0.7 N(-2, 0.5^2) + 0.3 N(2, 0.5^2) of the first coordinate; the second is of Gumbel."""
    first = jnp.logaddexp(
        jnp.log(0.7) - 2 * ((x[0] / scale + 2) ** 2), jnp.log(0.3) - 2 * ((x[0] / scale - 2) ** 2)
    )
    return first - x[1] - jnp.exp(-x[1])


def test_forward_kl_has_the_moments_of_the_target():
    scale = 1e-3
    target = jd.LogDensity(two_modes, (scale,), event_shape=(2,))
    found = jd.fit(jd.forward_kl(target), starts=6, key=jr.key(0))
    q = found.distribution
    mean = np.array([-0.8 * scale, np.euler_gamma])
    variance = np.array([(0.25 + 4 * 0.84) * scale**2, np.pi**2 / 6])
    sd = np.sqrt(variance)
    a = assessed(found)
    assert np.all(abs(q.mean - mean) < 4 * a.weighted.mean_error)
    assert np.all(abs(np.sqrt(q.variance) - sd) < 4 * a.weighted.sd_error)
    assert np.max(a.weighted.mean_error / sd) < 0.03 and np.max(a.weighted.sd_error / sd) < 0.03
    # log Z = log(scale sqrt(pi / 2)): of the first coordinate; the second is normalised.
    log_z = np.log(scale * np.sqrt(np.pi / 2))
    assert abs(a.log_evidence - log_z) < 4 * a.log_evidence_error + 1e-3
    assert a.elbo <= log_z <= a.upper
    assert found.result == jd.RESULTS.converged


def test_both_modes_are_found_and_only_one_is_fitted():
    target = jd.LogDensity(two_modes, (1.0,), event_shape=(2,))
    found = jd.fit(jd.reverse_kl(target), starts=6, key=jr.key(0))
    places = np.sort(np.asarray(found.optima.loc[np.asarray(found.is_distinct), 0]))
    np.testing.assert_allclose(places, [-2, 2], atol=0.02)
    assert abs(found.distribution.loc[0] + 2) < 0.02  # that of more mass
    # Its own draws know nothing of the other; the weighted ones do.
    a = assessed(found)
    assert a.verdict == jd.VERDICT.usable_weighted
    assert abs(a.weighted.mean[0] + 0.8) < 0.05 * np.sqrt(3.61)
    draws = found.samples(jr.key(1), 4000, weighted=True)
    assert abs(jnp.mean(draws[:, 0] > 0) - 0.3) < 0.04


@pytest.fixture
def posterior():
    spaces = {"loc": jd.Real(), "scale": jd.Positive()}
    return jd.Posterior(lambda x: -(x["loc"] ** 2) - x["scale"], spaces)


def test_weights_meet_the_moments_of_t_and_of_missing_modes():
    """Draws adapt to t distributions, and to a mode that holds no Gaussian of their own."""
    dim = 3

    def log_p(x):
        far = jnp.array([4.0, 0.0, 0.0])
        parts = [-5.0 * jnp.log1p(jnp.sum((x - at) ** 2) / 7) for at in (0 * far, far)]
        return jnp.logaddexp(parts[0], parts[1] + jnp.log(0.25))

    @jax.jit
    def run(key):
        z = normal_draws(512, dim, key)[None]
        start = beside(jnp.zeros((1, dim)), jnp.eye(dim)[None], jnp.ones(1))
        return adapt(log_p, start, key, 4, (z, jax.vmap(log_p)(z[0])[None]))[0]

    found = run(jr.key(3))
    assert abs(found.weights @ found.draws[:, 0] - 0.8) < 0.15
    variance = 7 / 5 + 16 * 0.8 * 0.2
    deviations = found.draws[:, 0] - 0.8
    assert abs(found.weights @ deviations**2 / variance - 1) < 0.15
    # Of the t density at its peak: gamma(5) / (gamma(3.5) (7 pi)^(3/2)).
    log_z = np.log(1.25) - math.lgamma(5) + math.lgamma(3.5) + 1.5 * math.log(7 * math.pi)
    assert abs(found.log_evidence - log_z) < 4 * found.log_evidence_error


def test_bad_log_densities_are_survived_and_counted():
    def hole(x):
        return jnp.where(x[0] > 3.0, jnp.nan, -0.5 * jnp.sum(x**2))

    def rest(z):
        return settle(hole, jnp.zeros(2), jnp.eye(2), z, False, 30)

    ended = jax.jit(rest)(normal_draws(1024, 2, jr.key(0)))
    assert ended.num_bad > 0 and is_settled(ended.now, False)
    np.testing.assert_allclose(ended.loc, 0, atol=0.1)


def test_errors_say_what_to_do(posterior):
    with pytest.raises(ValueError, match="key"):
        jd.fit(jd.reverse_kl(posterior))
    with pytest.raises(ValueError, match="2 free coordinates"):
        family = jd.MultivariateNormal(jnp.zeros(3), jnp.eye(3))
        jd.fit(jd.reverse_kl(posterior), family, key=jr.key(0))
    with pytest.raises(ValueError, match="event_shape"):
        jd.fit(jd.reverse_kl(jd.LogDensity(lambda x: -x * x)), key=jr.key(0))
    with pytest.raises(ValueError, match="serves reverse_kl"):
        jd.fit(jd.forward_kl(posterior), optim=jd.NaturalGradient(), key=jr.key(0))
    with pytest.raises(ValueError, match="`num_steps` and `record` are of a descent"):
        jd.fit(jd.reverse_kl(posterior), key=jr.key(0), num_steps=10)
    with pytest.raises(TypeError, match="NaturalGradient"):
        optim = jd.NaturalGradient()
        jd.fit(jd.reverse_kl(posterior), jd.LowRank(1), optim, key=jr.key(0))


# The parts of a fit


@pytest.mark.parametrize("num, dim", [(0, 3), (1, 1), (2, 5), (5, 2), (7, 3)])
def test_other_starts_lie_at_right_angles(num, dim):
    found = np.asarray(_directions(num, dim, jr.key(0), jnp.float64))
    assert found.shape == (num, dim)
    for first in range(0, num, dim):
        some = found[first : first + dim]
        np.testing.assert_allclose(some @ some.T, np.eye(len(some)), atol=1e-14)


RNG = np.random.default_rng(0)
ENDS = Start(
    loc=jnp.array(RNG.normal(size=(4, 3))),
    scale=jnp.array(RNG.normal(size=(4, 3, 3))),
    value=jnp.array([1.0, 0.5, 2.0, 0.0]),
    end=jnp.array(RNG.normal(size=(4, 3))),
    num_evaluations=jnp.arange(4, dtype=jnp.int32),
)


def test_one_gaussian_covers_all_modes():
    """It has the moments of their mixture, by masses e^-value, and takes the last free place."""
    for repeated, place in ([0, 1, 0, 1], 3), ([0, 0, 1, 0], 2), ([1, 1, 0, 0], 1):
        starts, now = cover(ENDS, jnp.array(repeated, bool))
        kept = [i for i in range(4) if i != place]
        there = [i for i in range(4) if not repeated[i]]
        masses = np.exp(-np.asarray(ENDS.value)[there])
        masses /= masses.sum()
        locs, scales = np.asarray(ENDS.loc)[there], np.asarray(ENDS.scale)[there]
        mean = masses @ locs
        covariance = sum(
            m * (a @ a.T + np.outer(x - mean, x - mean))
            for m, x, a in zip(masses, locs, scales, strict=True)
        )
        np.testing.assert_allclose(starts.loc[place], mean, rtol=1e-13, atol=1e-15)
        tril = np.asarray(starts.scale[place])
        np.testing.assert_allclose(tril @ tril.T, covariance, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(now, [bool(repeated[i]) and i != place for i in range(4)])
        for name in ("loc", "scale"):
            before, after = np.asarray(getattr(ENDS, name)), np.asarray(getattr(starts, name))
            np.testing.assert_array_equal(after[kept], before[kept])


@pytest.mark.parametrize("repeated", [[0, 0, 0, 0], [0, 1, 1, 1], [1, 1, 1, 1]])
def test_there_may_be_no_place_or_nothing_to_cover(repeated):
    starts, now = cover(ENDS, jnp.array(repeated, bool))
    np.testing.assert_array_equal(now, np.array(repeated, bool))
    jax.tree.map(np.testing.assert_array_equal, starts, ENDS)


def test_a_slope_without_end_drifts_and_a_gaussian_does_not():
    @jax.jit
    def drifts(slope):
        def log_density(x):
            return -0.5 * (x[0] - 2) ** 2 - 0.5 * (1 - slope) * x[1] ** 2 + slope * x[1]

        z = normal_draws(64, 2, jr.key(0))
        state = settle(log_density, jnp.zeros(2), jnp.eye(2), z, False, 3)
        settings = {"diagonal": False, "num_draws": 64, "tolerance": None, "num_judged": 512}
        return polish(log_density, state, jr.key(1), max_evaluations=2000, **settings).drifts

    assert drifts(1.0) and not drifts(0.0)


def test_an_algorithm_takes_the_tolerance_and_quantiles_are_those_of_the_draws():
    """A standard normal coordinate beside one of Gumbel, the first shifted in a second fit."""

    def log_density(x, loc):
        return -0.5 * (x[0] - loc) ** 2 - x[1] - jnp.exp(-x[1])

    @jax.jit
    @jax.vmap
    def fitted(loc, key):
        target = jd.LogDensity(log_density, (loc,), event_shape=(2,))
        optim = jd.NaturalGradient(max_evaluations=40_000)
        return jd.fit(jd.reverse_kl(target), optim=optim, starts=1, key=key, tolerance=1e-4)

    found = fitted(jnp.array([0.0, 3.0]), jr.split(jr.key(0), 2))
    assert found.values.shape == (2, 1) and np.all(found.certificate.is_optimum)
    assert np.all(found.certificate.decrement <= 1e-4)  # without it, 8e-4 are left

    levels = np.array([0.05, 0.5, 0.95])
    normal, gumbel = scipy.stats.norm.ppf(levels), scipy.stats.gumbel_r.ppf(levels)
    exact = np.stack([np.stack([normal + loc, gumbel], 1) for loc in (0, 3)])
    a = assessed(found)
    got, error = np.asarray(a.weighted.quantiles), np.asarray(a.weighted.quantiles_error)
    assert got.shape == (2, 3, 2) and np.all(error < 0.15)
    assert np.all(abs(got - exact) < 4 * error)
    own, error = np.asarray(a.fitted.quantiles), np.asarray(a.fitted.quantiles_error)
    assert np.all(abs(own - exact)[..., 0] < 4 * error[..., 0])
    for i in range(2):
        draws, weights = np.asarray(a.draws[i]), np.asarray(a.weights[i])
        for x, row in zip(draws.T, got[i].T, strict=True):
            low, high = (
                np.quantile(x, levels + off, weights=weights, method="inverted_cdf")
                for off in (-weights.max(), weights.max())
            )
            assert np.all((low <= row) & (row <= high))
        equal = np.quantile(a.fitted.draws[i], levels, axis=0, method="hazen")
        np.testing.assert_allclose(own[i], equal, rtol=1e-11, atol=1e-13)
