"""KL of samples against closed forms, surrogates, and the step of a trust region."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false

import math
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.special
from jax.flatten_util import ravel_pytree

import jaxdiv as jd

TERMS = {"k1": jd.K1(), "k2": jd.K2(), "k3": jd.K3(), "optimal": jd.OptimalControlVariate()}
GRID = np.linspace(-30, 34, 40_001)  # of which sums are integrals, to the last digits
CELL = GRID[1] - GRID[0]
NUM = 1 << 19


def table(shift):
    r"""Mean and standard deviation of each term for $P = N(0, 1)$, $Q = N(m, 1)$.

    There $r = m^2/2 - mx$ is normal with mean $m^2/2$ and variance $m^2$, and $e^{-r}$ log-normal:
    $\mathrm{Var}\,e^{-r} = e^{m^2} - 1$ and $\mathrm{Cov}(r, e^{-r}) = -m^2$.
    """
    s = shift**2
    wide = math.expm1(s)
    return {
        "k1": (s / 2, math.sqrt(s)),
        "k2": (s / 2 + s**2 / 8, math.sqrt(s**2 / 2 + s**3 / 4)),
        "k3": (s / 2, math.sqrt(wide - s)),
        "optimal": (s / 2, math.sqrt(s - s**2 / wide)),
    }


def check_moments(measured, k, mean, deviation):
    """Of `NUM` samples, within four standard errors of closed forms, which hold for `k` on `GRID`.

    `GRID` is laid over a standard normal.
    """
    mass = np.exp(-(GRID**2) / 2) / math.sqrt(2 * math.pi) * CELL
    of_grid = np.sum(mass * k), math.sqrt(np.sum(mass * (k - mean) ** 2))
    np.testing.assert_allclose(of_grid, (mean, deviation), rtol=1e-9, atol=1e-12)
    fourth = np.sum(mass * (k - mean) ** 4)
    of_mean = deviation / math.sqrt(NUM)
    of_deviation = math.sqrt((fourth - deviation**4) / NUM) / (2 * deviation)
    assert abs(measured[0] - mean) < 4 * of_mean
    assert abs(measured[1] - deviation) < 4 * of_deviation


def test_table_of_values():
    """Schulman's, with bias and standard deviation within four standard errors."""
    shifts = jnp.array([0.1, 1.0, 2.0])

    @jax.jit
    @partial(jax.vmap, in_axes=(0, None))
    def measured(shift, x):
        logs = jd.Normal(0.0, 1.0).log_prob(x), jd.Normal(shift, 1.0).log_prob(x)
        terms = {name: jd.sampled_kl(*logs, value=k) for name, k in TERMS.items()}
        return {name: (jnp.mean(k), jnp.std(k)) for name, k in terms.items()}

    found = measured(shifts, jr.normal(jr.key(1), (NUM,)))
    for i, m in enumerate(shifts.tolist()):
        r = m**2 / 2 - m * GRID
        optimal = r + m**2 / math.expm1(m**2) * np.expm1(-r)
        terms = {"k1": r, "k2": r**2 / 2, "k3": np.expm1(-r) + r, "optimal": optimal}
        for name, (mean, deviation) in table(m).items():
            check_moments([x[i] for x in found[name]], terms[name], mean, deviation)


