"""Zeros, masks and 200 nats: the values that the definitions give, and never a NaN."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import jaxdiv as jd

from .oracle import exact
from .registry import DIVERGENCES, FUNCTIONALS, accepts, masses_of
from .registry import FORMS as ALL_FORMS

FORMS = [form for form in ALL_FORMS if form.name != "labels"]
NAMES = [form.name for form in FORMS]
DTYPES = [jnp.bfloat16, jnp.float32, jnp.float64]

# Rows with every pattern of zeros: none, in p only, in q only, in both, all but one; one-hot rows;
# the same outcome, and disjoint ones. All are multiples of 1/16, which every dtype holds.
P_ROWS = (
    np.array(
        [
            [4, 4, 4, 4],
            [0, 8, 4, 4],
            [8, 4, 4, 0],
            [0, 8, 8, 0],
            [0, 0, 16, 0],
            [1, 1, 1, 13],
            [16, 0, 0, 0],
            [16, 0, 0, 0],
            [8, 8, 0, 0],
            [0, 4, 12, 0],
        ]
    )
    / 16
)
Q_ROWS = (
    np.array(
        [
            [1, 2, 3, 10],
            [4, 4, 4, 4],
            [8, 8, 0, 0],
            [0, 4, 12, 0],
            [4, 4, 4, 4],
            [0, 0, 0, 16],
            [16, 0, 0, 0],
            [0, 16, 0, 0],
            [0, 0, 12, 4],
            [2, 6, 8, 0],
        ]
    )
    / 16
)


def used_for(form):
    return [f for f in FUNCTIONALS if accepts(f, form, form)]


def stacked(used, make):
    def value(p, q):
        p, q = make(p), make(q)
        return jnp.stack([f(p, q) for f in used])

    return value


@functools.cache
def everything(form, dtype, used=None):
    """Value, gradients and second derivatives of every functional, per row."""
    used = used or tuple(used_for(form))
    make = getattr(jd, form.name)

    def one(a, b):
        value = stacked(used, make)
        first = jax.jacrev(value, (0, 1))
        return value(a, b), first(a, b), jax.jacfwd(first, (0, 1))(a, b)

    return jax.jit(jax.vmap(one))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_zeros(form, dtype):
    """Values are the definitions', infinite exactly where they are; no derivative is NaN."""
    used = used_for(form)
    p, q = (form.of(jnp.asarray(rows, dtype)) for rows in (P_ROWS, Q_ROWS))
    value, first, second = everything(form, dtype)(p.values, q.values)
    tolerance = 1e-12 if dtype == jnp.float64 else 2e-6
    with mp.workdps(50):
        rows = list(zip(masses_of(p), masses_of(q), strict=True))
        for i, f in enumerate(used):
            want = [float(f.reference(*row[: f.arity])) for row in rows]
            np.testing.assert_allclose(
                value[:, i], want, rtol=tolerance, atol=tolerance, err_msg=f.name
            )
    for derivative in jax.tree.leaves((first, second)):
        for i, f in enumerate(used):
            assert jnp.isfinite(derivative[:, i]).all(), f.name


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_masks(form):
    """`where` is a zero (a logit of -inf), whatever stands there; a row masked throughout is 0."""
    used = used_for(form)
    tag = getattr(jd, form.name)
    hidden = jnp.nan
    value, first, second = everything(form, jnp.float64)(
        form.of(jnp.asarray(P_ROWS)).values, form.of(jnp.asarray(Q_ROWS)).values
    )
    p_where, q_where = jnp.asarray(P_ROWS > 0), jnp.asarray(Q_ROWS > 0)
    p, q = (
        jnp.where(where, form.of(jnp.asarray(rows)).values, hidden)
        for where, rows in ((p_where, P_ROWS), (q_where, Q_ROWS))
    )

    def masked(p, q, p_where, q_where):
        p, q = tag(p, where=p_where), tag(q, where=q_where)
        return jnp.stack([f(p, q) for f in used])

    @jax.jit
    @jax.vmap
    def of(p, q, p_where, q_where):
        first = jax.jacrev(masked, (0, 1))
        args = p, q, p_where, q_where
        return masked(*args), first(*args), jax.jacfwd(first, (0, 1))(*args)

    got, slopes, curves = of(p, q, p_where, q_where)
    np.testing.assert_array_equal(got, value)
    for slope, plain, where in zip(slopes, first, (p_where, q_where), strict=True):
        kept = jnp.broadcast_to(where[:, None], slope.shape)
        np.testing.assert_array_equal(slope[kept], plain[kept])
        assert (slope[~kept] == 0).all()
    for curve in jax.tree.leaves(curves):
        assert jnp.isfinite(curve).all()
    nothing = jnp.zeros_like(p_where)
    padding = of(p, q, nothing, nothing)
    for leaf in jax.tree.leaves(padding):
        np.testing.assert_array_equal(leaf, 0)


