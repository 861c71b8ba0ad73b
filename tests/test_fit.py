"""Fits against exact answers, and what a fit promises besides: honest reasons, one trace, vmap."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
import scipy.stats

import jaxdiv as jd
from jaxdiv._fit import program
from jaxdiv._fit.closed_form import closed_form
from jaxdiv._fit.constraint import as_parameters
from jaxdiv._fit.newton import eigh, second_order
from jaxdiv._fit.starts import landscape_of
from jaxdiv._fit.turns import count_lanes, in_turns

from . import exact_targets as exact

NEWTON = jd.newton()


def operand(name, dtype=jnp.float64):
    target = exact.TARGETS[name]
    weights = jnp.array([target.weight, 1 - target.weight], dtype)
    modes = jnp.array([-target.mode, target.mode], dtype)
    if len(target.mode) == 1:
        scale = jnp.array(target.covariance[0, 0] ** 0.5, dtype)
        return jd.Mixture(jd.probs(weights), jd.Normal(modes[:, 0], scale))
    tril = jnp.array(np.linalg.cholesky(target.covariance), dtype)
    return jd.Mixture(jd.probs(weights), jd.MultivariateNormal(modes, tril))


def objective(direction, target, **kwargs):
    return {"forward": jd.forward_kl, "reverse": jd.reverse_kl}[direction](target, **kwargs)


def reasons(found):
    codes = [jax.tree.map(lambda x, i=i: x[i], found.result) for i in range(len(found.values))]
    return [jd.RESULTS[code] for code in codes]


def is_(found, result):
    return np.array([reason == jd.RESULTS[result] for reason in reasons(found)])


def distinct(found):
    return np.asarray(found.values)[np.asarray(found.is_distinct)]


class Well(eqx.Module):
    """Minima of 1 at loc = -centre and centre, scale 1."""

    centre: jax.Array

    def __call__(self, family, key):
        well = ((family.loc / self.centre) ** 2 - 1) ** 2
        return well + family.scale - jnp.log(family.scale)


# The exact answers


@pytest.mark.parametrize("case", exact.KNOWN, ids="-".join)
def test_reference_agrees_with_the_published_values(case):
    name, direction, shape = case
    target = exact.TARGETS[name]
    for published, (mean, tril) in zip(exact.KNOWN[case], exact.near(*case), strict=True):
        value, _, _ = exact.optimum(target, direction, shape, mean, tril)
        np.testing.assert_allclose(value, published, atol=1e-11)


@functools.cache
def fits_from_random_points(direction, dtype):
    """Compiled once for both targets: 16 starts from each of a batch of starting points."""

    def one(target, loc, key):
        family = jd.Normal(loc, jnp.ones((), dtype))
        return jd.fit(objective(direction, target), family, starts=16, key=key)

    return jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))


@pytest.mark.parametrize(
    "dtype, budget",
    [(jnp.float64, 1e-9), pytest.param(jnp.float32, 2e-6, marks=pytest.mark.exhaustive)],
)
@pytest.mark.parametrize("direction", ["reverse", "forward"])
@pytest.mark.parametrize("name", ["sym1d", "asym1d"])
def test_global_optimum_from_random_points(name, direction, dtype, budget):
    locs = 2 * jr.normal(jr.key(1), (8,), dtype)
    found = fits_from_random_points(direction, dtype)(
        operand(name, dtype), locs, jr.split(jr.key(2), 8)
    )
    known = exact.KNOWN[name, direction, "full"]
    np.testing.assert_allclose(found.value, known[0], rtol=0, atol=budget)
    assert jnp.all(found.certificate.is_optimum)
    for values in np.asarray(found.values):
        assert np.all(np.min(abs(values[:, None] - np.array(known)), 1) < budget)


@pytest.mark.parametrize("direction", ["reverse", "forward"])
def test_wild_starts_invent_nothing(direction):
    key_loc, key_scale = jr.split(jr.key(3))
    starts = jd.Normal(5 * jr.normal(key_loc, (1024,)), jnp.exp(2 * jr.normal(key_scale, (1024,))))
    for name in ["sym1d", "asym1d"]:
        family = jd.Normal(0.0, 1.0)
        found = jd.fit(objective(direction, operand(name)), family, starts=starts)
        known = np.array(exact.KNOWN[name, direction, "full"])
        np.testing.assert_allclose(distinct(found), known, atol=1e-9)
        optima = np.asarray(found.certificate.is_optimum)
        values = np.asarray(found.values)[optima]
        assert np.all(np.min(abs(values[:, None] - known), 1) < 1e-9)
        assert np.mean(optima) > 0.99
        assert np.all(np.asarray(found.optima.scale)[optima] > 0.4)


def test_minor_optimum_is_listed_and_flagged_as_local():
    target = exact.TARGETS["asym1d"]
    found = jd.fit(jd.reverse_kl(operand("asym1d")), jd.Normal(0.0, 1.0), starts=16, key=jr.key(0))
    np.testing.assert_allclose(distinct(found), exact.KNOWN["asym1d", "reverse", "full"], atol=1e-9)
    near = exact.near("asym1d", "reverse")
    for i, (mean, tril) in zip(np.flatnonzero(found.is_distinct), near, strict=True):
        _, mean, tril = exact.optimum(target, "reverse", "full", mean, tril)
        np.testing.assert_allclose(found.optima.loc[i], mean[0], atol=2e-7)
        np.testing.assert_allclose(found.optima.scale[i], tril[0, 0], atol=2e-7)
    numbers = np.asarray(found.cluster)
    assert set(numbers) == {0, 1}
    assert np.all(np.diff(numbers) >= 0)
    assert found.value == found.values[0]
    assert found.quantity.startswith("KL(family, target)")


@pytest.mark.parametrize("case", [case for case in exact.KNOWN if case[0] == "bi2d"], ids="-".join)
def test_two_dimensions(case):
    name, direction, shape = case
    target, start = exact.TARGETS[name], jnp.array([2.0, -1.0])
    family = jd.MultivariateNormal(start, jnp.eye(2))
    if shape == "diagonal":
        family = jd.Independent(jd.Normal(start, jnp.ones(2)), 1)
    found = jd.fit(objective(direction, operand(name)), family, starts=3, key=jr.key(0))
    np.testing.assert_allclose(distinct(found), exact.KNOWN[case], atol=1e-9)
    mean, tril = exact.near(*case)[0]
    _, mean, tril = exact.optimum(target, direction, shape, mean, tril)
    loc, factor = gaussian(found.distribution)
    np.testing.assert_allclose(loc, mean, atol=1e-6)
    np.testing.assert_allclose(factor, tril, atol=1e-6)


def gaussian(member) -> Any:
    """Mean and factor of either family."""
    if isinstance(member, jd.MultivariateNormal):
        return member.loc, member.scale_tril
    return member.base.loc, jnp.diag(member.base.scale)


# Closed forms of forward KL


RNG = np.random.default_rng(0)
SEEN = RNG.normal(size=60) * 1e-3 + 1e4
LOG_WEIGHTS = RNG.normal(size=60)
SHARES = np.exp(LOG_WEIGHTS) / np.sum(np.exp(LOG_WEIGHTS))
COUNTS = RNG.poisson(3.0, 60)
CLOUD = RNG.normal(size=(60, 3)) @ RNG.normal(size=(3, 3)) * [1e-6, 1.0, 1e4] + [1e-5, 2.0, 0.0]
FULL = jd.MultivariateNormal(jnp.zeros(3), jnp.eye(3))
STANDARD = jd.Normal(0.0, 1.0)


def at_once(target, family) -> Any:
    objective, family = jd.forward_kl(target), as_parameters(family)
    return closed_form(objective, family, objective.plan(family))


def weighted(x, log_weights: Any = LOG_WEIGHTS):
    return jd.samples(jnp.array(x), log_weights=jnp.array(log_weights))


def moments(x, shares):
    """In the highest precision that NumPy has."""
    x, shares = x.astype(np.longdouble), shares.astype(np.longdouble)
    mean = shares @ x
    return [mean, np.sqrt(shares @ (x - mean) ** 2)]


SAME = np.full(60, 1 / 60)


@pytest.mark.parametrize(
    "target, family, want",
    [
        (jd.samples(jnp.array(SEEN)), STANDARD, moments(SEEN, SAME)),
        (weighted(SEEN), STANDARD, moments(SEEN, SHARES)),
        (weighted([1.0, jnp.inf, 2.0], [0.0, -jnp.inf, 0.0]), STANDARD, [1.5, 0.5]),
        (operand("asym1d"), STANDARD, [-0.8, 3.61**0.5]),  # FITTING.md
        (jd.StudentT(5.0, 3.0, 2.0), STANDARD, [3.0, 2 * (5 / 3) ** 0.5]),
        (jd.samples(jnp.array(COUNTS)), jd.Poisson(1.0), [COUNTS.mean()]),
        (weighted(COUNTS), jd.Geometric(0.5), [1 / (1 + SHARES @ COUNTS)]),
        (jd.Gamma(3.0, 2.0), jd.Exponential(1.0), [2 / 3]),
        (
            jd.samples(jnp.array(abs(SEEN - 1e4))),
            jd.HalfNormal(1.0),
            scipy.stats.halfnorm.fit(abs(SEEN - 1e4), floc=0)[1:],
        ),
        (jd.probs([0.2, 0.8]), jd.Bernoulli(logits=0.0), [np.log(4.0)]),
        (jd.Bernoulli(logits=-50.0), jd.Bernoulli(probs=0.5), [np.exp(-50.0)]),
        (jd.samples(jnp.array(CLOUD)), FULL, [CLOUD.mean(0), np.cov(CLOUD.T, bias=True)]),
        (
            weighted(CLOUD),
            jd.MultivariateNormal(jnp.zeros(3), covariance_matrix=jnp.eye(3)),
            [SHARES @ CLOUD, np.cov(CLOUD.T, bias=True, aweights=SHARES)],
        ),
        (
            operand("bi2d"),
            jd.MultivariateNormal(jnp.zeros(2), jnp.eye(2)),
            [np.array([-0.3, -0.2]), np.array([[2.66, 1.64], [1.64, 1.26]])],  # FITTING.md
        ),
        (
            operand("bi2d"),
            jd.Independent(jd.Normal(jnp.zeros(2), jnp.ones(2)), 1),
            [[-0.3, -0.2], [2.66**0.5, 1.26**0.5]],
        ),
    ],
)
def test_the_member_with_the_moments_of_the_target(target, family, want):
    found = at_once(target, family)
    assert type(found) is type(family)
    if isinstance(found, jd.MultivariateNormal):
        mean, covariance = want
        sd = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose((found.loc - mean) / sd, 0, atol=1e-14)
        np.testing.assert_allclose(
            found.covariance() / np.outer(sd, sd), covariance / np.outer(sd, sd), atol=1e-14
        )
    else:
        for got, exact in zip(jax.tree.leaves(found), want, strict=True):
            np.testing.assert_allclose(got, np.array(exact, float), rtol=2e-15)


def test_what_has_no_closed_form_or_no_optimum_is_left_alone():
    tied = jd.Independent(jd.Normal(jnp.zeros(3), 1.0), 1)
    cloud = jd.samples(jnp.array(CLOUD))
    assert at_once(cloud, tied) is None
    assert at_once(jd.samples(jnp.array(COUNTS)), jd.NegativeBinomial(2.0, 0.5)) is None
    assert at_once(jd.samples(jnp.array(SEEN)), jd.Laplace(0.0, 1.0)) is None
    assert at_once(jd.Normal(1.0, 1.0), jd.Exponential(1.0)) is None  # infinite for every member
    assert at_once(jd.LogDensity(lambda x: -x * x), STANDARD) is None
    # Nor where all observations are one, or on a line.
    for value in (0.1, 1e5 / 3):
        np.testing.assert_array_equal(
            jax.tree.leaves(at_once(jd.samples(jnp.full(7, value)), STANDARD)), [0.0, 1.0]
        )
    line = jnp.array(CLOUD).at[:, 2].set(CLOUD[:, :2] @ np.array([1e6, 3.0]))
    np.testing.assert_array_equal(at_once(jd.samples(line), FULL).loc, FULL.loc)


def test_a_fit_in_closed_form_is_judged_and_says_so():
    @jax.jit
    def fitted(x):
        target = jd.samples(x, log_weights=jnp.array(LOG_WEIGHTS, x.dtype))
        family = jax.tree.map(lambda leaf: jnp.asarray(leaf, x.dtype), jd.Normal(0.0, 1.0))
        both = [jd.fit(jd.forward_kl(target), family, optim) for optim in (None, NEWTON)]
        slope = jax.jacrev(
            lambda x: jd.fit(jd.forward_kl(jd.samples(x)), family).distribution.scale
        )
        return both, slope(x)

    x = jnp.array(1e3 * (SEEN - 1e4) + 20, jnp.float32)
    x = jnp.stack([x, x.at[0].add(5.0)])
    (direct, descended), slopes = jax.vmap(fitted)(x)
    assert direct.quantity.endswith("in closed form: the target's moments")
    assert "closed" not in descended.quantity
    assert np.all(direct.num_steps == 1) and np.all(direct.num_evaluations == 1)
    assert np.all(direct.certificate.is_optimum) and np.all(descended.num_steps > 2)
    for row, loc, scale, slope in zip(
        np.asarray(x, float),
        direct.distribution.loc,
        direct.distribution.scale,
        slopes,
        strict=True,
    ):
        mean, sd = moments(row, SHARES)
        np.testing.assert_allclose(loc, float(mean), rtol=1.5e-7)
        np.testing.assert_allclose(scale, float(sd), rtol=5e-7)
        want = (row - row.mean()) / (row.size * row.std())
        np.testing.assert_allclose(slope, want, atol=1e-5 * np.max(abs(want)))
    for ours, theirs in zip(
        *map(jax.tree.leaves, (direct.distribution, descended.distribution)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5)


@pytest.mark.parametrize(
    "kwargs", [{"num_steps": 50}, {"record": True}, {"starts": 2, "key": jr.key(0)}]
)
def test_a_fit_that_is_asked_for_its_way_descends(kwargs):
    def trace(**kwargs):
        return jax.eval_shape(
            lambda: jd.fit(jd.forward_kl(jd.Poisson(3.0)), jd.Poisson(1.0), **kwargs)
        )

    assert "closed" in trace().quantity and "closed" in trace(starts=1).quantity
    assert "closed" not in trace(**kwargs).quantity


# Clusters


def test_components_that_swap_are_one_optimum():
    key_left, key_right, key = jr.split(jr.key(4), 3)
    x = jnp.concatenate([0.3 * jr.normal(key_left, (60,)) - 2, jr.normal(key_right, (90,)) + 2])
    family = jd.Mixture(jd.logits([0.0, 0.0]), jd.Normal(jnp.array([-1.0, 1.0]), jnp.ones(2)))
    found = jd.fit(jd.forward_kl(jd.samples(x)), family, starts=8, key=key)
    best = found.cluster == 0
    components: Any = found.optima.components
    locs = np.sort(components.loc[best], axis=1)
    np.testing.assert_allclose(locs, locs[:1].repeat(len(locs), 0), atol=1e-7)
    assert len({tuple(np.argsort(loc)) for loc in components.loc[best]}) == 2
    assert found.quantity.startswith("CrossEntropy")


def test_units_do_not_matter():
    found = []
    for centre, unit in [(0.0, 1.0), (1e6, 1.0), (-3.0, 1e-7), (0.0, 1e9)]:
        modes = centre + unit * jnp.array([-2.0, 2.0])
        target = jd.Mixture(jd.probs([0.7, 0.3]), jd.Normal(modes, jnp.array(0.5 * unit, float)))
        fit = jd.fit(jd.reverse_kl(target), jd.Normal(0.0, 1.0), starts=16, key=jr.key(0))
        assert jnp.all(fit.certificate.is_optimum[:-1])  # the last is the family itself, far away
        found.append(distinct(fit))
    np.testing.assert_allclose(found, found[:1] * len(found), rtol=1e-8)


# Compilation and transformations


def test_new_data_of_the_same_shape_does_not_retrace():
    traces = []

    class Misfit(eqx.Module):
        data: jax.Array

        def __call__(self, family, key):
            traces.append(None)
            return jnp.mean(-family.log_prob(self.data))

    for seed in range(4):
        x = 3 + jr.normal(jr.key(seed), (50,))
        found = jd.fit(Misfit(x), jd.Normal(0.5 * seed, 1.0), NEWTON)
        np.testing.assert_allclose(found.distribution.loc, jnp.mean(x), rtol=1e-8)
        np.testing.assert_allclose(found.distribution.scale, jnp.std(x), rtol=1e-8)
    assert len(traces) == 1

    run: Any = program.run
    before = run._cache_size()
    for seed in range(3):
        x = 3 + jr.normal(jr.key(seed), (50,))
        jd.fit(jd.forward_kl(jd.samples(x)), jd.Normal(0.5 * seed, 1.0))
    assert run._cache_size() == before + 1


def test_vmap_is_a_loop_of_fits():
    def one(centre, key):
        return jd.fit(Well(centre), jd.Normal(0.0, 1.0), NEWTON, starts=3, key=key)

    centres, keys = jnp.linspace(0.5, 3.0, 40), jr.split(jr.key(0), 40)
    nested = jax.vmap(jax.vmap(one))(centres.reshape(2, 20), keys.reshape(2, 20))
    together = jax.tree.map(lambda x: x.reshape(40, *x.shape[2:]), nested)
    np.testing.assert_allclose(abs(together.optima.loc), centres[:, None] * jnp.ones(3), rtol=1e-8)
    for i in (0, 17, 39):
        alone = one(centres[i], keys[i])
        np.testing.assert_allclose(together.optima.loc[i], alone.optima.loc, rtol=1e-9)
        np.testing.assert_array_equal(together.cluster[i], alone.cluster)


def test_turns_cover_every_lane():
    def solve(shared, inputs):
        return shared * inputs, jnp.cumsum(jnp.ones_like(inputs))

    for lanes in (1, 3, 7, 100):
        out, _ = in_turns(solve, jnp.array(2.0), jnp.arange(7.0), 7, lanes)
        np.testing.assert_array_equal(out, 2 * jnp.arange(7.0))
        both = jax.vmap(lambda a, x, lanes=lanes: in_turns(solve, a, x, 7, lanes)[0])
        out = both(jnp.arange(5.0), jnp.ones((5, 7)))
        np.testing.assert_array_equal(out, jnp.arange(5.0)[:, None] * jnp.ones(7))
    assert count_lanes(lambda x: jnp.sum(jnp.outer(x, x)), jnp.ones(10**4)) == 1
    assert count_lanes(lambda x: jnp.sum(x), jnp.ones(10)) > 8


# Starts


def test_the_first_start_is_the_family_itself():
    family, well = jd.Normal(0.7, 1.3), Well(jnp.array(2.0))
    found = jd.fit(well, family, NEWTON, starts=4, key=jr.key(0), record=True)
    first = int(np.argmin(abs(np.asarray(found.losses[:, 0]) - well(family, None))))
    path: Any = found.path
    assert path.loc[first, 0] == 0.7
    assert path.scale[first, 0] == 1.3
    assert path.loc.shape == (4, found.losses.shape[1] + 1)
    for i, steps in enumerate(np.asarray(found.num_steps)):
        assert np.all(path.loc[i, steps:] == found.optima.loc[i])
        assert np.all(np.isfinite(found.losses[i, :steps]))
        assert np.all(np.isnan(found.losses[i, steps:]))


def test_a_stack_of_starts_shares_what_it_does_not_stack():
    stack = jd.Normal(jnp.array([-3.0, 0.4, 3.0]), 1.0)
    found = jd.fit(Well(jnp.array(2.0)), jd.Normal(0.0, 1.0), NEWTON, starts=stack)
    assert found.values.shape == (3,)
    assert len(distinct(found)) == 2


def test_starts_that_are_drawn_cover_the_target():
    target = jd.Mixture(jd.probs([0.5, 0.5]), jd.Normal(jnp.array([1e3, 2e3]), 10.0))
    family = jd.Mixture(jd.logits([0.0, 0.0]), jd.Normal(jnp.zeros(2), jnp.ones(2)))
    free, _ = jd.unconstrain(family)
    drawn = jd.Jitter(0.1).draw(family, free, landscape_of(target), 9, jr.key(0))
    np.testing.assert_array_equal(drawn.components.loc[0], 0.0)
    nearest = jnp.round(drawn.components.loc[1:] / 1e3)
    np.testing.assert_array_equal(jnp.sort(nearest, 1), jnp.array([[1.0, 2.0]] * 8))
    np.testing.assert_allclose(drawn.components.scale[1:], jnp.log(10.0), atol=2.0)


# Optimisers


class Quartic(eqx.Module):
    """Smooth, with a minimum of 0 at loc 1, scale 2."""

    centre: jax.Array

    def __call__(self, family, key):
        z = family.loc - self.centre
        return z**2 + z**4 + jnp.log(family.scale / 2) ** 2


@pytest.mark.parametrize(
    "optim, num_steps",
    [
        (jd.newton(), None),
        (optax.chain(jd.newton()), None),
        (optax.lbfgs(), None),
        (optax.adam(0.1), 500),
        (optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(20)), None),
        (optax.sgd(0.1), None),
    ],
    ids=["newton", "chained", "lbfgs", "adam", "backtracking", "sgd"],
)
def test_any_optimiser_passes_through(optim, num_steps):
    found = jd.fit(Quartic(jnp.array(1.0)), jd.Normal(0.0, 1.0), optim, num_steps=num_steps)
    np.testing.assert_allclose(found.distribution.loc, 1.0, atol=1e-5)
    np.testing.assert_allclose(found.distribution.scale, 2.0, atol=1e-5)
    assert is_(found, jd.RESULTS.converged).all()
    assert found.num_evaluations[0] >= found.num_steps[0]


def test_a_function_that_uses_its_key_is_sampled():
    def noisy(family, key):
        return (family.loc - 1 + 0.1 * jr.normal(key)) ** 2 + family.scale - jnp.log(family.scale)

    optim = optax.adam(optax.cosine_decay_schedule(0.1, 500))
    found = jd.fit(noisy, jd.Normal(0.0, 1.0), optim, num_steps=500, key=jr.key(0))
    np.testing.assert_allclose(found.distribution.loc, 1.0, atol=0.1)
    assert len(np.unique(found.losses)) > 450
    still = jd.fit(Well(jnp.array(2.0)), jd.Normal(0.0, 1.0), NEWTON, starts=3, key=jr.key(0))
    assert np.all(still.certificate.decrement < 1e-12)


def test_default_for_many_parameters_is_not_newton():
    family = jd.Independent(jd.Normal(jnp.zeros(20), jnp.ones(20)), 1)
    target = jd.Independent(jd.Normal(jnp.arange(20.0), jnp.full(20, 3.0)), 1)
    found = jd.fit(jd.reverse_kl(target), family)
    np.testing.assert_allclose(gaussian(found.distribution)[0], jnp.arange(20.0), atol=1e-6)
    assert found.value < 1e-12
    assert optax.tree_utils.tree_get(found.opt_state, "num_linesearch_steps") is not None


def test_sampled_objective():
    estimator = jd.MonteCarlo(200)
    objective = jd.reverse_kl(operand("asym1d"), estimator=estimator)
    found = jd.fit(objective, jd.Normal(0.0, 1.0), num_steps=400, starts=4, key=jr.key(0))
    known = exact.KNOWN["asym1d", "reverse", "full"]
    np.testing.assert_allclose(found.value, known[0], atol=0.02)
    np.testing.assert_allclose(found.distribution.loc, -2.0, atol=0.1)
    assert np.all(found.num_steps == 400)


@pytest.mark.parametrize(
    "num_draws, seed", [(256, 0), pytest.param(1024, 2, marks=pytest.mark.exhaustive)]
)
def test_an_optimum_of_the_sample_alone_is_not_listed(num_draws, seed):
    objective = jd.reverse_kl(operand("asym1d"), estimator=jd.FixedDraws(num_draws, seed))
    found = jd.fit(objective, jd.Normal(0.0, 1.0), starts=8, key=jr.key(seed))
    known = np.array(exact.KNOWN["asym1d", "reverse", "full"])
    np.testing.assert_allclose(distinct(found), known, atol=0.03)
    assert not found.certificate.is_optimum[-1]  # this sample has a third


# Honest reasons


def test_reasons():
    family = jd.Normal(0.3, 1.0)

    def run(fn, **kwargs):
        return jd.fit(lambda family, key: fn(family), family, NEWTON, throw=False, **kwargs)

    flat = run(lambda q: (q.loc - 1) ** 2)
    plateau = run(lambda q: (q.loc - 1) ** 2 + jnp.exp(-jnp.log(q.scale)))
    collapse = run(lambda q: (q.loc - 1) ** 2 + q.scale)
    for found in (flat, plateau, collapse):
        assert is_(found, jd.RESULTS.not_an_optimum).all()
        assert not found.is_distinct.any()
        assert found.cluster[0] == -1
    steps = run(lambda q: (q.loc - 1) ** 4 + q.scale - jnp.log(q.scale), num_steps=3)
    assert is_(steps, jd.RESULTS.max_steps).all()
    nan = run(lambda q: jnp.log(-q.scale))
    assert is_(nan, jd.RESULTS.diverged).all()
    kink = run(lambda q: abs(q.loc - 1) + q.scale - jnp.log(q.scale))
    assert is_(kink, jd.RESULTS.stalled).all()


def test_a_saddle_is_left():
    def saddle(family, key):
        return (family.loc**2 - 1) ** 2 + family.scale - jnp.log(family.scale)

    found = jd.fit(saddle, jd.Normal(0.0, 1.0), NEWTON)
    np.testing.assert_allclose(abs(found.distribution.loc), 1.0, rtol=1e-8)


def test_a_hole_in_the_objective_is_walked_around():
    def holed(family, key):
        value = (family.loc - 3) ** 2 + family.scale - jnp.log(family.scale)
        return jnp.where(family.loc > 3.5, jnp.nan, value)

    found = jd.fit(holed, jd.Normal(-40.0, 1.0), NEWTON)
    np.testing.assert_allclose(found.distribution.loc, 3.0, rtol=1e-8)


def test_throw():
    def flat(family, key):
        return family.loc**2

    with pytest.raises(RuntimeError, match=r"none of 1 starts found an optimum.*plateau"):
        jd.fit(flat, jd.Normal(1.0, 1.0), NEWTON)
    silent = jax.jit(lambda loc: jd.fit(flat, jd.Normal(loc, 1.0), NEWTON).values)
    assert silent(1.0).shape == (1,)


def test_what_is_missing_is_named():
    family, target = jd.Normal(0.0, 1.0), operand("asym1d")
    with pytest.raises(ValueError, match=r"`optim` must be given.*newton"):
        jd.fit(lambda family, key: family.loc**2, family)
    with pytest.raises(ValueError, match="`key` is needed, since 3 starts"):
        jd.fit(jd.reverse_kl(target), family, starts=3)
    with pytest.raises(ValueError, match="`key` is needed, since the objective is sampled"):
        jd.fit(jd.reverse_kl(target, estimator=jd.MonteCarlo(10)), family)
    with pytest.raises(ValueError, match="vmap `fit`"):
        jd.fit(jd.reverse_kl(target), jd.Normal(jnp.zeros(3), 1.0))
    with pytest.raises(ValueError, match="positive number or a stack"):
        jd.fit(jd.reverse_kl(target), family, starts=0)
    with pytest.raises(ValueError, match="one leading axis"):
        jd.fit(jd.reverse_kl(target), family, starts=jd.Normal(jnp.zeros(3), jnp.ones(2)))
    with pytest.raises(ValueError, match="stacked Normal"):
        jd.fit(jd.reverse_kl(target), family, starts=jd.logits([0.0]))
    with pytest.raises(ValueError, match="`num_steps` must be positive"):
        jd.fit(jd.reverse_kl(target), family, num_steps=0)
    with pytest.raises(ValueError, match=r"target has batch shape \(2,\).*vmap `fit`"):
        jd.fit(jd.reverse_kl(jd.Normal(jnp.zeros(2), 1.0)), family)
    with pytest.raises(ValueError, match="no free parameters"):
        jd.fit(lambda family, key: jnp.array(0.0), jd.PointMass(0.0), NEWTON)


# Newton's parts


def test_second_order():
    def fn(x):
        return jnp.sum(jnp.sin(x) * jnp.roll(x, 1) ** 2)

    for size in (2, 64):
        x = jr.normal(jr.key(size), (size,))
        value, grad, hessian = second_order(fn, x)
        np.testing.assert_allclose(value, fn(x), rtol=1e-12)
        np.testing.assert_allclose(grad, jax.grad(fn)(x), rtol=1e-10)
        np.testing.assert_allclose(hessian, jax.hessian(fn)(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "matrix",
    [
        [[3.0]],
        [[1.0, 2.0], [2.0, -3.0]],
        [[2.0, 0.0], [0.0, 2.0]],
        [[0.0, 0.0], [0.0, 0.0]],
        [[1e-12, 1e-3], [1e-3, 5.0]],
        [[-1e9, 1.0], [1.0, -1e9]],
        [[2.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, -2.0]],
    ],
)
def test_eigh(matrix):
    matrix = np.array(matrix)
    values, vectors = eigh(jnp.array(matrix))
    size = float(np.max(abs(matrix)))
    np.testing.assert_allclose(vectors * values @ vectors.T, matrix, atol=1e-15 * size, rtol=1e-15)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(matrix)), atol=1e-15)
    np.testing.assert_allclose(np.sort(values), np.linalg.eigvalsh(matrix), atol=1e-15 * size)