def test_table_of_gradients():
    r"""$P = N(\theta, 1)$, $Q = N(1, 2)$: $k_1$ gives 0, $k_2$ the derivative of KL, the default.

    With $z = x - \theta$ it is $r = a z^2 + b z + c$, and the score is $z$.
    """
    theta = jnp.array([0.0, 0.7])

    @jax.jit
    @partial(jax.vmap, in_axes=(0, None))
    def measured(theta, z):
        def terms(theta):
            logs = jd.Normal(theta, 1.0).log_prob(x), jd.Normal(1.0, 2.0).log_prob(x)
            return [jd.sampled_kl(*logs, gradient=k) for k in (None, jd.K1(), jd.K2())]

        x = theta + z
        (value, *_), slopes = jax.jvp(terms, (theta,), (jnp.ones_like(theta),))
        return value, slopes[0] - slopes[2], [(jnp.mean(s), jnp.std(s)) for s in slopes[1:]]

    z = jr.normal(jr.key(2), (NUM,))
    values, gaps, (first, second) = measured(theta, z)
    assert not gaps.any()
    for i, t in enumerate(theta.tolist()):
        a, b, c = -3 / 8, (t - 1) / 4, (t - 1) ** 2 / 8 + math.log(2)
        np.testing.assert_allclose(values[i], a * z**2 + b * z + c, rtol=1e-9, atol=1e-9)
        variance = 15 * a**2 + 3 * (b**2 + 2 * a * c) + c**2 - b**2
        check_moments([x[i] for x in first], GRID, 0.0, 1.0)
        r = a * GRID**2 + b * GRID + c
        check_moments([x[i] for x in second], r * GRID, b, math.sqrt(variance))
    # That of k3 has a mean (below) but no variance, as a closed form knows.
    assert jd.renyi(jd.Normal(1.0, 2.0), jd.Normal(0.0, 1.0), 2.0) == jnp.inf


