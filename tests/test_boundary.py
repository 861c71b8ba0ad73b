"""Zeros, masks, point masses and padding: no NaN, inf exactly where defined, slopes as promised."""

import itertools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import jaxdiv as jd

from . import registry
from .oracle import exact

NONE = -jnp.inf
A = [0.0, 1.0, NONE, NONE, 0.0]
B = [0.3, NONE, 1.0, NONE, 0.0]
FLAT, EMPTY = [0.0] * 5, [NONE] * 5
UP, SIDE = [200.0, 0.0, 0.0, 0.0, 0.0], [0.0, 200.0, 0.0, 0.0, 0.0]
PAIRS = [(A, B), (B, A), (A, FLAT), (FLAT, A), (A, A), (UP, FLAT), (FLAT, UP), (UP, SIDE)]
# Whether q is zero where p is not; where KL, Jeffreys, chi-squared and Renyi above 1 are infinite.
MISSED = np.array([True, True, False, True, False, False, False, False])
FUNCTIONALS = {
    "kl": jd.KL(),
    "jeffreys": jd.Jeffreys(),
    "js": jd.JensenShannon(),
    "js 0.3": jd.JensenShannon(0.3),
    "tv": jd.TotalVariation(),
    "hellinger": jd.SquaredHellinger(),
    "chi": jd.ChiSquared(),
    "renyi 0.5": jd.Renyi(0.5),
    "renyi 1": jd.Renyi(1.0),
    "renyi 2": jd.Renyi(2.0),
    "cross-entropy": jd.CrossEntropy(),
}


def tagged(name):
    if name == "logits":
        return jd.logits
    if name == "log_probs":
        return lambda z: jd.log_probs(jax.nn.log_softmax(z))
    return lambda z: jd.probs(jax.nn.softmax(z))


@pytest.mark.parametrize("form", ["logits", "probs", "log_probs"])
@pytest.mark.parametrize("name", FUNCTIONALS)
def test_never_nan(form, name):
    functional, tag = FUNCTIONALS[name], tagged(form)

    def value(x, y):
        return jd.divergence(functional, tag(x), tag(y))

    x, y = (jnp.array(side, jnp.float32) for side in zip(*PAIRS, strict=True))
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(value, (0, 1))))(x, y)
    assert (values >= 0).all()
    assert not any(jnp.isnan(slope).any() for slope in slopes)
    if name in ("kl", "chi", "renyi 1", "renyi 2", "cross-entropy"):
        np.testing.assert_array_equal(jnp.isinf(values)[:6], MISSED[:6])
    if name in ("tv", "js", "js 0.3", "hellinger"):
        assert (values <= 1 + 1e-6).all()
    if name not in ("cross-entropy", "tv"):  # of which one is not zero, the other has a kink
        assert values[4] == 0 and not any(slope[4].any() for slope in slopes)


@pytest.mark.exhaustive
def test_never_nan_of_the_others():
    used = [f for f in registry.DISTINCT if f.value not in FUNCTIONALS.values()]
    used = [f for f in used if f.name != "f-divergence"]  # elsewhere

    def values(x, y):
        return registry.evaluate(used, jd.logits(x), jd.logits(y))

    def both(x, y):
        return values(x, y), jax.jacrev(values, (0, 1))(x, y)

    x, y = (jnp.array(side, jnp.float32) for side in zip(*PAIRS, strict=True))
    value, slopes = jax.jit(jax.vmap(both))(x, y)
    assert not jnp.isnan(value).any()
    assert all(jnp.isfinite(slope).all() for slope in slopes)
    ours = np.array([f.is_divergence for f in used])
    assert (value[:, ours] >= 0).all() and not value[4, ours].any()
    assert not any(slope[4, ours].any() for slope in slopes)


@pytest.mark.parametrize("name", ["kl", "js", "cross-entropy"])
def test_second_derivatives_are_not_nan(name):
    def value(x, y):
        return jd.divergence(FUNCTIONALS[name], jd.logits(x), jd.logits(y))

    x, y = (jnp.array(side, jnp.float32) for side in zip(*PAIRS, strict=True))
    hessians = jax.jit(jax.vmap(jax.hessian(value, (0, 1))))(x, y)
    assert not any(jnp.isnan(h).any() for h in jax.tree.leaves(hessians))