def one_sided(reference, masses, side, i):
    """The one-sided derivative at a zero mass, or the derivative inside; 0 where it diverges."""

    def at(step):
        moved = [list(m) for m in masses]
        moved[side][i] += step
        return reference(*moved)

    here = at(0)
    if not masses[side][i]:
        near, nearer = ((at(h) - here) / h for h in (mp.mpf(10) ** -40, mp.mpf(10) ** -60))
        return nearer if abs(near - nearer) < 1e-6 else mp.mpf(0)
    h = mp.mpf(10) ** -30
    return (at(h) - at(-h)) / (2 * h)


@pytest.mark.parametrize("name", ["probs", "masses"])
def test_gradients_in_masses_are_one_sided_limits(name):
    """Where such a limit is finite; 0 where it is not; 0 where both masses are zero."""
    form = next(form for form in FORMS if form.name == name)
    used = used_for(form)
    rows = [i for i in range(len(P_ROWS)) if i not in (7, 8)]  # disjoint: infinite, or flat
    p, q = jnp.asarray(P_ROWS), jnp.asarray(Q_ROWS)
    _, first, _ = everything(form, jnp.float64)(p, q)
    with mp.workdps(100):
        for row in rows:
            masses = [exact(P_ROWS[row]), exact(Q_ROWS[row])]
            for k, f in enumerate(used):
                if f.reference(*masses[: f.arity]) == mp.inf:
                    continue
                for side in range(f.arity):
                    for i in range(4):
                        if masses[0][i] == masses[-1][i] and (
                            not masses[0][i] or f.name == "total variation"
                        ):
                            want = 0  # both zero, or a kink
                        elif undefined(f, masses, side, i):
                            continue
                        else:
                            want = one_sided(f.reference, masses[: f.arity], side, i)
                        got = float(first[side][row, k, i])
                        assert got == pytest.approx(float(want), rel=1e-9, abs=1e-12), (
                            f.name,
                            row,
                            side,
                            i,
                        )


def undefined(f, masses, side, i):
    """The slope of a generator that the user gave, in q at q = 0 < p: documented to be 0."""
    return f.name == "f-divergence" and side == 1 and not masses[1][i]


def test_gradients_that_the_design_states():
    """KL, squared Hellinger, Jensen-Shannon, entropy and total variation at p = 0 < q."""
    p, q = jnp.array([0.0, 0.5, 0.5, 0.0]), jnp.array([0.25, 0.5, 0.25, 0.0])

    def slopes(verb):
        return [g[0] for g in jax.grad(lambda p, q: verb(jd.probs(p), jd.probs(q)), (0, 1))(p, q)]

    assert slopes(jd.kl) == [0, 1]
    assert slopes(jd.total_variation) == [-0.5, 0.5]
    assert slopes(jd.squared_hellinger) == [0, 0.5]
    assert slopes(jd.jensen_shannon)[0] == 0
    assert slopes(jd.jensen_shannon)[1] == pytest.approx(0.5 * np.log(2))
    assert slopes(jd.chi_squared) == [-2, 1]
    assert jax.grad(lambda p: jd.entropy(jd.probs(p)))(p)[0] == 0
    for verb in (jd.kl, jd.total_variation, jd.squared_hellinger, jd.jensen_shannon):
        for g in jax.grad(lambda p, q, verb=verb: verb(jd.probs(p), jd.probs(q)), (0, 1))(p, q):
            assert g[3] == 0 and g[1] == pytest.approx(0, abs=1e-15)


