"""A teacher of which k classes are kept, against the definition on k + 1 buckets."""

from functools import partial

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from jax.experimental.checkify import JaxRuntimeError
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

import jaxdiv as jd

from .textbook import chi_squared_term, cross_entropy_term, js_term, kl_term, summed

RNG = np.random.default_rng(5)
TEACHER, STUDENT = (2 * RNG.normal(size=(4, 7)) for _ in range(2))
FUNCTIONALS = {
    "kl": (jd.KL(), summed(kl_term)),
    "reverse kl": (
        jd.JensenShannon(1.0, normalized=True),
        lambda p, q: summed(kl_term)(q, p),
    ),
    "cross entropy": (jd.CrossEntropy(), summed(cross_entropy_term)),
    "js": (jd.JensenShannon(0.3), summed(js_term(mp.mpf(0.3)))),
    "tv": (jd.TotalVariation(), summed(lambda p, q: abs(p - q) / 2)),
    "chi squared": (jd.ChiSquared(), summed(chi_squared_term)),
}


def log_softmax(z):
    return z - np.log(np.sum(np.exp(z), -1, keepdims=True))


def keep(log_p, k):
    """As a disk would hold them: the indices and the logarithms of the k largest."""
    indices = np.argsort(-log_p, -1)[..., :k]
    return indices, np.take_along_axis(log_p, indices, -1)


def buckets(row, indices):
    """Masses of a row of logits, and of the rest as one, in many digits."""
    e = [mp.exp(mp.mpf(float(z))) for z in row]
    rest = mp.fsum(x for i, x in enumerate(e) if i not in indices)
    return [x / mp.fsum(e) for x in [*(e[i] for i in indices), rest]]


@jax.jit
def everything(teacher, q):
    values = [jd.divergence(f, teacher, q) for f, _ in FUNCTIONALS.values()]
    return jnp.stack([*values, jd.kl(q, teacher), jd.entropy(teacher)])


@pytest.mark.parametrize("k", [1, 3, 7])
def test_divergences_are_those_of_the_buckets(k):
    indices, log_p = keep(log_softmax(TEACHER), k)
    got = everything(jd.top_k(indices, log_p), jd.logits(STUDENT))
    with mp.workdps(40):
        for row in range(len(TEACHER)):
            p, q = (buckets(z[row], list(indices[row])) for z in (TEACHER, STUDENT))
            want = [f(p, q) for _, f in FUNCTIONALS.values()]
            want += [summed(kl_term)(q, p), summed(cross_entropy_term)(p, p)]
            np.testing.assert_allclose(got[:, row], np.array(want, float), rtol=1e-12)


def test_lower_bounds_of_the_full_divergences_that_grow_with_k():
    full = np.asarray(everything(jd.logits(TEACHER), jd.logits(STUDENT)))
    last = np.zeros_like(full)
    for k in (1, 3, 7):
        value = np.asarray(everything(jd.top_k(*keep(log_softmax(TEACHER), k)), jd.logits(STUDENT)))
        assert (value >= last * (1 - 1e-14)).all() and (value <= full * (1 + 1e-14)).all()
        last = value
    np.testing.assert_allclose(last, full, rtol=1e-13)  # all are kept


def test_gradient_in_single_precision_at_any_size_of_the_tail():
    """Of q less p where they are kept, and of each other class in proportion to its q."""
    z = np.repeat(STUDENT.astype(np.float32)[None], 3, 0)
    z[1, :, :3] += 30  # a tail of e^-30, of which 1 less a sum would know nothing
    z[2] += 700  # an offset, which changes nothing
    indices = np.array([2, 0, 1], np.uint16)
    log_p, tail = np.float32(np.log([0.5, 0.3, 0.1999])), np.float32(1e-4)

    def value(z):
        return jnp.sum(jd.kl(jd.top_k(indices, log_p, tail=tail), jd.logits(z)))

    slope = jax.jit(jax.grad(value))(z)
    assert slope.dtype == jnp.float32
    want = np.exp(log_softmax(np.float64(z) - np.float64(z).max(-1, keepdims=True)))
    rest = np.float64(z[..., 3:])
    want[..., indices] -= np.exp(np.float64(log_p))
    want[..., 3:] -= np.float64(tail) * np.exp(log_softmax(rest - rest.max(-1, keepdims=True)))
    np.testing.assert_allclose(slope[..., :3], want[..., :3], atol=2e-7)
    np.testing.assert_allclose(slope[..., 3:], want[..., 3:], rtol=2e-6)


def test_default_tail():
    """Off by rounding errors of 1 less the largest mass, not of 1."""
    low = np.log(np.array([2e-10, 1e-10], np.float32))
    log_p = jnp.array([np.float32(-1e-9), *low], jnp.float32)
    masses = jax.jit(lambda *args: jd.top_k(*args).buckets().mass(None)[-1])
    tail = masses(np.arange(3), log_p)
    np.testing.assert_allclose(tail, -np.expm1(np.float64(log_p[0])) - 3e-10, rtol=1e-6)
    assert masses(np.arange(3), np.log([0.6, 0.3, 0.1])) <= 2e-16
    assert jnp.isnan(masses(np.arange(3), np.log([0.6, 0.3, 0.2])))


