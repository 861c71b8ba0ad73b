"""The categorical kernels under jit, vmap, scan, forward and reverse, and over split classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jaxdiv._kernel import (
    cross_entropy_labels,
    cross_entropy_logits,
    entropy_logits,
    kl_logits,
    log_ratio,
    log_softmax,
    softmax,
)

INF = np.inf
FUNCTIONS = {
    "kl": (kl_logits, 2),
    "cross-entropy": (cross_entropy_logits, 2),
    "entropy": (entropy_logits, 1),
    "label loss": (lambda z, **axis: cross_entropy_labels(jnp.zeros(3, jnp.int32), z, **axis), 1),
    "softmax": (softmax, 1),
    "log softmax": (log_softmax, 1),
    "log ratio": (log_ratio, 2),
}


def arguments(count, shape=(3, 8)):
    z = np.random.default_rng(2).standard_normal((2, *shape))
    z[0, 0, 3] = z[:, 1, 1] = -INF
    z[0, 2, 4] = z[0, 2, 5] = 6.0
    return [jnp.asarray(x, jnp.float32) for x in z[:count]]


def scalar(f):
    """A function of the finite outputs with a different weight for each."""

    def g(*args):
        out = f(*args)
        out = jnp.where(jnp.isinf(out), 0, out)
        return jnp.sum(out * jnp.arange(1, 1 + out.size, dtype=out.dtype).reshape(out.shape))

    return g


@pytest.mark.parametrize("name", FUNCTIONS)
def test_class_axis_split_over_devices(name):
    f, count = FUNCTIONS[name]
    args = arguments(count)
    mesh = jax.make_mesh((4,), ("classes",), axis_types=(AxisType.Auto,))
    out = P(None, "classes") if f(*args).ndim == 2 else P()

    def split(*args):
        body = jax.shard_map(
            lambda *x: f(*x, axis_name="classes"),
            mesh=mesh,
            in_specs=(P(None, "classes"),) * count,
            out_specs=out,
        )
        return body(*args)

    every = tuple(range(count))

    def second(f):
        return lambda *x: jax.jvp(jax.grad(scalar(f), every), x, tuple(args_v))[1]

    def first(f):
        return jax.grad(scalar(f), every)

    args_v = [jnp.where(jnp.isinf(x), 0, x) for x in args]
    np.testing.assert_allclose(jax.jit(split)(*args), jax.jit(f)(*args), rtol=1e-5, atol=1e-6)
    for derivative in (first, second):
        got, want = jax.jit(derivative(split))(*args), jax.jit(derivative(f))(*args)
        for x, y in zip(got, want, strict=True):
            assert jnp.isfinite(x).all()
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_transforms(name):
    f, count = FUNCTIONS[name]
    args = arguments(count)
    row = f if name != "label loss" else lambda z: cross_entropy_labels(jnp.int32(0), z)
    value = jax.jit(f)(*args)

    def same(x, y):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)

    same(f(*args), value)
    same(jax.jit(jax.vmap(row))(*args), value)
    stacked = [jnp.stack([x, x]) for x in args]
    same(jax.jit(jax.vmap(jax.vmap(row)))(*stacked), jnp.stack([value, value]))
    same(jax.jit(lambda *x: jax.lax.scan(lambda c, x: (c, row(*x)), 0, x)[1])(*args), value)

    @jax.jit
    def derivatives(*x):
        one = scalar(row)
        every = tuple(range(count))
        first = jax.grad(one, every)
        return first(*x), jax.jacfwd(one, every)(*x), jax.jacfwd(first, every)(*x)

    reverse, forward, hessian = jax.vmap(derivatives)(*args)
    for x, y in zip(reverse, forward, strict=True):
        assert jnp.isfinite(x).all()
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    for i in range(count):
        for j in range(count):
            assert jnp.isfinite(hessian[i][j]).all()
            mirrored = jnp.swapaxes(hessian[j][i], -1, -2)
            np.testing.assert_allclose(hessian[i][j], mirrored, rtol=1e-4, atol=1e-5)


def test_third_derivative():
    z = jnp.array([0.3, -0.2, 1.1])
    v = jnp.array([0.5, -1.0, 0.25])

    def along(t):
        return kl_logits(z + t * v, -z)

    h = 1e-3
    second = jax.jit(jax.grad(jax.grad(along)))
    numeric = (second(h) - second(-h)) / (2 * h)
    assert jax.jit(jax.grad(second))(0.0) == pytest.approx(float(numeric), rel=1e-5)
