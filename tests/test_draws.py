"""How draws are made: even points, normals whose moments are exact, and the errors they report."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from jaxdiv._estimator.quasi import as_normal, as_uniform, normal_draws, sobol_bits


def test_scrambled_points_are_as_even_as_they_were():
    """Each elementary interval of a digital net holds as many points as its volume says."""
    points = jax.jit(jax.vmap(lambda key: sobol_bits(256, 40, key)))(jr.split(jr.key(0), 200))
    u = np.asarray(as_uniform(points, jnp.float64))
    assert (u > 0).all() and (u < 1).all()
    stripes = np.sort((256 * u).astype(int), 1)
    assert (stripes == np.arange(256)[:, None]).all()  # each coordinate in each of 256 intervals
    for i, j in ((2, 6), (4, 4), (7, 1)):  # the first two coordinates are a (0, 8, 2)-net
        boxes = (u[..., 0] * 2**i).astype(int) * 2**j + (u[..., 1] * 2**j).astype(int)
        assert (np.sort(boxes, 1) == np.arange(256)).all()
    # Over the scramblings each point is uniform.
    assert abs(u[:, 77].mean(0) - 0.5).max() < 4 * (1 / 12 / 200) ** 0.5


def test_normals_have_their_moments():
    for n, dim, dtype in ((512, 100, jnp.float32), (10, 5, jnp.float64)):
        z = np.asarray(jax.jit(normal_draws, static_argnums=(0, 1, 3))(n, dim, jr.key(1), dtype))
        assert z.shape == (n, dim) and z.dtype == dtype
        assert (z[: n // 2] == -z[n // 2 :]).all()
        eps = float(jnp.finfo(dtype).eps)
        np.testing.assert_allclose(z.T @ z / n, np.eye(dim), atol=20 * eps)
    ends = jnp.asarray([0, 2**31 - 1, 2**31, 2**32 - 1], jnp.uint32)
    tail = 6.337957754644309  # scipy.special.ndtri(2.0**-33)
    for dtype in (jnp.float32, jnp.float64):
        np.testing.assert_allclose(as_normal(ends, dtype), [-tail, 0, 0, tail], atol=2e-6)
        assert 0 < as_uniform(ends, dtype)[0] < as_uniform(ends, dtype)[-1] < 1
    with pytest.raises(ValueError, match=r"at least 2 \* dim = 12"):
        normal_draws(10, 6, jr.key(0))
