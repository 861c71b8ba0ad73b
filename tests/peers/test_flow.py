"""A normalising flow as the family of a fit."""

import flowjax.distributions as fd
import flowjax.flows as ff
import jax
import jax.numpy as jnp
import numpy as np

import jaxdiv as jd


def banana(x):
    """N(0, 2^2) of x, N(x^2 / 2, 0.5^2) of y given x, up to a constant: the integral is 2 pi."""
    return -0.125 * x[0] ** 2 - 2 * (x[1] - 0.5 * x[0] ** 2) ** 2


def test_a_flow_bends_as_no_gaussian_does():
    base = fd.Normal(jnp.zeros(2))
    flow = ff.masked_autoregressive_flow(
        jax.random.key(1), base_dist=base, flow_layers=4, nn_width=20, invert=False
    )
    target = jd.LogDensity(banana, event_shape=(2,))
    found = jd.fit(jd.reverse_kl(target), flow, key=jax.random.key(0), throw=False)
    log_z = np.log(2 * np.pi)
    assert abs(found.value + log_z) < 0.05  # of the best Gaussian: 0.87
    report = found.assessment
    assert report is not None
    assert abs(report.log_evidence - log_z) < 4 * report.log_evidence_error + 1e-3
    # y has mean E[x^2] / 2 and variance Var[x^2] / 4 + 1 / 4.
    np.testing.assert_allclose(report.weighted.mean, [0, 2], atol=0.4)
    np.testing.assert_allclose(report.weighted.sd, [2, np.sqrt(8.25)], rtol=0.1)
    assert found.samples(jax.random.key(2), 7).shape == (7, 2)
