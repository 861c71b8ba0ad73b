"""Which losses have the same gradient, and which have not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax.experimental.checkify import JaxRuntimeError

import jaxdiv as jd

RNG = np.random.default_rng(0)
B, V = 8, 5
Z = jnp.asarray(2 * RNG.normal(size=(B, V)))
T = jnp.asarray(2 * RNG.normal(size=(B, V)))  # the teacher's
Y = jnp.asarray(RNG.integers(0, V, B))
SOFT = jnp.asarray(RNG.dirichlet(np.ones(V), B))
Q, P = scipy.special.softmax(Z, -1), scipy.special.softmax(T, -1)


def slopes(at, **losses):
    """The gradient of the sum of each."""
    total = {name: lambda z, fn=fn: jnp.sum(fn(z)) for name, fn in losses.items()}
    return jax.jit(lambda z: {name: jax.grad(fn)(z) for name, fn in total.items()})(at)


def apart(a, b):
    return np.max(abs(np.asarray(a) - np.asarray(b)))


def test_cross_entropy_kl_and_likelihood_have_one_gradient_in_the_model():
    """They differ by the entropy of the target, in which the model has no part."""
    targets = {"hard": jd.labels(Y), "teacher": jd.logits(T)}
    targets["smoothed"] = jd.labels(Y, smoothing=0.1)
    by_name = {}
    for name, p in targets.items():
        by_name[name, "ce"] = lambda z, p=p: jd.cross_entropy(p, jd.logits(z))
        by_name[name, "kl"] = lambda z, p=p: jd.kl(p, jd.logits(z))
    by_name["hard", "nll"] = lambda z: -jd.logits(z).log_prob(Y)
    by_name["hard", "log_probs"] = lambda z: jd.cross_entropy(
        jd.labels(Y), jd.log_probs(jax.nn.log_softmax(z))
    )
    found = slopes(Z, **{" ".join(k): fn for k, fn in by_name.items()})
    hot = np.eye(V)[Y]
    want = {"hard": hot, "teacher": P, "smoothed": 0.9 * hot + 0.1 / V}
    for name, got in found.items():
        expected = Q - np.asarray(want[name.split()[0]])
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15, err_msg=name)
    # What the value is off by: nothing for a label, and a constant that smoothing makes.
    kl, ce = jd.kl(jd.labels(Y), jd.logits(Z)), jd.cross_entropy(jd.labels(Y), jd.logits(Z))
    np.testing.assert_array_equal(kl, ce)
    smooth = jd.labels(Y, smoothing=0.1)
    gap = jd.cross_entropy(smooth, jd.logits(Z)) - jd.kl(smooth, jd.logits(Z))
    constant = scipy.special.entr(want["smoothed"]).sum(-1)
    np.testing.assert_allclose(gap, constant, rtol=1e-12)
    assert constant.min() > 0


def test_where_they_differ():
    """In the target, the other way round, by temperature, and off the simplex."""
    found = slopes(
        Z,
        forward=lambda z: jd.kl(jd.logits(T), jd.logits(z)),
        bits=lambda z: jd.kl(jd.logits(T), jd.logits(z), base=2),
        reverse=lambda z: jd.kl(jd.logits(z), jd.logits(T)),
        reverse_ce=lambda z: jd.cross_entropy(jd.logits(z), jd.logits(T)),
        entropy=lambda z: jd.entropy(jd.logits(z)),
        warm=lambda z: jd.kl(jd.logits(T, temperature=4.0), jd.logits(z, temperature=4.0)),
    )
    log_p, log_q = np.log(P), np.log(Q)
    r = log_q - log_p
    reverse = Q * (r - (Q * r).sum(-1, keepdims=True))
    np.testing.assert_allclose(found["reverse"], reverse, rtol=1e-11, atol=1e-14)
    assert apart(found["reverse"], found["forward"]) > 0.1
    # As a function of its first argument the entropy counts: cross-entropy alone is another loss.
    np.testing.assert_allclose(
        found["reverse"], found["reverse_ce"] - found["entropy"], rtol=1e-10, atol=1e-14
    )
    assert apart(found["reverse"], found["reverse_ce"]) > 0.1
    np.testing.assert_allclose(found["bits"] * np.log(2), found["forward"], rtol=1e-13)
    # Temperature: (q_T - p_T) / T, which T^2 brings back to the size of the logits' difference.
    warm = (scipy.special.softmax(Z / 4, -1) - scipy.special.softmax(T / 4, -1)) / 4
    np.testing.assert_allclose(found["warm"], warm, rtol=1e-11, atol=1e-15)
    assert apart(found["warm"], found["forward"]) > 0.1

    q = jnp.asarray(Q)
    off = slopes(
        q,
        kl=lambda q: jd.kl(jd.probs(SOFT), jd.probs(q)),
        ce=lambda q: jd.cross_entropy(jd.probs(SOFT), jd.probs(q)),
    )
    np.testing.assert_allclose(off["ce"], -SOFT / Q, rtol=1e-12)
    np.testing.assert_allclose(off["kl"], 1 - SOFT / Q, rtol=1e-11, atol=1e-12)
    along = {name: x - x.mean(-1, keepdims=True) for name, x in off.items()}
    np.testing.assert_allclose(along["kl"], along["ce"], rtol=1e-10, atol=1e-12)


def test_softmax_twice_is_another_loss():
    """Its gradient is flattened, and it can't be 0; `checked` says so."""
    z = 30 * jax.nn.one_hot(Y, V)  # as right as can be

    def once(z):
        return jd.cross_entropy(jd.labels(Y), jd.logits(z))

    def twice(z):
        return once(jax.nn.softmax(z))

    np.testing.assert_allclose(twice(z), np.log(np.e + V - 1) - 1, rtol=1e-9)
    assert jnp.max(once(z)) < 1e-12
    found = slopes(Z, once=once, twice=twice)
    # The second softmax is of numbers within 1 of each other; the slope of the first is q(1 - q).
    jacobian = Q[:, :, None] * (np.eye(V) - Q[:, None, :])
    again = scipy.special.softmax(Q, -1) - np.eye(V)[Y]
    want = np.einsum("bi,bij->bj", again, jacobian)
    np.testing.assert_allclose(found["twice"], want, rtol=1e-10, atol=1e-14)
    assert apart(found["twice"], found["once"]) > 0.5
    jd.checked(once)(Z)
    with pytest.raises(JaxRuntimeError, match="q: logits: every row is a probability vector"):
        jd.checked(twice)(Z)
    for p, q in ((Y, jd.logits(Z)), (jd.probs(SOFT), Q)):
        with pytest.raises(TypeError, match="must say what it is"):
            jd.cross_entropy(p, q)