def test_what_has_no_mass():
    """No tail on either side, one on one side only, and classes that neither has."""
    log_half = np.log([0.5, 0.5])
    whole = np.array([3, 1, 0, 2]), np.array([-np.inf, *log_half, -np.inf])

    @jax.jit
    def values(z):
        def kl(z, *args, **kwargs):
            return jd.kl(jd.top_k(*args, **kwargs), jd.logits(z))

        one = jax.value_and_grad(kl)(z, np.array([1, 0]), log_half, tail=0.0)
        return one, kl(z, *whole), kl(z, np.array([1, 0]), log_half + np.log(0.5))

    (value, slope), of_all, lost = values(jnp.array([0.0, 1.0, -jnp.inf, -jnp.inf]))
    q = 1 / (1 + np.e)
    np.testing.assert_allclose([value, of_all], -np.log(4 * q * (1 - q)) / 2, rtol=1e-14)
    np.testing.assert_allclose(slope, [q - 0.5, 0.5 - q, 0, 0], atol=1e-15)
    assert lost == jnp.inf


def test_other_operands_and_batches():
    indices, log_p = keep(log_softmax(TEACHER), 3)
    y = np.array([indices[0, 1], indices[1, 0], 7, -1])
    absent = next(i for i in range(7) if i not in indices[3])

    @jax.jit
    def values(teacher, z):
        mass = jax.nn.softmax(z)
        forms = [jd.logits(z), jd.log_probs(jnp.log(mass)), jd.probs(mass), jd.masses(mass)]
        every = jnp.stack([jd.kl(teacher, q) for q in forms])
        loss = jd.cross_entropy(jd.labels(y, num_classes=7, ignore=-1), teacher)
        rest = jd.cross_entropy(jd.labels(np.full(4, absent)), teacher)
        one = jax.vmap(jd.kl, (0, None))(teacher, jd.logits(z[1]))
        return every, loss, rest[3], jd.pairwise(jd.KL(), teacher, forms[0]), one

    every, loss, rest, matrix, one = values(jd.top_k(indices, log_p), STUDENT)
    np.testing.assert_allclose(every[1:], jnp.broadcast_to(every[0], (3, 4)), rtol=1e-12)
    np.testing.assert_allclose(loss, [-log_p[0, 1], -log_p[1, 0], np.nan, 0.0], rtol=1e-14)
    np.testing.assert_allclose(rest, -np.log1p(-np.exp(log_p[3]).sum()), rtol=1e-12)
    np.testing.assert_allclose(jnp.diagonal(matrix), every[0], rtol=1e-12)
    np.testing.assert_allclose(one, matrix[:, 1], rtol=1e-12)
    first = jd.top_k(indices.T, log_p.T, axis=0)
    np.testing.assert_array_equal(first.values, log_p)


def test_split_class_axis():
    """Each device has some of the classes, and all of what is kept."""
    z = RNG.normal(size=(4, 16))
    indices, log_p = keep(log_softmax(RNG.normal(size=(4, 16))), 5)

    def value(z, axis_name=None):
        return jd.kl(jd.top_k(indices, log_p), jd.logits(z, axis_name=axis_name))

    mesh = Mesh(np.array(jax.devices()[:4]), ("v",))
    split = jax.shard_map(
        partial(value, axis_name="v"), mesh=mesh, in_specs=P(None, "v"), out_specs=P()
    )

    @jax.jit
    def both(z):
        weights = jnp.arange(1.0, 5.0)
        return [jax.value_and_grad(lambda z, f=f: weights @ f(z))(z) for f in (value, split)]

    (one, slope), (other, slope_of_split) = both(z)
    np.testing.assert_allclose(one, other, rtol=1e-13)
    np.testing.assert_allclose(slope, slope_of_split, atol=1e-14)


def test_what_is_refused():
    log_p = jnp.log(jnp.array([0.5, 0.25]))
    good, z = jd.top_k([0, 1], log_p), jd.logits(jnp.zeros(3))
    with pytest.raises(TypeError, match="indices must be integers, got float"):
        jd.top_k([0.0, 1.0], log_p)
    with pytest.raises(TypeError, match="log_probs must be real numbers, got int"):
        jd.top_k([0, 1], [0, 1])
    with pytest.raises(
        ValueError, match=r"one shape \[\.\.\., k\] with k > 0, got \(1,\) and \(2,\)"
    ):
        jd.top_k([0], log_p)
    with pytest.raises(ValueError, match=r"tail of shape \(2,\) does not broadcast"):
        jd.top_k([0, 1], log_p, tail=jnp.ones(2))
    for other in (good, jd.Normal(0.0, 1.0)):
        with pytest.raises(TypeError, match="top_k meets a distribution over all classes"):
            jd.kl(good, other)
    with pytest.raises(TypeError, match="labels without smoothing"):
        jd.cross_entropy(jd.labels(0, smoothing=0.1), good)
    assert jnp.isnan(jax.jit(jd.total_variation)(jd.top_k([0, 3], log_p), z))
    checked = jd.checked(jax.jit(jd.total_variation))
    with pytest.raises(JaxRuntimeError, match="an index is not below 3 classes"):
        checked(jd.top_k([0, 3], log_p), z)
    checked(good, z)
    for args, tail, words in (
        (([-1, 0], log_p), None, "a negative index"),
        (([1, 1], log_p), None, "an index stands twice"),
        (([1, 0], jnp.exp(log_p)), None, "a mass of more than 1"),
        (([1, 0], log_p), 0.3, "do not sum to 1"),
    ):
        with pytest.raises(RuntimeError, match=words):
            jd.top_k(*args, tail=tail, check=True)
