"""Distillation losses against their definitions, and the divergences between both KLs."""

from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import jaxdiv as jd

from .textbook import js_term, summed

RNG = np.random.default_rng(6)
STUDENT, TEACHER = (2 * RNG.normal(size=(3, 5)) for _ in range(2))
Y = np.array([1, 4, -1])


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_loss_is_its_definition():
    """Both KLs at a temperature of each row's own, with hard labels of which one is ignored."""
    temperature, weight = np.array([1.0, 4.0, 0.5]), 0.3

    @jax.jit
    def losses(student, teacher):
        student, labels = jd.logits(student), jd.labels(Y, ignore=-1)
        options: dict[str, Any] = dict(temperature=temperature)
        reverse = jd.JensenShannon(1.0, normalized=True)
        forms = jd.logits(teacher), jd.probs(jax.nn.softmax(teacher))
        log_p, indices = jax.lax.top_k(jax.nn.log_softmax(teacher / temperature[:, None]), 5)
        return [
            *(jd.distillation(student, form, **options) for form in forms),
            jd.distillation(student, jd.top_k(indices, log_p), **options),
            jd.distillation(student, forms[0], scaled=False, divergence=reverse, **options),
            jd.distillation(student, forms[0], labels, hard_weight=weight, **options),
            jd.distillation(student, forms[0]),
        ]

    scale = temperature[:, None]
    p, q = softmax(TEACHER / scale), softmax(STUDENT / scale)
    forward = temperature**2 * np.sum(p * np.log(p / q), -1)
    hard = np.where(Y < 0, 0, -np.log(softmax(STUDENT))[np.arange(3), Y])
    one, other = softmax(TEACHER), softmax(STUDENT)
    want = [
        *3 * [forward],
        np.sum(q * np.log(q / p), -1),
        (1 - weight) * forward + weight * hard,
        np.sum(one * np.log(one / other), -1),
    ]
    np.testing.assert_allclose(losses(STUDENT, TEACHER), want, rtol=1e-12)


def test_hot_students_match_logits():
    """With T large, T^2 KL is half the variance of the difference (Hinton et al. 2015)."""
    student, teacher = jd.logits(STUDENT), jd.logits(TEACHER)
    value = jax.jit(lambda: jd.distillation(student, teacher, temperature=1e5))()
    np.testing.assert_allclose(value, np.var(TEACHER - STUDENT, -1) / 2, rtol=1e-4)


def test_normalized_jensen_shannon():
    """By its definition inside, and at the ends the KLs to which it goes over."""
    p, q = softmax(TEACHER), softmax(STUDENT)
    p[0, 1] = q[0, 2] = 0.0
    p, q = (x / x.sum(-1, keepdims=True) for x in (p, q))

    def value(weight, p, q):
        return jd.divergence(jd.JensenShannon(weight, normalized=True), jd.probs(p), jd.probs(q))

    inside = np.array([1e-9, 0.1, 0.5, 0.8, 1 - 1e-9])
    got = jax.jit(jax.vmap(value, (0, None, None)))(inside, p, q)
    with mp.workdps(40):
        for weight, row in zip(inside, got, strict=True):
            js = summed(js_term(mp.mpf(float(weight))))
            rows = [[[mp.mpf(float(x)) for x in r] for r in rows] for rows in (p, q)]
            want = [
                js(*pair) / mp.mpf(float(weight)) / (1 - mp.mpf(float(weight)))
                for pair in zip(*rows, strict=True)
            ]
            np.testing.assert_allclose(row, np.array(want, float), rtol=1e-6)
            if 0.05 < weight < 0.95:
                np.testing.assert_allclose(row, np.array(want, float), rtol=1e-12)


def test_ends_of_the_normalized_jensen_shannon():
    """Of logits: KL itself at the ends, and its slopes in the limit."""

    def value(weight, p, q):
        D = jd.JensenShannon(weight, normalized=True)
        return jnp.sum(jd.divergence(D, jd.logits(p), jd.logits(q)))

    @jax.jit
    def slopes(p, q):
        at_ends = [jax.value_and_grad(value, (1, 2))(end, p, q) for end in (0.0, 1.0)]
        near = jax.vmap(jax.value_and_grad(value, (1, 2)), (0, None, None))
        return at_ends, near(jnp.array([1e-11, 1 - 1e-11]), p, q)

    p, q = softmax(TEACHER), softmax(STUDENT)
    r, at_ends = np.log(p / q), []
    for a, b, ratio in ((p, q, r), (q, p, -r)):
        kl = np.sum(a * ratio, -1, keepdims=True)
        at_ends.append((kl.sum(), (a * (ratio - kl), b - a)))
    want = at_ends[0], (at_ends[1][0], at_ends[1][1][::-1])
    got, near = slopes(TEACHER, STUDENT)
    for i, ends in enumerate(want):
        near_end = jax.tree.map(lambda x, i=i: x[i], near)
        for a, b, c in zip(*map(jax.tree.leaves, (ends, got[i], near_end)), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(c, a, rtol=1e-6, atol=1e-8)
    p, q = jd.Normal(0.0, 1.0), jd.Normal(1.0, 2.0)
    reverse = jd.divergence(jd.JensenShannon(1.0, normalized=True), p, q)
    np.testing.assert_allclose(reverse, 0.5 * (4 + 1 - 1) - np.log(2), rtol=1e-12)


def test_what_is_refused():
    z, p = jd.logits(jnp.zeros(3)), jd.probs(jnp.ones(3) / 3)
    with pytest.raises(TypeError, match="the student must be tagged `logits`, got Probs"):
        jd.distillation(p, z)
    with pytest.raises(TypeError, match=r"the teacher must be tagged .*, got Masses"):
        jd.distillation(z, jd.masses(jnp.ones(3)))
    with pytest.raises(TypeError, match="teacher must say what it is"):
        jd.distillation(z, jnp.ones(3))
    with pytest.raises(ValueError, match="go together, got no hard_weight"):
        jd.distillation(z, p, jd.labels(0))
    with pytest.raises(ValueError, match="go together, got no labels"):
        jd.distillation(z, p, hard_weight=0.5)
    with pytest.raises(ValueError, match="the student has a temperature already"):
        jd.distillation(jd.logits(jnp.zeros(3), temperature=2.0), p, temperature=2.0)
    for weight in (-0.1, 1.1):
        with pytest.raises(ValueError, match="weight must lie between 0 and 1"):
            jd.JensenShannon(weight, normalized=True)
