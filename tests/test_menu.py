"""The menu's members against each other: limits, identities, many at once, every form."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportOptionalIterable=false, reportGeneralTypeIssues=false

import math
from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import mpmath as mp
import numpy as np
import pytest

import jaxdiv as jd
from jaxdiv import _pairwise

from .oracle import exact, norm_error, value_error
from .registry import simplex
from .textbook import js_term, kl_term, summed, x_log

RNG = np.random.default_rng(21)
P, Q = (jnp.asarray(simplex(RNG, (20, 5))) for _ in range(2))
P, Q = (0.9 * x + 0.02 for x in (P, Q))


def test_limits_between_members():
    """In the order at 1 and 0, from either side, and to the ends of the orders of Renyi."""

    def values(p, q):
        p, q = jd.probs(p), jd.probs(q)
        kl, reverse, shannon = jd.kl(p, q), jd.kl(q, p), jd.entropy(p)
        pairs = [(jd.renyi(p, q, 1.0), kl), (jd.tsallis(p, q, 1.0), kl)]
        pairs += [(jd.cressie_read(p, q, 0.0), kl), (jd.cressie_read(p, q, -1.0), reverse)]
        pairs += [(jd.amari_alpha(p, q, -1.0), kl), (jd.amari_alpha(p, q, 1.0), reverse)]
        pairs += [(jd.renyi_entropy(p, 1.0), shannon), (jd.tsallis_entropy(p, 1.0), shannon)]
        pairs += [(jd.cressie_read(p, q, 1e-10), kl), (jd.tsallis(p, q, 1 - 1e-10), kl)]
        pairs += [(jd.renyi_entropy(p, 1 + 1e-10), shannon)]
        pairs += [(jd.renyi(p, q, 4e3), jd.renyi(p, q, math.inf))]
        pairs += [(jd.renyi_entropy(p, 4e3), jd.min_entropy(p))]
        return jnp.stack([jnp.stack(jnp.broadcast_arrays(*pair)) for pair in pairs])

    one, other = jnp.moveaxis(jax.jit(values)(P, Q), 1, 0)
    np.testing.assert_allclose(one[:-2], other[:-2], rtol=1e-8)
    np.testing.assert_allclose(one[-2:], other[-2:], rtol=2e-2)


@pytest.mark.exhaustive
def test_identities_between_members():
    def values(p, q):
        p, q = jd.probs(p), jd.probs(q)
        affinity = jnp.exp(-jd.bhattacharyya(p, q))
        chi, neyman = jd.chi_squared(p, q), jd.neyman_chi_squared(p, q)
        both = jd.probs(jnp.stack([p.values, q.values], -2))
        weights = jnp.array([0.3, 0.7])
        return [
            (jd.squared_hellinger(p, q), 1 - affinity),
            (4 * jd.squared_hellinger(p, q), jd.amari_alpha(p, q, 0.0)),
            (4 * jd.squared_hellinger(p, q), jd.cressie_read(p, q, -0.5)),
            (jd.tsallis(p, q, 2.5), jnp.expm1(1.5 * jd.renyi(p, q, 2.5)) / 1.5),
            (jd.tsallis(p, q, 0.3), jnp.expm1(-0.7 * jd.renyi(p, q, 0.3)) / -0.7),
            (jd.tsallis(p, q, 2.0), chi),
            (2 * jd.cressie_read(p, q, 1.0), chi),
            (2 * jd.cressie_read(p, q, -2.0), neyman),
            (jd.amari_alpha(p, q, 3.0), neyman / 2),
            (neyman, jd.chi_squared(q, p)),
            (jd.tsallis_entropy(p, 3.0), jnp.expm1(-2 * jd.renyi_entropy(p, 3.0)) / -2),
            (jd.collision_entropy(p), -jnp.log(jnp.sum(p.values**2, -1))),
            (jd.min_entropy(p), -jnp.log(jnp.max(p.values, -1))),
            (jd.perplexity(p), jnp.exp(jd.entropy(p))),
            (jd.perplexity(p, q), jnp.exp(jd.cross_entropy(p, q))),
            (jd.multi_jensen_shannon(both), jd.jensen_shannon(p, q)),
            (jd.multi_jensen_shannon(both, weights), jd.jensen_shannon(p, q, 0.3)),
            (jd.jensen_shannon_distance(p, q, base=2) ** 2, jd.jensen_shannon(p, q, base=2)),
            (
                jd.bregman(p, q, lambda x: x * jnp.log(x), at_zero=0.0, slope_at_zero=-math.inf),
                jd.kl(p, q),
            ),
            (jd.surprisal(q, 3), -jnp.log(q.values[:, 3])),
        ]

    for k, (one, other) in enumerate(jax.jit(values)(P, Q)):
        np.testing.assert_allclose(one, other, rtol=1e-11, err_msg=str(k))
    p, q = jd.probs(P), jd.probs(Q)
    half = jd.bhattacharyya(p, q)
    assert (jd.chernoff_information(p, q) >= half).all()
    assert (jd.chernoff_information(p, q) <= jnp.minimum(jd.kl(p, q), jd.kl(q, p))).all()


def test_orders_are_differentiable():
    p, q = jd.probs(P[0]), jd.probs(Q[0])
    verbs = [
        lambda a: jd.renyi(p, q, a),
        lambda a: jd.tsallis(p, q, a),
        lambda a: jd.amari_alpha(p, q, a),
        lambda a: jd.cressie_read(p, q, a),
        lambda a: jd.renyi_entropy(p, a),
        lambda a: jd.tsallis_entropy(p, a),
        lambda a: jd.tsallis(jd.Normal(0.0, 1.0), jd.Normal(1.0, 1.5), a),
    ]

    def values(a):
        return jnp.stack([jnp.asarray(verb(a), float) for verb in verbs])

    both = jax.jit(jax.vmap(lambda a: (values(a), jax.jacfwd(values)(a))))
    steps = jnp.array([-2e-4, -1e-4, 0.0, 1e-4, 2e-4])
    for order in (0.3, 1.0, 1.7):
        at, slope = both(order + steps)
        want = (at[0] - 8 * at[1] + 8 * at[3] - at[4]) / 12e-4
        np.testing.assert_allclose(slope[2], want, rtol=1e-8, atol=1e-10)


def test_metrics():
    x = jnp.asarray(simplex(RNG, (3, 100, 5), sharp=0.3))

    def distances(p, q):
        p, q = jd.probs(p), jd.probs(q)
        return jnp.stack(
            [jnp.sqrt(jd.triangular_discrimination(p, q)), jd.jensen_shannon_distance(p, q)]
        )

    one, other, third = jax.jit(jax.vmap(distances))(
        x[jnp.array([0, 0, 2])], x[jnp.array([1, 2, 1])]
    )
    assert (one <= other + third + 1e-13).all()

    def slope(z):
        flat = jd.logits(jnp.zeros(3))
        return jax.grad(lambda z: jd.jensen_shannon_distance(jd.logits(z), flat))(z)

    first, second = jax.jit(lambda z: (slope(z), jax.jacfwd(slope)(z)))(jnp.zeros(3))
    assert not first.any() and not second.any()


def test_chernoff_to_second_order():
    """The derivative knows that the best exponent moves with the masses."""

    def by_sum(p, q):
        return jd.chernoff_information(jd.logits(p), jd.logits(q))

    def by_rule(p, q):
        return jd.chernoff_information(jd.Normal(p[0], p[1] ** 2), jd.Normal(q[0], q[1] ** 2))

    def along(value, t):
        return value(x + t * 1e-2 * v, y)

    x, y, v = jnp.asarray(RNG.normal(size=(3, 4)))
    for value in (by_sum, by_rule):
        # The slope along v, which the envelope theorem gives, and the change of it.
        slope = jax.jit(
            jax.vmap(
                lambda t, value=value: jax.jvp(
                    lambda t: jax.jvp(lambda t: along(value, t), (t,), (1.0,))[1], (t,), (1.0,)
                )
            )
        )
        at, change = slope(jnp.arange(-3.0, 4.0))
        want = jnp.array([-1.0, 9, -45, 0, 45, -9, 1]) @ at / 60
        np.testing.assert_allclose(change[3], want, rtol=1e-8)


def test_multi_jensen_shannon_of_near_rows():
    """Against mpmath, of rows down to 1e-6 apart, with zeros, and with a weight of zero."""
    rng = np.random.default_rng(22)
    rows = np.repeat(simplex(rng, (6, 1, 5)) + 0.01, 4, 1).astype(np.float32)
    near = 10.0 ** -np.arange(1, 7).reshape(6, 1, 1)
    rows = (rows * (1 + near * rng.normal(size=rows.shape))).astype(np.float32)
    rows[0, 1, 2] = rows[0, 0, 3] = rows[1, :, 4] = 0
    rows /= rows.sum(-1, keepdims=True)
    weights = np.array([0.5, 0.25, 0.25, 0.0], np.float32)
    got = jax.jit(lambda x: jd.multi_jensen_shannon(jd.masses(x), weights))(rows)
    same = np.repeat(rows[:, :1], 4, 1)
    assert not np.asarray(jd.multi_jensen_shannon(jd.probs(same), weights)).any()
    with mp.workdps(60):
        for row, value in zip(rows, got, strict=True):
            each = [exact(x) for x in row]
            w = exact(weights)
            mixed = [mp.fsum(a * x[i] for a, x in zip(w, each, strict=True)) for i in range(5)]
            terms = (a * summed(kl_term)(x, mixed) for a, x in zip(w, each, strict=True) if a)
            assert value_error(value, mp.fsum(terms), np.float32) <= 8
    with pytest.raises(ValueError, match="last batch axis"):
        jd.multi_jensen_shannon(jd.probs(rows[0, 0]))
    with pytest.raises(TypeError, match="distributions over classes"):
        jd.multi_jensen_shannon(jd.Normal(jnp.zeros(3), 1.0))


# Pairwise.

LABELS = jnp.array([0, 2, 1, 1, 0, 2, 1])
FORMS = [lambda z: jd.logits(z), lambda z: jd.probs(jax.nn.softmax(z)), lambda z: jd.labels(LABELS)]


def both_axes(functional, ps, qs):
    one = jax.vmap(jd.divergence, (None, None, 0))
    return jax.vmap(one, (None, 0, None))(functional, ps, qs)


@pytest.mark.parametrize("functional", [jd.CrossEntropy(), jd.KL()], ids=lambda f: type(f).__name__)
def test_pairwise_is_vmap_of_vmap(functional, monkeypatch):
    a, b = jnp.asarray(RNG.normal(size=(7, 3))), jnp.asarray(RNG.normal(size=(5, 3)))
    b = b.at[3, 0].set(-jnp.inf)
    monkeypatch.setattr(_pairwise, "_TILE", 18)  # three rows by two columns at a time

    def values(value, a, b):
        forms = FORMS if isinstance(functional, jd.CrossEntropy) else FORMS[:1]
        return jnp.stack([value(functional, form(a), jd.logits(b)) for form in forms])

    def total(value, a, b):
        x = values(value, a, b)
        weights = jnp.cos(jnp.arange(35.0)).reshape(7, 5)
        return jnp.sum(jnp.where(jnp.isinf(x), 0.0, x * weights)), x

    run = jax.jit(jax.value_and_grad(total, (1, 2), has_aux=True), static_argnums=0)
    (_, got), slopes = run(jd.pairwise, a, b)
    (_, want), expected = run(both_axes, a, b)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    for one, other in zip(slopes, expected, strict=True):
        assert jnp.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-13)


def test_pairwise_of_anything_with_a_batch():
    p = jd.Normal(jnp.arange(3.0), 1.5)
    np.testing.assert_allclose(jd.pairwise(jd.KL(), p, p), both_axes_of_normals(p), rtol=1e-12)
    bits = jd.pairwise(jd.CrossEntropy(), jd.Bernoulli(probs=P[:, 0]), jd.probs(Q[:, :2]), base=2)
    assert bits.shape == (20, 20)
    padded = jd.pairwise(
        jd.CrossEntropy(), jd.labels(jnp.array([1, -1, 7]), ignore=-1), jd.logits(jnp.zeros((2, 3)))
    )
    assert not padded[1].any() and jnp.isnan(padded[2]).all()
    with pytest.raises(ValueError, match="it must have one axis"):
        jd.pairwise(jd.KL(), jd.probs(P[0]), jd.probs(Q))


def both_axes_of_normals(p):
    return jnp.stack([jd.kl(jd.Normal(m, p.scale), p) for m in p.loc])


# Bernoulli.


def bernoulli_pairs():
    """Logits apart, near each other, and far out, with their probabilities."""
    rng = np.random.default_rng(23)
    a = np.concatenate([3 * rng.normal(size=40), rng.uniform(-60, 60, 20)])
    b = np.where(np.arange(60) % 2, a + 10.0 ** -rng.uniform(1, 6, 60), 3 * rng.normal(size=60))
    return np.float32(a), np.float32(b)


def two_masses(x, by_logits):
    if not by_logits:
        return [1 - x, x]
    return [1 / (1 + mp.exp(x)), 1 / (1 + mp.exp(-x))]


BERNOULLI = [
    (lambda p, q: jd.kl(p, q), summed(kl_term)),
    (lambda p, q: jd.jensen_shannon(p, q), summed(js_term(mp.mpf(0.5)))),
    (lambda p, q: jd.cross_entropy(p, q), summed(lambda p, q: -p * mp.log(q) if p else 0)),
    (lambda p, q: jd.entropy(p), lambda p, q: -mp.fsum(x_log(x, x) for x in p)),
]


@pytest.mark.parametrize("form", ["probs", "logits"])
def test_bernoulli_against_mpmath(form):
    a, b = bernoulli_pairs()
    if form == "probs":
        a, b = (np.float32(1 / (1 + np.exp(-np.float64(np.clip(x, -40, 14))))) for x in (a, b))

    def values(a, b):
        p, q = (jd.Bernoulli(**{form: x}) for x in (a, b))
        return jnp.stack([verb(p, q) for verb, _ in BERNOULLI])

    value = np.asarray(jax.jit(values)(a, b))
    slopes = jax.jit(jax.vmap(jax.jacrev(values, (0, 1))))(a, b)
    errors = {k: [] for k in range(len(BERNOULLI))}
    step = mp.mpf(10) ** -30
    with mp.workdps(100):
        for i, (x, y) in enumerate(zip(exact(a), exact(b), strict=True)):
            for k, (_, reference) in enumerate(BERNOULLI):

                def at(x, y, reference=reference):
                    return reference(*(two_masses(z, form == "logits") for z in (x, y)))

                errors[k].append(value_error(value[k, i], at(x, y), np.float32))
                in_p = (at(x + step, y) - at(x - step, y)) / (2 * step)
                if k in (0, 1) and form == "logits":
                    error = norm_error([slopes[0][i, k]], [in_p], np.float32)
                    assert error <= 128, (k, float(x), float(y), error)
    for k, found in errors.items():
        assert np.median(found) <= 1.2 and max(found) <= 16, (k, np.median(found), max(found))


def test_bernoulli_is_two_classes():
    z, p = jnp.array([-2.0, 0.3, 0.0]), jnp.array([0.2, 0.5, 1.0])
    by_logits, by_probs = jd.Bernoulli(logits=z), jd.Bernoulli(probs=p)
    classes = [jd.logits(jnp.stack([0 * z, z], -1)), jd.probs(jnp.stack([1 - p, p], -1))]

    def values(p, q):
        return jnp.stack([jd.kl(p, q), jd.cross_entropy(p, q), jd.total_variation(p, q)])

    run = jax.jit(values)
    for one, first in zip((by_logits, by_probs), classes, strict=True):
        for other, second in zip((by_logits, by_probs), classes, strict=True):
            want = run(first, second)
            np.testing.assert_allclose(run(one, other), want, atol=1e-15)
    np.testing.assert_allclose(run(by_logits, classes[1]), run(*classes), atol=1e-15)
    np.testing.assert_allclose(
        jd.surprisal(by_logits, jnp.array([True, False, True])),
        -by_logits.log_prob(jnp.array([1, 0, 1])),
        rtol=1e-14,
    )
    draws = by_probs.sample(jr.key(0), (4000,))
    np.testing.assert_allclose(draws.mean(0), p, atol=0.03)
    for wrong in (jd.Bernoulli(), jd.Bernoulli(probs=p, logits=z)):
        with pytest.raises(ValueError, match="exactly one"):
            jd.kl(wrong, by_probs)
    with pytest.raises(ValueError, match="2 classes"):
        jd.kl(by_probs, jd.probs(jnp.ones((3, 3)) / 3))


def test_bernoulli_is_fitted():
    target = jd.Bernoulli(probs=0.3)
    by_probs = jd.fit(jd.reverse_kl(target), jd.Bernoulli(probs=0.6))
    np.testing.assert_allclose(by_probs.distribution.probs, 0.3, atol=1e-6)
    free, rebuild = jd.unconstrain(jd.Bernoulli(probs=0.6))
    assert rebuild(free).probs == 0.6
    move = jnp.array([-50.0, 50.0])
    far = jax.vmap(lambda m: rebuild(jax.tree.map(lambda u: u + m, free)).probs)(move)
    np.testing.assert_allclose(far, [0, 1], atol=1e-20)


# Errors.


def test_what_makes_no_sense_says_so():
    p, m, n = jd.probs(P[0]), jd.masses(P[0]), jd.Normal(0.0, 1.0)
    for verb in (jd.renyi_entropy, jd.tsallis_entropy):
        with pytest.raises(TypeError, match="normalise them and tag them `probs`"):
            verb(m, 2.0)
    for verb in (jd.chernoff_information, jd.information_variance):
        for pair in ((m, p), (p, m), (m, m)):
            with pytest.raises(TypeError, match="normalise them and tag them `probs`"):
                verb(*pair)
    draws = jd.FixedDraws(10)
    for verb in (jd.chernoff_information, jd.information_variance):
        with pytest.raises(TypeError, match="use `Quadrature"):
            verb(n, n, estimator=draws)
    for estimator in (draws, jd.Quadrature()):
        with pytest.raises(TypeError, match="large finite order"):
            jd.renyi(n, n, math.inf, estimator=estimator)
        with pytest.raises(TypeError, match="an order in between"):
            jd.min_entropy(n, estimator=estimator)
    with pytest.raises(ValueError, match="order must be a number from 0"):
        jd.renyi(p, p, -0.5)
    with pytest.raises(ValueError, match="order must be positive"):
        jd.tsallis(p, p, 0.0)
    with pytest.raises(ValueError, match="power must be finite"):
        jd.cressie_read(p, p, math.inf)
    with pytest.raises(TypeError, match="expected integers"):
        jd.surprisal(p, 0.5)


@pytest.mark.exhaustive
def test_bregman_of_small_masses():
    """Where the third derivative of the generator overflows, and then the second too."""

    def b(z, w):
        return jd.bregman(jd.logits(z), jd.logits(w), lambda x: x * jnp.log(x), at_zero=0.0)

    def kl(z, w):
        return jd.kl(jd.logits(z), jd.logits(w))

    low = jnp.array([-30.0, -40.0, -46.0, -60.0], jnp.float32)
    z = jnp.stack([jnp.zeros(4, jnp.float32), low], -1)
    w = z + jnp.array([0.0, 0.1], jnp.float32)

    @partial(jax.jit, static_argnums=0)
    def run(f, z, w):
        def slopes(w):
            return jax.vmap(jax.grad(f, (0, 1)))(z, w)

        here, along = jax.jvp(slopes, (w,), (w,))
        return jax.vmap(f)(z, w), *here, *along

    got, want = run(b, z, w), run(kl, z, w)
    for x, y in zip(got[:3], want[:3], strict=True):
        np.testing.assert_allclose(x[:2], y[:2], rtol=1e-5)
    # Beyond, by the definition as it stands: 1e-7 / 5e-3.
    np.testing.assert_allclose(got[0][2:], want[0][2:], rtol=1e-3)
    np.testing.assert_allclose(got[1][2:], want[1][2:], rtol=1e-5)
    assert all(jnp.isfinite(x).all() for x in got)
    assert not run(b, z, z)[0].any()


def test_renyi_of_an_order_next_to_one():
    """By its definition where supports differ: log(1/2) / (order - 1), with the digits of both."""
    p, q = jd.logits([0.0, 0.0, -np.inf]), jd.logits([0.0, -np.inf, 0.0])
    order = 0.999999
    for estimator in (None, jd.Enumerate()):
        value = jd.renyi(p, q, order, estimator=estimator)
        np.testing.assert_allclose(value, math.log(0.5) / (order - 1), rtol=1e-6)


@pytest.mark.parametrize(
    "make", [jd.Tsallis, jd.AmariAlpha, jd.CressieRead, jd.RenyiEntropy, jd.JensenShannon]
)
def test_an_array_of_parameters_is_refused(make):
    with pytest.raises(ValueError, match=r"must be one number, got .*\(3,\).*vmap"):
        make(jnp.full(3, 0.5))


def test_shapes_that_do_not_meet_are_named():
    p, q = jd.logits(jnp.zeros((2, 3))), jd.logits(jnp.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"p has batch shape \(2,\) and q has \(5,\).*pairwise"):
        jd.jeffreys(p, q)
    with pytest.raises(ValueError, match=r"logits: the class axis .* is empty"):
        jd.logits(jnp.zeros((2, 0)))