def test_infinite_values_leave_out_the_outcomes_responsible():
    p, q = jnp.array([0.5, 0.3, 0.2]), jnp.array([0.0, 0.4, 0.6])
    for verb in (jd.kl, jd.cross_entropy, jd.jeffreys, jd.chi_squared):
        value, slopes = jax.value_and_grad(
            lambda p, q, verb=verb: verb(jd.probs(p), jd.probs(q)), (0, 1)
        )(p, q)
        rest = jax.grad(lambda p, q, verb=verb: verb(jd.masses(p), jd.masses(q)), (0, 1))(
            p[1:], q[1:]
        )
        assert value == jnp.inf
        for slope, want in zip(slopes, rest, strict=True):
            assert slope[0] == 0
            np.testing.assert_allclose(slope[1:], want, rtol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", ["probs", "log_probs", "logits"])
def test_two_hundred_nats(name, dtype):
    """Log-ratios of hundreds of nats: the value where the dtype holds it, and never a NaN."""
    form = next(form for form in FORMS if form.name == name)
    used = used_for(form)
    rng = np.random.default_rng(4)
    a, b = rng.uniform(-100, 100, (2, 12, 4))
    a[:4], b[:4] = rng.permuted(np.tile([0, -200, 200, 30], (4, 1)), axis=1), 0
    a[4:6], b[4:6] = b[:2], a[:2]
    a, b = (jnp.asarray(x, dtype) for x in (a, b))
    values = {
        "logits": lambda z: z,
        "log_probs": lambda z: jax.nn.log_softmax(z),
        "probs": lambda z: jax.nn.softmax(z),
    }[name]
    a, b = values(a), values(b)
    value, first, second = everything(form, dtype)(a, b)
    largest, tag = float(jnp.finfo(dtype).max), getattr(jd, name)
    tolerance = 1e-4 if dtype == jnp.float32 else 1e-12
    with mp.workdps(300):
        rows = list(zip(masses_of(tag(a)), masses_of(tag(b)), strict=True))
        for i, f in enumerate(used):
            want = np.array([float(f.reference(*row[: f.arity])) for row in rows])
            want[want > 0.1 * largest] = np.inf
            if f.name == "f-divergence":
                assert not jnp.isnan(value[:, i]).any()
            np.testing.assert_allclose(
                value[:, i], want, rtol=tolerance, atol=1e-30, err_msg=f.name
            )
    for derivative in jax.tree.leaves((first, second)):
        for i, f in enumerate(used):
            assert not jnp.isnan(derivative[:, i]).any(), f.name


def test_a_chain_rule_through_a_masked_softmax_is_zero():
    """0 times infinity does not arise where a probability comes from a masked logit."""
    z = jnp.array([0.3, -jnp.inf, 1.0])
    q = jd.probs(jnp.array([0.2, 0.3, 0.5]))
    for f in DIVERGENCES:
        slope = jax.grad(lambda z, f=f: f(jd.probs(jax.nn.softmax(z)), q))(z)
        assert jnp.isfinite(slope).all() and slope[1] == 0, f.name


def test_the_square_root_of_jensen_shannon_at_equality():
    """Its gradient at p = q is that of a cone: 0 by the double `where` of the caller's choice."""
    p = jnp.array([0.2, 0.3, 0.5])
    value, slope = jax.value_and_grad(lambda q: jd.jensen_shannon(jd.probs(p), jd.probs(q)))(p)
    assert value == 0 and (slope == 0).all()


def test_a_limit_that_is_not_given_is_nan_only_where_it_is_needed():
    bare = jd.FDivergence(lambda u: u * jnp.log(u))

    def value(p, q):
        return jd.divergence(bare, jd.probs(p), jd.probs(q))

    inside = jnp.array([0.25, 0.75]), jnp.array([0.5, 0.5])
    assert value(*inside) == pytest.approx(float(jd.kl(*map(jd.probs, inside))), rel=1e-14)
    for slope in jax.grad(value, (0, 1))(*inside):
        assert jnp.isfinite(slope).all()
    one, half = jnp.array([0.0, 1.0]), jnp.array([0.5, 0.5])
    assert jnp.isnan(value(one, half)) and jnp.isnan(value(half, one))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_families_far_apart(dtype):
    """Normals tens of scales apart or with scales 1e±6 apart: finite where the definition is."""
    loc, scale = jnp.asarray([0.0, 0.0, 0.0, 60.0], dtype), jnp.asarray([1.0, 1e6, 1e-6, 1], dtype)
    p, q = jd.Normal(loc, scale), jd.Normal(jnp.asarray(0, dtype), jnp.asarray(1, dtype))
    for verb in (jd.kl, jd.jeffreys, jd.squared_hellinger, jd.bhattacharyya, jd.cross_entropy):

        def both(m, s, verb=verb):
            return verb(jd.Normal(m, s), q), verb(q, jd.Normal(m, s))

        values = jnp.stack(both(loc, scale))
        assert jnp.isfinite(values).all()
        for slope in jax.jacrev(lambda m, s, both=both: jnp.stack(both(m, s)), (0, 1))(loc, scale):
            assert jnp.isfinite(slope).all()
    assert jd.chi_squared(jd.Normal(0.0, 2.0), jd.Normal(0.0, 1.0)) == jnp.inf
    assert jd.renyi(jd.Normal(0.0, 2.0), jd.Normal(0.0, 1.0), 2.0) == jnp.inf
    slopes = jax.grad(lambda s: jd.renyi(jd.Normal(0.0, s), jd.Normal(0.0, 1.0), 2.0))(2.0)
    assert jnp.isfinite(slopes)
    assert jd.kl(p, q).dtype == dtype
