"""Values and gradients against mpmath, in ulp, from inputs that are taken as exact."""

import itertools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import jaxdiv as jd

from .families import FAMILIES, moments, normal_reference
from .oracle import exact, norm_error, value_error
from .registry import (
    CLOSED_FORM,
    FORMS,
    FUNCTIONALS,
    accepts,
    evaluate,
    masses_of,
    simplex,
)

DIGITS = 60
STEP = mp.mpf(10) ** -20  # of the reference's own differences: an error of 1e-40
FORM = {form.name: form for form in FORMS}
FAMILY = {family.name: family for family in FAMILIES}
NORMALS = [name for name in FAMILY if "normal" in name]


def spread(rng, low, high, size):
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def class_rows(name, dtype, size):
    """Pairs apart, pairs from 0.1 down to 1e-6 from each other, and peaked ones."""
    rng = np.random.default_rng(2)
    if name == "logits":
        a, b = rng.normal(size=(2, size, 5)) * 3
        b[size // 3 :] = a[size // 3 :] + rng.normal(size=(size - size // 3, 5)) * spread(
            rng, 1e-6, 0.1, (size - size // 3, 1)
        )
        a[-size // 6 :] *= 10
        b[-size // 6 :] *= 10
        a[0] += 500
        return jnp.asarray(a, dtype), jnp.asarray(b, dtype)
    p, q = simplex(rng, (2, size, 5))
    p, q = p + 2**-20, q + 2**-20
    change = rng.normal(size=(size - size // 3, 5)) * spread(rng, 1e-6, 0.1, (size - size // 3, 1))
    q[size // 3 :] = p[size // 3 :] * np.exp(change)
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    of = FORM[name].of
    return of(jnp.asarray(p, dtype)).values, of(jnp.asarray(q, dtype)).values


def quantiles(errors):
    errors = np.sort(np.asarray(errors, float))
    return np.median(errors), errors[int(0.99 * (len(errors) - 1))], errors[-1]


def check(errors, budget, label):
    """`budget`: the median, the 99th percentile and the largest error allowed, in ulp."""
    got = quantiles(errors)
    assert all(g <= b for g, b in zip(got, budget, strict=True)), f"{label}: {got} ulp"


# Median, 99th percentile and largest error allowed, in ulp of the result: measured, and a margin.
VALUES = (1.2, 6, 12)
GRADIENTS = (2, 16, 64)
GRADIENTS_OF_SQUARES = (3, 32, 128)  # of variances, and of powers of masses
# Powers of p/q: an ulp of its logarithm counts as many as the power's own logarithm is large.
VALUES_OF_POWERS = (1.2, 10, 32)
# Of order infinity between vectors: a solve by the difference of the covariances, as exact as its
# smallest eigenvalue.
VALUES_OF_SOLVES = (1.2, 16, 64)
POWERS = ("chi squared", "neyman chi squared", "cressie read 2/3", "amari alpha 2")
# Slopes of a kink, times p (1 - p): at a point mass the sum over the others is left.
GRADIENTS_OF_KINKS = (2, 16, 256)
CANCELS = 1e-2  # below this KL the slope of a cross-entropy in q is a difference of its parts
OURS = [f for f in FUNCTIONALS if f.name != "f-divergence"]  # a user's f has the digits it has


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *itertools.product(["probs", "log_probs", "masses", "logits"], [jnp.float32, jnp.float64]),
        *itertools.product(["probs", "logits"], [jnp.bfloat16]),
    ],
)
def test_values_between_classes(name, dtype):
    tag, form = getattr(jd, name), FORM[name]
    p, q = (tag(x) for x in class_rows(name, dtype, 60))
    out = np.float64 if dtype == jnp.float64 else np.float32
    with mp.workdps(DIGITS):
        rows = list(zip(masses_of(p), masses_of(q), strict=True))
        for f in OURS:
            if not accepts(f, form, form):
                continue
            got = np.asarray(f(p, q))
            assert got.dtype == out
            errors = [
                value_error(g, f.reference(*row[: f.arity]), out)
                for g, row in zip(got, rows, strict=True)
            ]
            check(errors, VALUES_OF_POWERS if f.name in POWERS else VALUES, f.name)


def differences(value, sizes):
    """The gradient of `value(side, i, h)`, the value with an entry moved by `h`, on each side."""
    return [
        [(value(side, i, STEP) - value(side, i, -STEP)) / (2 * STEP) for i in range(size)]
        for side, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("name", ["probs", pytest.param("logits", marks=pytest.mark.exhaustive)])
def test_gradients_between_classes(name):
    """Relative to the largest entry; of Renyi along the simplex, where they are defined."""
    tag = getattr(jd, name)
    a, b = class_rows(name, jnp.float32, 24)
    left_out = ("renyi 1.0", "js 0.5" if name == "logits" else "")
    used = [f for f in OURS if not f.twin and f.name not in left_out]
    slopes = jax.jit(jax.vmap(jax.jacrev(lambda a, b: evaluate(used, tag(a), tag(b)), (0, 1))))
    got = [np.asarray(x) for x in slopes(a, b)]

    def moved(row, side, i, h):
        sides = [exact(x[row]) for x in (a, b)]
        sides[side][i] += h
        return sides if name == "probs" else [softmax(x) for x in sides]

    with mp.workdps(DIGITS):
        for k, f in enumerate(used):
            errors = []
            for row in range(len(a)):

                def value(side, i, h, f=f, row=row):
                    return f.reference(*moved(row, side, i, h)[: f.arity])

                for side, want in enumerate(differences(value, [5] * f.arity)):
                    slope = exact(got[side][row, k])
                    if name == "probs" and f.on_simplex:
                        slope, want = (tangent(x) for x in (slope, want))
                    errors.append(norm_error(slope, want, np.float32))
            budget = GRADIENTS_OF_SQUARES if "var" in f.name or "renyi e" in f.name else GRADIENTS
            budget = GRADIENTS_OF_KINKS if f.name == "total variation" else budget
            check(errors, budget, f.name)


def softmax(z):
    weights = [mp.exp(v - max(z)) for v in z]
    total = mp.fsum(weights)
    return [w / total for w in weights]


def tangent(x):
    mean = mp.fsum(x) / len(x)
    return [v - mean for v in x]


# Normal distributions.


def normal_pairs(name, dtype, count):
    """Pairs apart, near each other down to 1e-6, and (on the line) with scales 1e±6 apart."""
    rng = np.random.default_rng(3)
    make = FAMILY[name].make
    pairs = []
    for i in range(count):
        p, q = make(rng, np.float64), make(rng, np.float64)
        if i % 3:
            near = 10.0 ** -rng.uniform(1, 6)
            q = jax.tree.map(lambda x, near=near: x * (1 + near * rng.normal(size=x.shape)), p)
        elif name == "normal" and i % 2:
            far = 10.0 ** rng.uniform(-6, 6)
            q = jd.Normal(q.loc * far, q.scale * far)
        pairs.append((rounded(p, dtype), rounded(q, dtype)))
    return pairs


def rounded(dist, dtype):
    dist = jax.tree.map(lambda x: jnp.asarray(x, dtype), dist)
    covariance = getattr(dist, "covariance_matrix", None)
    if covariance is not None:
        return jd.MultivariateNormal(dist.loc, covariance_matrix=(covariance + covariance.T) / 2)
    return dist


def stack(pairs):
    return jax.tree.map(lambda *xs: jnp.stack(xs), *pairs)


def closed_forms(pair):
    used = [f for f in OURS if CLOSED_FORM.serves(f, *pair) and f.name != "renyi 1.0"]
    if isinstance(pair[0], jd.Normal):
        return used
    # Of vectors a reference takes longer: what follows from these by the same means is left out.
    return [f for f in used if f.name != "chernoff" and f.name not in POWERS[1:]]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*itertools.product(NORMALS, [jnp.float32, jnp.float64]), ("normal", jnp.bfloat16)],
)
def test_values_between_normals(name, dtype):
    """Entropies, which may be near zero, in ulp of the larger of 1 and themselves."""
    pairs = normal_pairs(name, dtype, 45)
    used = closed_forms(pairs[0])
    out = np.float64 if dtype == jnp.float64 else np.float32
    values = jax.jit(jax.vmap(lambda p, q: jnp.stack([f(p, q) for f in used])))(*stack(pairs))
    assert values.dtype == out
    with mp.workdps(DIGITS):
        read = [[moments(d) for d in pair] for pair in pairs]
        for k, f in enumerate(used):
            errors = []
            for got, pair in zip(values[:, k], read, strict=True):
                want = normal_reference(f.value, *pair)
                want = mp.inf if want > float(np.finfo(out).max) else want
                error = value_error(got, want, out)
                if not f.is_divergence:
                    error *= float(min(1, abs(want)))
                if f.name in POWERS:  # an exponential: an ulp of its argument counts
                    error /= float(1 + mp.log1p(want))
                errors.append(error)
            budget = VALUES_OF_POWERS if f.name in POWERS else VALUES
            solved = f.name == "renyi inf" and "multi" in name
            check(errors, VALUES_OF_SOLVES if solved else budget, f.name)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NORMALS)
def test_gradients_between_normals(name):
    """In every field of both, relative to the largest entry of the field."""
    pairs = normal_pairs(name, jnp.float32, 18)
    used = closed_forms(pairs[0])
    if "multi" in name:  # of the others in test_renyi, by second derivatives
        used = [f for f in used if f.name not in ("chi squared", "renyi 0.0", "renyi inf")]
    slopes = jax.jit(jax.vmap(jax.jacrev(lambda p, q: evaluate(used, p, q), (0, 1))))
    got = slopes(*stack(pairs))
    fields = [path[-1].name for path, _ in jax.tree_util.tree_flatten_with_path(pairs[0][0])[0]]
    leaves = [[np.asarray(x) for x in jax.tree.leaves(side)] for side in got]
    with mp.workdps(DIGITS):
        for k, f in enumerate(used):
            errors = []
            for row, pair in enumerate(pairs):
                largest = normal_reference(f.value, *map(moments, pair))
                near = normal_reference(jd.KL(), *map(moments, pair)) < CANCELS
                if largest > 1e30 or (near and f.name == "cross entropy" and "multi" in name):
                    continue
                for side in range(f.arity):
                    for field, leaf in zip(fields, leaves[side], strict=True):
                        slope = leaf[row, k].ravel()

                        def moved(_, i, h, f=f, pair=pair, side=side, field=field):
                            read = [moments(d) for d in pair]
                            read[side] = moments(pair[side], (field, i, h))
                            return normal_reference(f.value, *read)

                        (want,) = differences(moved, [slope.size])
                        errors.append(norm_error(slope, want, np.float32))
            if errors:
                check(errors, GRADIENTS_OF_SQUARES if f.name in POWERS else GRADIENTS, f.name)
