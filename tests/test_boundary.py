"""Zeros, masks, point masses and padding: no NaN, inf exactly where defined, slopes as promised."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiv as jd

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


@pytest.mark.parametrize("name", ["kl", "js", "cross-entropy"])
def test_second_derivatives_are_not_nan(name):
    def value(x, y):
        return jd.divergence(FUNCTIONALS[name], jd.logits(x), jd.logits(y))

    x, y = (jnp.array(side, jnp.float32) for side in zip(*PAIRS, strict=True))
    hessians = jax.jit(jax.vmap(jax.hessian(value, (0, 1))))(x, y)
    assert not any(jnp.isnan(h).any() for h in jax.tree.leaves(hessians))


def test_padding_is_zero_with_zero_slope():
    empty = jnp.array(EMPTY)
    for functional in FUNCTIONALS.values():
        value, slope = jax.value_and_grad(
            lambda z, f=functional: jd.divergence(f, jd.logits(z), jd.logits(empty))
        )(empty)
        assert value == 0 and not slope.any()
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