def test_expectations_off_policy():
    """Samples on a grid are a quadrature: all means of value and gradient, without noise."""
    grid = jnp.asarray(GRID)
    uniform = jnp.full_like(grid, -math.log(GRID.size * CELL))
    params = jnp.array([[0.3, 1.0], [1.0, 2.0]])  # loc and scale of P, of Q

    def densities(params):
        return (jd.Normal(*row) for row in params)

    def mean_of(value, gradient, params):
        logs = (d.log_prob(grid) for d in densities(params))
        kwargs = {"value": value, "gradient": gradient, "log_behavior": uniform}
        return jnp.mean(jd.sampled_kl(*logs, **kwargs))

    def exact(params):
        p, q = densities(params)
        return jnp.array([jd.kl(p, q), jd.kl(q, p)])

    @jax.jit
    def sides(params):
        found = {n: jax.value_and_grad(partial(mean_of, k, k))(params) for n, k in TERMS.items()}
        return found, exact(params), jax.jacobian(exact)(params)

    found, (kl, _), (slope, reverse) = sides(params)
    for name in ("k1", "k3", "optimal"):
        np.testing.assert_allclose(found[name][0], kl, rtol=1e-9)
    r = math.log(2) - (GRID - 0.3) ** 2 / 2 + (GRID - 1) ** 2 / 8
    second = np.sum(np.exp(-((GRID - 0.3) ** 2) / 2) * r**2) * CELL / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(found["k2"][0], second / 2, rtol=1e-9)
    for name, want in (("k1", 0 * slope), ("k2", slope), ("k3", reverse)):
        np.testing.assert_allclose(found[name][1][0], want[0], rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(found[name][1][1], slope[1], rtol=1e-8)  # in Q always right
    # A coefficient times the reverse's, the same for both parameters.
    ratios = found["optimal"][1][0] / reverse[0]
    np.testing.assert_allclose(ratios[0], ratios[1], rtol=1e-7)


def test_expectations_over_classes():
    """Every action once, weighed by its probability: kl of the logits, where a mask cuts too."""
    mask = jnp.array([True, True, False, True])
    z, reference = jr.normal(jr.key(3), (2, 4))
    uniform = jnp.full(4, -math.log(4))

    def logs(z):
        return jnp.where(mask, jax.nn.log_softmax(jnp.where(mask, z, -jnp.inf)), -jnp.inf)

    def sampled(value, z):
        terms = jd.sampled_kl(logs(z), logs(reference), value=value, log_behavior=uniform)
        return jnp.sum(jnp.where(mask, terms, 0.0)) / 4

    def full(z):
        return jd.kl(jd.logits(z, where=mask), jd.logits(reference, where=mask))

    functions = (full, partial(sampled, jd.K1()), partial(sampled, jd.K3()))
    want, *found = jax.jit(lambda z: [jax.value_and_grad(f)(z) for f in functions])(z)
    for one in found:
        for got, expected in zip(one, want, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


def test_infinities_masks_and_bounds():
    """No NaN comes of an infinity, a mask or a bound; what is infinite is where it should be."""
    inf, single = jnp.inf, partial(jnp.asarray, dtype=jnp.float32)
    # Equal; impossible under Q; under P; under both; a ratio beyond float32; padding.
    log_p = single([-1.0, -1.0, -inf, -inf, -200.0, jnp.nan])
    log_q = single([-1.0, -inf, -1.0, -inf, -1.0, 3.0])
    where = single([1, 1, 1, 1, 1, 0]) > 0

    def terms(value, logs, **kwargs):
        return jd.sampled_kl(*logs, value=value, gradient=value, where=where, **kwargs)

    @jax.jit
    def all_of_them(logs):
        on, off, bounded = {}, {}, {}
        for name, k in TERMS.items():
            for found, kwargs in (
                (on, {}),
                (off, {"log_behavior": jnp.full_like(log_p, -2.0)}),
                (bounded, {"bound": 10.0}),
            ):
                value, pull = jax.vjp(partial(terms, k, **kwargs), logs)
                found[name] = value, pull(jnp.ones_like(value))[0]
        return on, off, bounded

    on, off, bounded = all_of_them((log_p, log_q))
    for found in (on, off, bounded):
        for value, slopes in found.values():
            assert value.dtype == jnp.float32 and value[5] == 0
            assert not jnp.isnan(value).any() and not any(jnp.isnan(x).any() for x in slopes)
            assert all(x[5] == 0 for x in slopes)
    for name, (value, slopes) in on.items():
        assert value[0] == 0 and value[3] == 0 and value[1] == inf, name
        assert all((x[1:3] == 0).all() for x in slopes), name
    np.testing.assert_array_equal(on["k1"][0][:5], [0, inf, -inf, 0, -199])
    np.testing.assert_array_equal(on["k3"][0][:5], [0, inf, inf, 0, inf])
    # What P lacks has no weight; what is left of k3 is q over the behavior's.
    np.testing.assert_array_equal(off["k1"][0][2:3], [0])
    np.testing.assert_allclose(off["k3"][0][2:5], [math.e, 0, math.e], rtol=1e-6)
    assert all(
        jnp.isfinite(x).all() for value, slopes in bounded.values() for x in (value, *slopes)
    )
    np.testing.assert_allclose(bounded["k3"][0][4], math.exp(10) - 11, rtol=1e-6)
    np.testing.assert_allclose(bounded["k3"][1][0][4], 1 - math.exp(10), rtol=1e-6)

    logs = single([-1.0, -1.0]), single([-1.5, -1.5])
    behavior = single([-1.0, -3.0])
    weighed = [
        jd.sampled_kl(*logs, value=k, log_behavior=behavior, max_weight=2.0)
        for k in (jd.K1(), jd.K3())
    ]
    np.testing.assert_allclose(weighed[0], [0.5, 1.0], rtol=1e-6)
    k3 = math.expm1(-0.5) + 0.5
    np.testing.assert_allclose(weighed[1], [k3, 2 * k3], rtol=1e-6)
    assert jd.sampled_kl(jnp.bfloat16(-1.0), jnp.bfloat16(-2.0)).dtype == jnp.float32

    with pytest.raises(ValueError, match=r"one shape, got \(2,\), \(2, 1\)"):
        jd.sampled_kl(jnp.zeros(2), jnp.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"where of shape \(3,\) does not broadcast"):
        jd.sampled_kl(jnp.zeros(2), jnp.zeros(2), where=jnp.ones(3, bool))
    with pytest.raises(TypeError, match=r"value must be K1\(\), K2\(\)"):
        jd.sampled_kl(0.0, 0.0, value=jd.K1)
    for name in ("bound", "max_weight"):
        with pytest.raises(ValueError, match=f"{name} must be positive, got 0"):
            jd.sampled_kl(0.0, 0.0, **{name: 0.0})


def test_surrogate_losses():
    """Of ratios at, inside and beyond the clip, and of padding."""
    ratios = np.array([1.0, 1.1, 1.5, 0.5, 1.5, 0.5, np.nan])
    advantage = np.array([2.0, 1.0, 1.0, 1.0, -1.0, -1.0, np.nan])
    where = jnp.arange(7) < 6
    log_p, log_old = jnp.log(0.4 * ratios), jnp.full(7, math.log(0.4))

    def loss(log_p, clip):
        return jd.surrogate_loss(log_p, log_old, jnp.asarray(advantage), clip=clip, where=where)

    for clip, want, moves in (
        (None, -ratios * advantage, [1, 1, 1, 1, 1, 1]),
        (0.2, [-2.0, -1.1, -1.2, -0.5, 1.5, 0.8], [1, 1, 0, 1, 1, 0]),
    ):
        np.testing.assert_allclose(loss(log_p, clip)[:6], want[:6], rtol=1e-12)
        slope = jax.grad(lambda log_p, clip=clip: jnp.sum(loss(log_p, clip)))(log_p)
        want = np.append(-ratios[:6] * advantage[:6] * np.array(moves), 0.0)
        np.testing.assert_allclose(slope, want, rtol=1e-12)
        assert loss(log_p, clip)[6] == 0
    with pytest.raises(ValueError, match="clip must be positive, got 0"):
        loss(log_p, 0.0)
    with pytest.raises(ValueError, match=r"one shape, got \(7,\), \(\), \(7,\)"):
        jd.surrogate_loss(log_p, 0.0, log_p)


def test_adaptive_penalty():
    """Halved below two thirds of the target, doubled above three halves: also in a scan."""
    kls = jnp.array([0.02, 0.016, 0.01, 0.007, 0.006, 0.001, jnp.nan])

    def step(penalty, kl):
        penalty = penalty.update(kl)
        return penalty, penalty.coefficient

    _, coefficients = jax.lax.scan(step, jd.AdaptivePenalty(jnp.asarray(1.0), target=0.01), kls)
    np.testing.assert_array_equal(coefficients, [2, 4, 4, 4, 2, 1, 1])


STATES = jr.normal(jr.key(5), (12, 3))
GAINS = jr.normal(jr.key(6), (12, 4))
NET = eqx.nn.MLP(3, 4, 5, 1, key=jr.key(7))


def expected_loss(net, rows=slice(None)):
    return -jnp.mean(jnp.sum(GAINS[rows] * jax.nn.softmax(jax.vmap(net)(STATES[rows])), -1))


def textbook_kl(old, new):
    log_p, log_q = (scipy.special.log_softmax(z, -1) for z in (old, new))
    return np.mean(np.sum(np.exp(log_p) * (log_p - log_q), -1))


def test_step_of_a_network():
    """The direction of a dense solve, to the length of the model, and KL as measured."""
    delta, damping, kept = 1e-4, 1e-3, jnp.arange(12) < 9

    def scores(net):
        return jax.vmap(net)(STATES)

    def step(free):
        return jd.trust_region_step(
            lambda net: expected_loss(net, slice(9)),
            lambda net: jd.logits(scores(net)),
            eqx.combine(free, fixed),
            delta=delta,
            where=kept,
            damping=damping,
            num_conjugate=200,
        )

    free, fixed = eqx.partition(NET, eqx.is_inexact_array)
    flat, rebuild = ravel_pytree(free)

    def scores_of(flat):
        return scores(eqx.combine(rebuild(flat), fixed))[:9]

    def loss_of(flat):
        return expected_loss(eqx.combine(rebuild(flat), fixed), slice(9))

    slopes, gradient = jax.jit(lambda w: (jax.jacobian(scores_of)(w), jax.grad(loss_of)(w)))(flat)
    p = scipy.special.softmax(np.asarray(scores_of(flat)), -1)
    centred = slopes - np.einsum("sa,sap->sp", p, slopes)[:, None]
    fisher = np.einsum("sa,sap,saq->pq", p, centred, centred) / 9
    s = -np.linalg.solve(fisher + damping * np.eye(flat.size), gradient)
    want = s * np.sqrt(2 * delta / (s @ fisher @ s))

    found = eqx.filter_jit(step)(free)
    assert found.accepted and found.fraction == 1
    moved = ravel_pytree(eqx.filter(found.params, eqx.is_inexact_array))[0]
    np.testing.assert_allclose(moved - flat, want, rtol=1e-3, atol=1e-3 * abs(want).max())
    measured = textbook_kl(scores_of(flat), scores_of(moved))
    np.testing.assert_allclose(found.kl, measured, rtol=1e-6)
    np.testing.assert_allclose(found.kl, delta, rtol=0.05)
    np.testing.assert_allclose(found.decrease, loss_of(flat) - loss_of(moved), rtol=1e-9)


def test_backtracking():
    """To the measured KL and a loss that falls; where neither can be had the old parameters."""
    start, gain = jnp.array([2.0, 0.0, -2.0]), jnp.array([-1.0, 0.0, 1.0])
    cases = {  # slope, a wall against the step, what is added to the loss elsewhere, delta
        "plain": (1.0, 0.0, 0.0, 0.01),
        "far": (1.0, 0.0, 0.0, 1.0),
        "walled": (1.0, 30.0, 0.0, 0.01),
        "high": (1.0, 1e9, 0.0, 0.01),
        "flat": (0.0, 0.0, 0.0, 0.01),
        "nan": (1.0, 0.0, math.nan, 0.01),
    }

    def loss(z, slope, wall, elsewhere):
        away = jnp.sum((z - start) ** 4)
        gained = slope * (gain @ jax.nn.softmax(z))
        return wall * away - gained + jnp.where(away > 0, elsewhere, 0.0)

    def step(case, **kwargs):
        *shape, delta = case
        return jd.trust_region_step(
            lambda z: loss(z, *shape), jd.logits, start, delta=delta, **kwargs
        )

    @jax.jit
    @jax.vmap
    def all_of_them(case):
        found = step(case)
        longer = start + (found.params - start) / 0.8
        losses = jnp.stack([loss(z, *case[:3]) for z in (start, found.params, longer)])
        return found, longer, losses

    found, longer, losses = all_of_them(jnp.array(list(cases.values())))
    for i, (name, (*_, delta)) in enumerate(cases.items()):
        one, before = jax.tree.map(lambda x, i=i: x[i], found), start[None]
        assert one.accepted == (name in ("plain", "far", "walled")), name
        if not one.accepted:
            np.testing.assert_array_equal(one.params, start)
            assert one.kl == one.decrease == one.fraction == 0
            continue
        np.testing.assert_allclose(one.kl, textbook_kl(before, one.params[None]), rtol=1e-9)
        np.testing.assert_allclose(one.decrease, losses[i, 0] - losses[i, 1], rtol=1e-9)
        assert 0 < one.kl <= delta and one.decrease > 0, name
        # The step before this one was one too long.
        beyond = textbook_kl(before, longer[i][None]) > delta
        assert one.fraction < 1 and (beyond or losses[i, 2] >= losses[i, 0]), name
    with pytest.raises(ValueError, match="delta must be positive, got 0"):
        step((1.0, 0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="shrink must be between 0 and 1, got 1"):
        step(cases["plain"], shrink=1.0)
    with pytest.raises(TypeError, match=r"operand\(params\)"):
        jd.trust_region_step(jnp.sum, lambda z: z, start, delta=0.01)


def test_step_of_a_normal_policy():
    r"""By $F = \mathrm{diag}(1, 2)/\sigma^2$ of location and scale, with no network."""
    params = jd.Normal(jnp.asarray(0.5), jnp.asarray(2.0))
    found = jax.jit(
        lambda d: jd.trust_region_step(lambda d: 3 * d.loc - d.scale, lambda d: d, d, delta=1e-6)
    )(params)
    s = np.array([-3.0, 0.5]) * 4
    want = s * math.sqrt(2e-6 / (s[0] ** 2 / 4 + s[1] ** 2 / 2))
    np.testing.assert_allclose([found.params.loc - 0.5, found.params.scale - 2], want, rtol=1e-9)
    np.testing.assert_allclose(found.kl, jd.kl(params, found.params), rtol=1e-12)
    assert found.kl <= 1e-6
