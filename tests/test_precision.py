"""Values and gradients against mpmath, in ulp, from inputs that are taken as exact."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import jaxdiv as jd

from .oracle import Softmax, exact, norm_error, value_error
from .registry import (
    CLOSED_FORM,
    FAMILIES,
    FORMS,
    FUNCTIONALS,
    accepts,
    evaluate,
    masses_of,
    moments,
    normal_reference,
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
OURS = [f for f in FUNCTIONALS if f.name != "f-divergence"]  # a user's f has the digits it has


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", ["probs", "log_probs", "masses", "logits"])
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
            check(errors, VALUES, f.name)


def differences(value, sizes):
    """The gradient of `value(side, i, h)`, the value with an entry moved by `h`, on each side."""
    return [
        [(value(side, i, STEP) - value(side, i, -STEP)) / (2 * STEP) for i in range(size)]
        for side, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("name", ["probs", "logits"])
def test_gradients_between_classes(name):
    """Relative to the largest entry; of Renyi along the simplex, where they are defined."""
    tag = getattr(jd, name)
    a, b = class_rows(name, jnp.float32, 24)
    used = [f for f in OURS if f.name not in ("renyi 1.0", "js 0.5" if name == "logits" else "")]
    slopes = jax.jit(jax.vmap(jax.jacrev(lambda a, b: evaluate(used, tag(a), tag(b)), (0, 1))))
    got = [np.asarray(x) for x in slopes(a, b)]

    def moved(row, side, i, h):
        sides = [exact(x[row]) for x in (a, b)]
        sides[side][i] += h
        return sides if name == "probs" else [Softmax(x).p for x in sides]

    with mp.workdps(DIGITS):
        for k, f in enumerate(used):
            errors = []
            for row in range(len(a)):

                def value(side, i, h, f=f, row=row):
                    return f.reference(*moved(row, side, i, h)[: f.arity])

                for side, want in enumerate(differences(value, [5] * f.arity)):
                    slope = exact(got[side][row, k])
                    if name == "probs" and isinstance(f.value, jd.Renyi):
                        slope, want = (tangent(x) for x in (slope, want))
                    errors.append(norm_error(slope, want, np.float32))
            check(errors, GRADIENTS, f.name)


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
    if isinstance(dist, jd.MultivariateNormal) and dist.scale_tril is None:
        covariance = dist.covariance_matrix
        return jd.MultivariateNormal(dist.loc, covariance_matrix=(covariance + covariance.T) / 2)
    return dist


def stack(pairs):
    return jax.tree.map(lambda *xs: jnp.stack(xs), *pairs)


def closed_forms(pair):
    used = [f for f in OURS if CLOSED_FORM.serves(f, *pair)]
    return [f for f in used if f.name != "renyi 1.0"]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", NORMALS)
def test_values_between_normals(name, dtype):
    """Entropies, which may be near zero, in ulp of the larger of 1 and themselves."""
    pairs = normal_pairs(name, dtype, 45)
    used = closed_forms(pairs[0])
    out = dtype if dtype != jnp.bfloat16 else jnp.bfloat16
    values = jax.jit(jax.vmap(lambda p, q: evaluate(used, p, q)))(*stack(pairs))
    with mp.workdps(DIGITS):
        read = [[moments(d) for d in pair] for pair in pairs]
        for k, f in enumerate(used):
            errors = []
            for got, pair in zip(values[:, k], read, strict=True):
                want = normal_reference(f.value, *pair)
                error = value_error(got, want, out)
                errors.append(error if f.is_divergence else error * float(min(1, abs(want))))
            check(errors, VALUES, f.name)