def test_a_student_learns_the_same_weights_from_cross_entropy_and_from_kl():
    """Two layers, minibatches, 200 steps of SGD in double precision."""
    features, hidden, steps, size = 6, 16, 200, 32
    x = jnp.asarray(RNG.normal(size=(256, features)))
    teacher = jnp.asarray(3 * RNG.normal(size=(features, V)))
    start = (
        jnp.asarray(RNG.normal(size=(features, hidden)) / 2),
        jnp.asarray(RNG.normal(size=(hidden, V)) / 4),
    )
    batches = jnp.asarray(RNG.integers(0, len(x), (steps, size)))

    def train(divergence):
        def loss(w, batch):
            z = jnp.tanh(batch @ w[0]) @ w[1]
            return jd.mean(divergence(jd.logits(batch @ teacher), jd.logits(z)))

        def step(w, rows):
            value, slope = jax.value_and_grad(loss)(w, x[rows])
            return jax.tree.map(lambda w, g: w - 0.5 * g, w, slope), value

        return jax.jit(lambda w: jax.lax.scan(step, w, batches))(start)

    (by_ce, ce), (by_kl, kl) = train(jd.cross_entropy), train(jd.kl)
    for one, other, first in zip(by_ce, by_kl, start, strict=True):
        assert apart(one, other) < 1e-10 < 0.1 < apart(one, first)
    assert kl[-1] < 0.2 * kl[0]
    gaps = ce - kl  # the entropy of the teacher, on each batch
    entropies = jd.entropy(jd.logits(x @ teacher))[batches].mean(-1)
    np.testing.assert_allclose(gaps, entropies, rtol=1e-10)