@pytest.mark.exhaustive
def test_padding_is_zero_with_zero_slope():
    empty = jnp.array(EMPTY)
    used = [f for f in registry.DISTINCT if f.arity == 2][::2]

    def values(z):
        return registry.evaluate(used, jd.logits(z), jd.logits(empty))

    value, slopes = jax.jit(lambda z: (values(z), jax.jacrev(values)(z)))(empty)
    assert not value.any() and not slopes.any()
    y = jnp.array([1, -100])
    for verb in (jd.kl, jd.cross_entropy, jd.jensen_shannon, jd.total_variation):
        assert verb(jd.labels(y, ignore=-100), jd.logits(jnp.zeros((2, 3))))[1] == 0


def test_masked_entries_may_hold_nan():
    where = jnp.array([True, True, False])
    z, w = jnp.array([0.0, 1.0, jnp.nan]), jnp.array([0.5, 0.0, jnp.nan])
    value, slope = jax.value_and_grad(
        lambda z: jd.kl(jd.logits(z, where=where), jd.logits(w, where=where))
    )(z)
    want = jd.kl(jd.logits(z[:2]), jd.logits(w[:2]))
    assert float(value) == pytest.approx(float(want), rel=1e-14)
    assert not jnp.isnan(slope).any() and slope[2] == 0


BOUNDARY = [  # functional, slope in p and in q at p = 0 < q
    (jd.KL(), 0.0, 1.0),
    (jd.TotalVariation(), -0.5, 0.5),
    (jd.SquaredHellinger(), 0.0, 0.5),
    (jd.ChiSquared(), -2.0, 1.0),
    (jd.JensenShannon(), 0.0, 0.5 * np.log(2)),
]


@pytest.mark.parametrize("case", BOUNDARY, ids=lambda case: str(case[0]))
def test_slopes_at_zero_are_one_sided_limits_or_zero(case):
    functional, in_p, in_q = case
    p, q = jnp.array([0.0, 1.0]), jnp.array([0.4, 0.6])
    slopes = jax.grad(lambda p, q: jd.divergence(functional, jd.probs(p), jd.probs(q)), (0, 1))
    got_p, got_q = slopes(p, q)
    assert got_p[0] == pytest.approx(in_p, rel=1e-12)
    assert got_q[0] == pytest.approx(in_q, rel=1e-12)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_inputs_are_exact_numbers(dtype):
    rng = np.random.default_rng(0)
    a, b = (jnp.asarray(rng.normal(size=64), dtype) for _ in range(2))
    got = jd.kl(jd.logits(a), jd.logits(b))
    x, y = (np.asarray(z, np.float64) for z in (a, b))
    p, q = (np.exp(z - z.max()) / np.exp(z - z.max()).sum() for z in (x, y))
    assert got.dtype == jnp.float32
    assert got == pytest.approx((p * np.log(p / q)).sum(), rel=1e-6)
    assert jd.kl(jd.logits(a), jd.logits(a)) == 0


# Every pattern of zeros: in p only, in q only, in both, all but one; the same outcome.
P_ROWS = [[4, 4, 4, 4], [0, 8, 4, 4], [8, 4, 4, 0], [0, 8, 8, 0], [1, 1, 1, 13], [16, 0, 0, 0]]
Q_ROWS = [[1, 2, 3, 10], [4, 4, 4, 4], [8, 8, 0, 0], [0, 4, 12, 0], [0, 0, 0, 16], [16, 0, 0, 0]]


def one_sided(reference, masses, side, i):
    """The slope at a zero mass from above, 0 where it diverges; the derivative elsewhere."""

    def at(step):
        moved = [list(m) for m in masses]
        moved[side][i] += step
        return reference(*moved)

    if masses[side][i]:
        step = mp.mpf(10) ** -30
        return (at(step) - at(-step)) / (2 * step)
    slopes = [(at(step) - at(0)) / step for step in (mp.mpf(10) ** -40, mp.mpf(10) ** -60)]
    return slopes[1] if abs(slopes[0] - slopes[1]) < 1e-6 else 0


def has_another_convention(f, masses, side, i):
    """No limit of `f` tells the slope in q at q = 0; Renyi is defined on the simplex only."""
    no_limit = f.name == "f-divergence" and side == 1 and not masses[1][i]
    return no_limit or f.on_simplex


