"""Cross-entropy as a loss: labels, weights, regression, and reductions that count once."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportOperatorIssue=false

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

import jaxdiv as jd

RNG = np.random.default_rng(0)
B, V = 6, 5
Z = 3 * RNG.normal(size=(B, V))
Y = np.array([0, 4, 2, 2, 1, 3])
HOT = np.eye(V)[Y]
SOFT = RNG.dirichlet(np.ones(V), B)
KEEP = np.array([True, True, False, True, False, True])
WEIGHTS = np.array([0.5, 1.0, 2.0, 4.0, 0.1])  # of the classes


# Classification.


def weighted(target, z=Z):
    """The cross-entropy of a measure, and its gradient."""
    log_q = scipy.special.log_softmax(z, -1)
    value = -(target * log_q).sum(-1)
    return value, target.sum(-1, keepdims=True) * np.exp(log_q) - target


def test_every_form_of_label():
    """Integers, one-hot, soft, smoothed, ignored, weighted: values and gradients."""
    ignored = jd.labels(np.where(KEEP, Y, -100), ignore=-100)
    smooth = 0.9 * HOT + 0.1 / V
    share = np.where(KEEP, WEIGHTS[Y], 0)[:, None]

    def average(loss):
        return jd.mean(loss, where=~ignored.ignored(), weights=jnp.asarray(WEIGHTS)[Y])

    cases = {
        "integer": (lambda q: jd.cross_entropy(jd.labels(Y), q), HOT),
        "one-hot": (lambda q: jd.cross_entropy(jd.probs(HOT), q), HOT),
        "soft": (lambda q: jd.cross_entropy(jd.probs(SOFT), q), SOFT),
        "smoothed": (lambda q: jd.cross_entropy(jd.labels(Y, smoothing=0.1), q), smooth),
        "ignored": (lambda q: jd.cross_entropy(ignored, q), np.where(KEEP[:, None], HOT, 0)),
        "class weights": (
            lambda q: B * average(jd.cross_entropy(ignored, q)),
            B * share * HOT / share.sum(),
        ),
        "weights of soft": (
            lambda q: jd.cross_entropy(jd.masses(WEIGHTS * SOFT), q),
            WEIGHTS * SOFT,
        ),
    }

    @jax.jit
    def both(z):
        values = {name: fn(jd.logits(z)) for name, (fn, _) in cases.items()}
        slopes = {
            name: jax.grad(lambda z, fn=fn: jnp.sum(fn(jd.logits(z))))(z)
            for name, (fn, _) in cases.items()
        }
        return values, slopes

    values, slopes = both(jnp.asarray(Z))
    for name, (_, target) in cases.items():
        value, slope = weighted(target)
        value = value.sum() if values[name].ndim == 0 else value
        np.testing.assert_allclose(values[name], value, rtol=1e-13, err_msg=name)
        np.testing.assert_allclose(slopes[name], slope, rtol=1e-12, atol=1e-15, err_msg=name)


def test_focal_keeps_its_digits_in_both_tails():
    """In float32, against 40 digits: of p from 1e-35 to 1 - 1e-35, through the logit."""
    z = np.array([-80, -20, -3, -0.1, 0, 2, 9, 17, 40, 80], np.float32)
    gammas = np.array([0, 0.5, 1, 2, 5], np.float32)

    def loss(z, gamma):
        return jd.focal(jd.cross_entropy(jd.labels(1), jd.Bernoulli(logits=z)), gamma)

    lanes = jax.vmap(jax.vmap(jax.value_and_grad(loss, (0, 1)), (0, None)), (None, 0))
    value, (slope, slope_gamma) = jax.jit(lanes)(z, gammas)
    bent = jax.jit(jax.vmap(jax.grad(jax.grad(loss)), (0, None)))(z, np.float32(2))
    with mp.workdps(40):
        for i, gamma in enumerate(map(float, gammas)):
            for j, x in enumerate(map(float, z)):
                p, miss = 1 / (1 + mp.exp(-x)), 1 / (1 + mp.exp(x))
                nll = -mp.log1p(-miss)
                want = miss**gamma * nll
                down = -(miss ** (gamma + 1)) - gamma * p * miss**gamma * nll
                for got, exact in (
                    (value, want),
                    (slope, down),
                    (slope_gamma, want * mp.log1p(-p)),
                ):
                    exact = float(exact) if abs(exact) > 1.2e-38 else 0.0
                    np.testing.assert_allclose(got[i, j], exact, rtol=5e-6, atol=1e-37)
        for j, x in enumerate(map(float, z)):
            exact = mp.diff(lambda t: (1 + mp.exp(t)) ** -2 * mp.log1p(mp.exp(-t)), x, 2)
            exact = float(exact) if abs(exact) > 1.2e-38 else 0.0
            np.testing.assert_allclose(bent[j], exact, rtol=2e-4, atol=1e-37)


def test_focal_at_its_ends():
    ends = jnp.array([0.0, jnp.inf])
    for gamma in (0.5, 1.0, 2.0):
        np.testing.assert_array_equal(jd.focal(ends, gamma), ends)
        np.testing.assert_array_equal(jax.vmap(jax.grad(jd.focal), (0, None))(ends, gamma), [0, 1])
    np.testing.assert_array_equal(jd.focal(jnp.array([0.0, 2.0, jnp.inf]), 0), [0, 2, jnp.inf])
    with pytest.raises(ValueError, match="gamma must be at least 0, got -1"):
        jd.focal(1.0, -1)


def test_z_loss():
    """With a mask and a temperature, an empty row, and the class axis over eight devices."""
    where = np.ones((B, V), bool)
    where[0, 2], where[1] = False, False
    temperature = np.linspace(0.5, 3, B)

    def total(z):
        return jnp.sum(jd.z_loss(jd.logits(z, where=where, temperature=temperature)))

    log_z = scipy.special.logsumexp(np.where(where, Z / temperature[:, None], -np.inf), -1)
    log_z[1] = 0
    value, slope = jax.jit(jax.value_and_grad(total))(jnp.asarray(Z))
    np.testing.assert_allclose(value, (log_z**2).sum(), rtol=1e-13)
    q = np.where(where, np.exp(Z / temperature[:, None] - log_z[:, None]), 0)
    np.testing.assert_allclose(slope, 2 * log_z[:, None] * q / temperature[:, None], rtol=1e-12)
    for bare, error in ((jd.probs(SOFT), "z_loss is of `logits"), (Z, "must say what it is")):
        with pytest.raises(TypeError, match=error):
            jd.z_loss(bare)

    wide = jnp.asarray(RNG.normal(size=(3, 16)))
    split = jax.shard_map(
        lambda z: jd.z_loss(jd.logits(z, axis_name="v")),
        mesh=Mesh(jax.devices()[:8], ("v",)),
        in_specs=P(None, "v"),
        out_specs=P(),
    )
    value, slope = jax.jit(jax.value_and_grad(lambda z: jnp.sum(split(z))))(wide)
    log_z = scipy.special.logsumexp(wide, -1, keepdims=True)
    np.testing.assert_allclose(value, (log_z**2).sum(), rtol=1e-13)
    np.testing.assert_allclose(slope, 2 * log_z * scipy.special.softmax(wide, -1), rtol=1e-12)


def test_two_classes_and_many_that_do_not_exclude_each_other():
    """In float32: `Bernoulli` against the logit, in both tails, of hard and of soft labels."""
    z = np.array([-100, -20, -1, 0, 1, 20, 100], np.float32)
    t = np.array([0, 1, 0.3], np.float32)[:, None]

    def loss(z):
        return jd.cross_entropy(jd.Bernoulli(probs=t), jd.Bernoulli(logits=z))

    value, slope = jax.jit(lambda z: (loss(z), jax.grad(lambda z: loss(z).sum())(z)))(
        jnp.broadcast_to(z, (3, 7))
    )
    up, down = np.logaddexp(0, -z.astype(float)), np.logaddexp(0, z.astype(float))
    np.testing.assert_allclose(value, t * up + (1 - t) * down, rtol=1e-6, atol=1e-37)
    sigmoid, rest = scipy.special.expit(z.astype(float)), scipy.special.expit(-z.astype(float))
    np.testing.assert_allclose(slope, (1 - t) * sigmoid - t * rest, rtol=2e-6, atol=1e-37)
    hard = jd.cross_entropy(jd.labels(np.array([[0], [1]])), jd.Bernoulli(logits=z))
    np.testing.assert_allclose(hard, value[:2], rtol=1e-6)


# Regression.


def regressions(y, z, s):
    """By name: the family of ours, SciPy's, and the slopes of -log q in z and s."""
    scale = np.logaddexp(0, s)
    grow = scipy.special.expit(s)
    mean = np.exp(z)
    gap = z - y
    r = 2.5
    return {
        "Normal": (
            lambda z, s: jd.Normal(z, 1.0),
            scipy.stats.norm(z, 1),
            (gap, 0 * s),
        ),
        "heteroscedastic": (
            lambda z, s: jd.Normal(z, jax.nn.softplus(s)),
            scipy.stats.norm(z, scale),
            (gap / scale**2, grow * (1 / scale - gap**2 / scale**3)),
        ),
        "Laplace": (
            lambda z, s: jd.Laplace(z, jax.nn.softplus(s)),
            scipy.stats.laplace(z, scale),
            (np.sign(gap) / scale, grow * (1 / scale - abs(gap) / scale**2)),
        ),
        "Poisson": (
            lambda z, s: jd.Poisson(jnp.exp(z)),
            scipy.stats.poisson(mean),
            (mean - y, 0 * s),
        ),
        "NegativeBinomial": (
            lambda z, s: jd.NegativeBinomial(r, logits=np.log(r) - z),
            scipy.stats.nbinom(r, r / (r + mean)),
            (r * (mean - y) / (r + mean), 0 * s),
        ),
    }


