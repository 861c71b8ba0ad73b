"""Everything under jit, vmap, vmap of vmap, scan, all orders of two derivatives, and on a mesh."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxdiv as jd
from jaxdiv._kernel import categorical

from .registry import CLOSED_FORM, FAMILIES, FORMS, FUNCTIONALS, OBSERVATIONS, simplex

F64 = np.float64


@dataclass(frozen=True)
class Case:
    """Two operands, what is taken of them, and how."""

    name: str
    make_p: Any
    make_q: Any
    functionals: list
    estimator: Any = None

    def pairs(self, count):
        rng = np.random.default_rng(5)
        return [(self.make_p(rng), self.make_q(rng)) for _ in range(count)]

    def value(self, p, q):
        return jnp.stack([f(p, q, estimator=self.estimator) for f in self.functionals])


def classes(form):
    return lambda rng: form.of(jnp.asarray(simplex(rng, (4,)) * 0.8 + 0.05))


def member(family):
    return lambda rng: family.make(rng, F64)


# One of each functional: the orders of Renyi share their code.
ONE_EACH = [f for f in FUNCTIONALS if f.name not in ("renyi 1.0", "renyi 2.0", "js 0.5")]


def named(*names):
    return [f for f in FUNCTIONALS if f.name in names]


def cases():
    """All functionals where classes meet; for every other pair of operands, some of them."""
    by_name = {form.name: form for form in FORMS}
    some = named("kl", "total variation", "cross entropy")
    for one, other, used in [
        ("probs", "probs", ONE_EACH),
        ("logits", "logits", ONE_EACH),
        ("log_probs", "log_probs", some),
        ("masses", "masses", some),
        ("probs", "logits", some),
        ("labels", "logits", some),
    ]:
        forms = by_name[one], by_name[other]
        yield Case(f"{one} and {other}", *map(classes, forms), used)
    for family in FAMILIES:
        p = q = family.make(np.random.default_rng(0), F64)
        closed = [f for f in ONE_EACH if CLOSED_FORM.serves(f, p, q)]
        name, by = family.name, None
        if not closed:
            name, by, closed = f"{name} by quadrature", jd.Quadrature(), named("kl", "js 0.25")
        yield Case(name, member(family), member(family), closed, by)
    normal, mixture = member(FAMILIES[0]), member(FAMILIES[4])
    drawn = named("kl", "js 0.25", "renyi 2.0", "f-divergence")
    yield Case("mixture by draws", mixture, normal, drawn, jd.FixedDraws(64))
    for observed in OBSERVATIONS:
        used = named("cross entropy")
        yield Case(f"{observed.name} and mixture", member(observed), mixture, used)


CASES = list(cases())


def stack(pairs):
    return jax.tree.map(lambda *xs: jnp.stack([jnp.asarray(x) for x in xs]), *pairs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_jit_vmap_and_scan(case):
    pairs = case.pairs(6)
    one = jax.jit(case.value)
    want = np.stack([one(*pair) for pair in pairs])
    assert not np.isnan(want).any() and np.isfinite(want).any()
    flat = stack(pairs)
    nested = jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), flat)

    @jax.jit
    def mapped(flat, nested):
        once = jax.vmap(case.value)(*flat)
        twice = jax.vmap(jax.vmap(case.value))(*nested)
        scanned = jax.lax.scan(lambda carry, pair: (carry, case.value(*pair)), 0, flat)[1]
        return once, twice.reshape(6, -1), scanned

    for got in mapped(flat, nested):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_first_and_second_derivatives(case):
    """Reverse and forward, and forward over each, against differences of the values."""
    (pair,) = case.pairs(1)
    floats, rest = eqx.partition(pair, eqx.is_inexact_array)
    x, unravel = ravel_pytree(floats)
    v = jnp.asarray(np.random.default_rng(6).normal(size=x.shape))
    v = 0.1 * v / jnp.linalg.norm(v)

    def value(x):
        return case.value(*eqx.combine(unravel(x), rest))

    def forward(x):
        return jax.jvp(value, (x,), (v,))[1]

    def reverse(x):
        return jax.jacrev(value)(x) @ v

    @jax.jit
    def along(x):
        slope, curvature = jax.jvp(reverse, (x,), (v,))
        return (slope, forward(x)), (curvature, jax.jvp(forward, (x,), (v,))[1])

    step = 0.02
    values = jax.jit(jax.vmap(lambda t: value(x + t * step * v)))(jnp.arange(-3.0, 4.0))
    numeric = [
        jnp.array([-1.0, 9, -45, 0, 45, -9, 1]) @ values / (60 * step),
        jnp.array([2.0, -27, 270, -490, 270, -27, 2]) @ values / (180 * step**2),
    ]
    finite = jnp.isfinite(values[3])
    for got, want in zip(along(x), numeric, strict=True):
        for derivative in got:
            for f, one, other, ok in zip(case.functionals, derivative, want, finite, strict=True):
                want = float(other) if ok else 0.0
                assert float(one) == pytest.approx(want, rel=1e-6, abs=3e-9), f.name


def test_the_order_and_the_weight_are_traced():
    p, q = jd.probs(jnp.array([0.2, 0.3, 0.5])), jd.probs(jnp.array([0.4, 0.4, 0.2]))
    traces = []

    @jax.jit
    def both(order, weight):
        traces.append(0)
        return jnp.stack([jd.renyi(p, q, order), jd.jensen_shannon(p, q, weight)])

    orders, weights = jnp.array([0.3, 1.0, 2.5]), jnp.array([0.2, 0.5, 0.9])
    want = jnp.stack(
        [
            jnp.stack([jd.renyi(p, q, float(a)), jd.jensen_shannon(p, q, float(b))])
            for a, b in zip(orders, weights, strict=True)
        ]
    )
    np.testing.assert_allclose(jnp.stack(list(map(both, orders, weights))), want, rtol=1e-13)
    assert len(traces) == 1
    np.testing.assert_allclose(jax.vmap(both)(orders, weights), want, rtol=1e-13)
    slopes = jax.vmap(jax.jacfwd(both, (0, 1)))(orders, weights)
    step = 1e-4
    for slope, shift in zip(slopes, jnp.eye(2) * step, strict=True):
        ends = [jax.vmap(both)(orders + s * shift[0], weights + s * shift[1]) for s in (1, -1)]
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-8)


def test_new_operands_do_not_retrace():
    traces = []

    @jax.jit
    def value(p, q):
        traces.append(0)
        return jd.kl(p, q)

    for z in np.random.default_rng(0).normal(size=(3, 2, 4)):
        value(jd.logits(jnp.asarray(z[0])), jd.logits(jnp.asarray(z[1])))
    assert len(traces) == 1


def test_differentiates_with_respect_to_operands():
    a, b = jnp.asarray(np.random.default_rng(1).normal(size=(2, 4)))
    where = jnp.array([True, True, False, True])
    p, q = jd.logits(a, where=where), jd.logits(b)
    slope = eqx.filter_grad(lambda p: jd.kl(q, p) + jd.kl(p, q))(jd.logits(b - a))
    want = jax.grad(lambda z: jd.kl(q, jd.logits(z)) + jd.kl(jd.logits(z), q))(b - a)
    np.testing.assert_allclose(slope.values, want, rtol=1e-14)
    masked = eqx.filter_grad(lambda p: jd.kl(p, q))(p)
    assert masked.where is None and masked.values[2] == 0 and (masked.values[:2] != 0).all()


# The private kernel, and nothing else.


def test_kl_of_logits_is_the_kernel():
    a, b = jnp.asarray(np.random.default_rng(2).normal(size=(2, 8, 16)), jnp.float32)

    def by_verb(a, b):
        return jd.kl(jd.logits(a), jd.logits(b))

    def by_kernel(a, b):
        return categorical.kl_logits(a, b)

    for transform in (lambda f: f, lambda f: jax.grad(lambda a, b: f(a, b).sum(), (0, 1))):
        texts = [
            jax.jit(transform(f)).lower(a, b).as_text().split("\n", 1)[1]
            for f in (by_verb, by_kernel)
        ]
        assert "loc(" not in texts[0]
        assert texts[0] == texts[1] and "stablehlo" in texts[0]


def test_operands_cost_nothing():
    """A jitted call on operands is the jitted call on their arrays."""
    a, b = jnp.asarray(np.random.default_rng(2).normal(size=(2, 8, 16)), jnp.float32)
    on_operands = jax.jit(jd.kl).lower(jd.logits(a), jd.logits(b)).as_text()
    on_arrays = jax.jit(lambda a, b: jd.kl(jd.logits(a), jd.logits(b))).lower(a, b).as_text()
    strip = [text.split("\n") for text in (on_operands, on_arrays)]
    assert strip[0][2:] == strip[1][2:]


# On a mesh of eight devices.

MESH = jax.make_mesh((2, 4), ("batch", "class"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
PROBS = jnp.asarray(simplex(np.random.default_rng(3), (2, 4, 16)))
USED = [f for f in ONE_EACH if f.arity == 2]
SPECS = [P("batch", None), P("batch", "class")]


def by_form(form):
    return form.of(PROBS[0]), form.of(PROBS[1])


def all_of(p, q):
    return jnp.stack([f(p, q) for f in USED])


def place(tree, spec):
    def put(x):
        return jax.device_put(x, NamedSharding(MESH, spec if x.ndim == 2 else P(spec[0])))

    return jax.tree.map(put, tree)


@pytest.mark.parametrize("name", ["probs", "logits", "log_probs", "labels"])
def test_sharded_inputs(name):
    form = next(form for form in FORMS if form.name == name)
    p, q = form.of(PROBS[0]), jd.logits(jnp.log(PROBS[1]))
    used = [all_of] if name == "probs" else [jd.kl, jd.cross_entropy]
    jitted = jax.jit(lambda p, q: [verb(p, q) for verb in used])
    want = jitted(p, q)
    for spec in SPECS:
        got = jitted(place(p, spec), place(q, spec))
        for one, other in zip(got, want, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-15)


def mapped(fn, in_specs, out_specs):
    return jax.jit(jax.shard_map(fn, mesh=MESH, in_specs=in_specs, out_specs=out_specs))


@pytest.mark.parametrize("name", ["probs", "log_probs", "masses", "logits"])
def test_class_axis_split_in_shard_map(name):
    """`axis_name=` makes a value global; without it each shard would be a distribution."""
    form = next(form for form in FORMS if form.name == name)
    tag = getattr(jd, name)
    p, q = by_form(form)
    used = ONE_EACH if name == "probs" else named("kl", "total variation", "cross entropy")
    used = used + (named("entropy") if name == "logits" else [])

    def local(a, b):
        p, q = tag(a, axis_name="class"), tag(b, axis_name="class")
        return jnp.stack([f(p, q) for f in used])

    def whole(a, b):
        p, q = tag(a), tag(b)
        return jnp.stack([f(p, q) for f in used])

    split = mapped(local, P("batch", "class"), P(None, "batch"))
    slopes = [
        jax.jit(jax.grad(lambda a, b, f=f: (f(a, b) ** 2).sum(), (0, 1))) for f in (split, whole)
    ]
    np.testing.assert_allclose(
        split(p.values, q.values), whole(p.values, q.values), rtol=1e-12, atol=1e-14
    )
    for one, other in zip(*(slope(p.values, q.values) for slope in slopes), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_prefix_trees_in_shard_map():
    z = jnp.log(PROBS)
    p, q = jd.logits(z[0]), jd.logits(z[1])
    batched = mapped(jd.kl, (jd.logits(P("batch")), jd.logits(P("batch"))), P("batch"))
    np.testing.assert_allclose(batched(p, q), jd.kl(p, q), rtol=1e-13)
    specs = jd.logits(P("batch", "class"), axis_name="class")
    split = mapped(jd.kl, (specs, specs), P("batch"))
    named = [jd.logits(x, axis_name="class") for x in z]
    np.testing.assert_allclose(split(*named), jd.kl(p, q), rtol=1e-13)
    labels = jd.labels(jnp.array([0, 5, 15, 9]))
    nll = mapped(jd.cross_entropy, (jd.labels(P("batch")), specs), P("batch"))
    np.testing.assert_allclose(nll(labels, named[1]), jd.cross_entropy(labels, q), rtol=1e-13)
    loc = jnp.arange(4.0)
    normals = mapped(jd.kl, (jd.Normal(P("batch"), P()), jd.Normal(P(), P())), P("batch"))
    d, standard = jd.Normal(loc, jnp.asarray(2.0)), jd.Normal(jnp.asarray(0.0), jnp.asarray(1.0))
    np.testing.assert_allclose(normals(d, standard), jd.kl(d, standard), rtol=1e-14)
    with pytest.raises(ValueError, match="axis_name"):
        mapped(jd.kl, (specs, jd.logits(P("batch", "class"))), P("batch"))(named[0], q)


def test_mean_in_shard_map_is_global():
    values = jnp.asarray(np.random.default_rng(4).normal(size=(4, 8)))
    where = values > -0.5
    run = mapped(
        lambda v, k: jd.mean(v, where=k, axis_name=("batch", "class")), P("batch", "class"), P()
    )
    np.testing.assert_allclose(run(values, where), jd.mean(values, where=where), rtol=1e-14)


@pytest.mark.parametrize("estimator", [jd.Quadrature(), jd.FixedDraws(100), jd.MonteCarlo(100)])
def test_estimators_on_sharded_families(estimator):
    rng = np.random.default_rng(5)
    loc, scale = rng.normal(size=(2, 8)), np.exp(0.2 * rng.normal(size=(2, 8)))
    p, q = (jd.Normal(jnp.asarray(m), jnp.asarray(s)) for m, s in zip(loc, scale, strict=True))
    run = jax.jit(lambda p, q: jd.kl(p, q, estimator=estimator, key=jr.key(0)))
    split = jax.device_put((p, q), NamedSharding(MESH, P(("batch", "class"))))
    np.testing.assert_allclose(run(*split), run(p, q), rtol=1e-12)