@pytest.mark.exhaustive
def test_slopes_in_probs_are_one_sided_limits():
    """0 where these are infinite, at a kink, where both masses are zero."""
    p, q = (jnp.asarray(rows) / 16 for rows in (P_ROWS, Q_ROWS))
    used = registry.DISTINCT
    slopes = jax.jit(
        jax.vmap(jax.jacrev(lambda p, q: registry.evaluate(used, jd.probs(p), jd.probs(q)), (0, 1)))
    )(p, q)
    assert all(jnp.isfinite(slope).all() for slope in slopes)
    with mp.workdps(100):
        for row, masses in enumerate(zip(map(exact, p), map(exact, q), strict=True)):
            for k, f in enumerate(used):
                if f.reference(*masses[: f.arity]) == mp.inf:
                    continue
                for side, i in itertools.product(range(f.arity), range(4)):
                    if has_another_convention(f, masses, side, i):
                        continue
                    same = f.arity == 2 and masses[0][i] == masses[1][i]
                    if same and (not masses[0][i] or f.name == "total variation"):
                        want = 0
                    else:
                        want = one_sided(f.reference, masses[: f.arity], side, i)
                    got = float(slopes[side][row, k, i])
                    assert got == pytest.approx(float(want), rel=1e-9, abs=1e-12), (f.name, row)


def test_infinite_values_leave_out_the_outcomes_responsible():
    p, q = jnp.array([0.5, 0.3, 0.2]), jnp.array([0.0, 0.4, 0.6])
    for verb in (jd.kl, jd.cross_entropy, jd.jeffreys, jd.chi_squared):
        slope = jax.grad(lambda p, q, verb=verb: verb(jd.masses(p), jd.masses(q)), (0, 1))
        assert verb(jd.masses(p), jd.masses(q)) == jnp.inf
        for got, want in zip(slope(p, q), slope(p[1:], q[1:]), strict=True):
            assert got[0] == 0
            np.testing.assert_allclose(got[1:], want, rtol=1e-12)


TRIANGULAR = registry.TRIANGULAR
ENTROPIC = jd.FDivergence(lambda u: u * jnp.log(u), at_zero=0.0, slope_at_infinity=float("inf"))
PEARSON = jd.FDivergence(lambda u: (u - 1) ** 2, at_zero=1.0, slope_at_infinity=float("inf"))


@pytest.mark.parametrize("functional", [TRIANGULAR, ENTROPIC, PEARSON, registry.REVERSE_KL])
def test_a_generator_of_ratios_that_overflow(functional):
    def value(a, b):
        return jd.divergence(functional, jd.logits(a), jd.logits(b))

    a, b = (jnp.array(side, jnp.float32) for side in zip(*PAIRS, strict=True))
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(value, (0, 1))))(a, b)
    assert (values >= 0).all() and not any(jnp.isnan(slope).any() for slope in slopes)
    if functional is TRIANGULAR:
        wide = jax.jit(jax.vmap(value))(a.astype(float), b.astype(float))
        np.testing.assert_allclose(values, wide, rtol=1e-5)


def test_a_limit_that_is_not_given_is_nan_only_where_it_is_needed():
    bare = jd.FDivergence(lambda u: u * jnp.log(u))

    def value(p, q):
        return jd.divergence(bare, jd.probs(p), jd.probs(q))

    p, half, one = jnp.array([0.25, 0.75]), jnp.array([0.5, 0.5]), jnp.array([0.0, 1.0])
    assert value(p, half) == pytest.approx(float(jd.kl(jd.probs(p), jd.probs(half))), rel=1e-14)
    assert all(jnp.isfinite(slope).all() for slope in jax.grad(value, (0, 1))(p, half))
    assert jnp.isnan(value(one, half)) and jnp.isnan(value(half, one))


def test_normals_where_a_divergence_is_infinite():
    wide, narrow = jd.Normal(0.0, 2.0), jd.Normal(0.0, 1.0)
    assert jd.chi_squared(wide, narrow) == jd.renyi(wide, narrow, 2.0) == jnp.inf
    slope = jax.grad(lambda s: jd.renyi(jd.Normal(0.0, s), narrow, 2.0))(2.0)
    assert jnp.isfinite(slope)
    assert jd.renyi(wide, narrow, 1.25) < jnp.inf