def test_regression_is_cross_entropy():
    """Of counts, which all the families have a density at; against SciPy and by hand."""
    y = np.array([0.0, 1.0, 4.0, 11.0, 0.0, 2.0])
    z, s = RNG.normal(size=(2, 6))
    table = regressions(y, z, s)

    @jax.jit
    def both(z, s):
        def total(z, s, family):
            loss = jd.cross_entropy(jd.PointMass(y), family(z, s))
            return jnp.sum(loss), loss

        slope = jax.value_and_grad(total, (0, 1), has_aux=True)
        found = {name: slope(z, s, family) for name, (family, *_) in table.items()}
        one = {n: jd.cross_entropy(jd.samples(y), f(z[0], s[0])) for n, (f, *_) in table.items()}
        return found, one

    found, one = both(jnp.asarray(z), jnp.asarray(s))
    for name, (_, scipys, slopes) in table.items():
        (_, loss), got = found[name]
        log_q = scipys.logpdf if hasattr(scipys.dist, "pdf") else scipys.logpmf
        np.testing.assert_allclose(loss, -log_q(y), rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(got, slopes, rtol=1e-11, atol=1e-13, err_msg=name)
        first = regressions(y, z[0], s[0])[name][1]
        log_q = first.logpdf if hasattr(first.dist, "pdf") else first.logpmf
        np.testing.assert_allclose(one[name], -log_q(y).mean(), rtol=1e-12, err_msg=name)


def test_few_counts_and_large_dispersion_in_single_precision():
    """Against 60 digits: means down to 1e-26, and r up to 1e6, where it is nearly Poisson."""
    y = np.array([0, 1, 7, 300], np.float32)[:, None, None]
    z = np.array([-60, -15, -1, 2, 6], np.float32)[:, None]
    r = np.array([0.05, 3, 1e6], np.float32)
    shape = np.broadcast_shapes(y.shape, z.shape, r.shape)

    @jax.jit
    def both(z):
        def total(z):
            q = jd.NegativeBinomial(r, logits=jnp.log(r) - z)
            return jnp.sum(loss := jd.cross_entropy(jd.PointMass(y), q)), loss

        return jax.grad(total, has_aux=True)(z)

    slope, loss = both(jnp.broadcast_to(z, shape))
    with mp.workdps(60):
        for i in np.ndindex(shape):
            x, log_mean, n = (mp.mpf(float(np.broadcast_to(a, shape)[i])) for a in (y, z, r))
            p = 1 / (1 + mp.exp(log_mean) / n)
            ways = mp.loggamma(x + n) - mp.loggamma(x + 1) - mp.loggamma(n)
            want = -(ways + n * mp.log(p) + x * mp.log(1 - p))
            down = n * (mp.exp(log_mean) - x) / (n + mp.exp(log_mean))
            # The logit itself is rounded, by 16 ulp of 1 at most.
            np.testing.assert_allclose(loss[i], float(want), rtol=1e-5, err_msg=i)
            np.testing.assert_allclose(slope[i], float(down), rtol=1e-5, err_msg=i)
    with pytest.raises(ValueError, match="exactly one of probs and logits"):
        jd.NegativeBinomial(1.0).log_prob(0.0)


# Reductions.


def test_one_big_batch_in_parts():
    """Accumulated, by devices, and packed: the value and the gradient of the whole."""
    n, features = 32, 3
    x, y = RNG.normal(size=(n, features)), RNG.integers(0, V, n)
    y[[0, 1, 2, 3, 4, 9, 17, 30]] = -1  # of the first device's four, none counts
    w0 = jnp.asarray(RNG.normal(size=(features, V)))
    x, y = jnp.asarray(x), jnp.asarray(y)
    count = float(np.sum(np.asarray(y) >= 0))

    def loss(w, x, y, **kwargs):
        labels = jd.labels(y, ignore=-1)
        nll = jd.cross_entropy(labels, jd.logits(x @ w))
        return jd.mean(nll, where=~labels.ignored(), **kwargs)

    def close(got, want, rtol=1e-12):
        check = functools.partial(np.testing.assert_allclose, rtol=rtol, atol=1e-3 * rtol)
        jax.tree.map(check, got, want)

    whole = jax.jit(jax.value_and_grad(loss))(w0, x, y)

    def accumulate(sums, part):
        step = jax.value_and_grad(functools.partial(loss, count=count))(w0, *part)
        return jax.tree.map(jnp.add, sums, step), None

    parts = (x.reshape(8, 4, features), y.reshape(8, 4))
    zero = jax.tree.map(jnp.zeros_like, whole)
    close(jax.jit(lambda: jax.lax.scan(accumulate, zero, parts)[0])(), whole)

    over = functools.partial(
        jax.shard_map,
        mesh=Mesh(jax.devices()[:8], ("data",)),
        in_specs=(P(), P("data"), P("data")),
    )
    named = functools.partial(loss, axis_name="data")
    close(jax.jit(jax.value_and_grad(over(named, out_specs=P())))(w0, x, y), whole)
    with pytest.raises(ValueError, match=r"differ over the mesh axes \('data',\)"):
        jax.eval_shape(over(loss, out_specs=P()), w0, x, y)
    local = over(lambda *args: loss(*args, axis_name=())[None], out_specs=P("data"))(w0, x, y)
    assert jnp.isnan(local[0]) and abs(jnp.mean(local[1:]) - whole[0]) > 1e-3

    # Packed: three sequences in one row, and padding of no sequence.
    ids = jnp.repeat(jnp.array([0, 1, 2, -1]), jnp.array([10, 3, 15, 4]), total_repeat_length=n)
    labels = jd.labels(y, ignore=-1)
    nll = jd.cross_entropy(labels, jd.logits(x @ w0))
    packed = jd.mean(nll, where=~labels.ignored(), segment_ids=ids, num_segments=3)
    one_by_one = [loss(w0, x[ids == i], y[ids == i]) for i in range(3)]
    close(packed, jnp.stack(one_by_one))
    with pytest.raises(ValueError, match=r"ids of shape \(31,\)"):
        jd.mean(nll, segment_ids=ids[1:], num_segments=3)
