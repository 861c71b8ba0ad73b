"""Objectives beside KL, each way of estimating them, and the gradients of the estimates."""

import functools
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.special

import jaxdiv as jd

from . import divergence_optima as grid
from .test_fit import operand

# Under the names of `divergence_optima`, and where reverse the optimum near a mode is meant.
FUNCTIONALS = {
    "KL": jd.KL(),
    "Jeffreys": jd.Jeffreys(),
    "skewed Jensen-Shannon": jd.JensenShannon(0.2),
    "Renyi": jd.Renyi(0.7),
    "Amari": jd.AmariAlpha(-0.4),
    "chi-squared": jd.ChiSquared(),
    "Neyman": jd.NeymanChiSquared(),
    "triangular": jd.FDivergence(lambda u: (u - 1) ** 2 / (u + 1)),
}
WAYS = {"forward": jd.Forward, "reverse": jd.Reverse}
KEYS = jr.split(jr.key(0), 64)


def near(direction, name):
    """A start near an optimum of asym1d: forward between the modes, reverse at one."""
    wide = (direction == "forward") != (name == "Neyman")
    return (-0.8, 1.9) if wide else (-2.0, 0.5)


def normal(free):
    return jd.Normal(free[0], jnp.exp(free[1]))


@functools.cache
def optima():
    cases = [("forward", name) for name in FUNCTIONALS]
    cases += [("reverse", name) for name in ("KL", "chi-squared", "Amari")]
    return {
        (way, name): grid.optimum(grid.DIVERGENCES[name], way, "asym1d", *near(way, name))
        for way, name in cases
    }


def test_quadrature_has_the_optima_of_a_dense_grid():
    known = optima()

    @jax.jit
    def derivatives(free):
        out = {}
        for (way, name), x in free.items():
            objective = WAYS[way](FUNCTIONALS[name], operand("asym1d"), jd.Quadrature())
            out[way, name] = jax.value_and_grad(lambda x, f=objective: f(normal(x), None))(x)
        return out

    free = {case: jnp.array([loc, math.log(scale)]) for case, (_, loc, scale) in known.items()}
    for case, (value, slope) in derivatives(free).items():
        np.testing.assert_allclose(value, known[case][0], rtol=1e-8, err_msg=str(case))
        # Nelder and Mead stop within 1e-7 or so of an optimum.
        np.testing.assert_allclose(slope, 0.0, atol=2e-6, err_msg=str(case))


SAMPLED = ["skewed Jensen-Shannon", "Amari", "Neyman"]


def test_sampled_gradients_are_unbiased():
    """Beside an optimum, against a dense grid; drawn from the sides that the average needs."""
    known = optima()
    gradients = {"Pathwise": jd.Pathwise(), "DoublyReparameterised": jd.DoublyReparameterised()}
    target = operand("asym1d")

    @jax.jit
    def slopes(free):
        out = {}
        for (way, name), x in free.items():

            def value(x, key, by, way=way, name=name):
                return WAYS[way](FUNCTIONALS[name], target, by)(normal(x), key)

            for kind, gradient in gradients.items():
                if kind == "Pathwise" or name != "skewed Jensen-Shannon":
                    by = jd.MonteCarlo(300, gradient)
                    out[way, name, kind] = jax.vmap(jax.grad(value), (None, 0, None))(x, KEYS, by)
        return out

    free = {}
    for way, name in (("forward", n) for n in SAMPLED):
        _, loc, scale = known[way, name]
        free[way, name] = jnp.array([loc + 0.1, math.log(1.05 * scale)])
    _, loc, scale = known["reverse", "Amari"]
    free["reverse", "Amari"] = jnp.array([loc + 0.1, math.log(1.05 * scale)])
    for (way, name, kind), got in slopes(free).items():
        loc, log_scale = np.asarray(free[way, name])

        def at(a, b, way=way, name=name, loc=loc, log_scale=log_scale):
            place = loc + a, math.exp(log_scale + b)
            return grid.value(grid.DIVERGENCES[name], way, "asym1d", *place)

        step = 1e-4
        want = [at(step, 0) - at(-step, 0), at(0, step) - at(0, -step)]
        want = np.array(want) / (2 * step)
        error = jnp.std(got, 0) / math.sqrt(len(KEYS))
        off = abs(got.mean(0) - want)
        assert (off < 4 * error + 1e-9).all(), (way, name, kind, off / error)


def on_plane(loc, scale):
    """-E log mean of two weights at the normal, by the trapezoidal rule in two dimensions."""
    x = np.linspace(loc - 9 * scale, loc + 9 * scale, 1201)
    log_q = grid.log_normal(x, loc, scale)
    log_w = grid.log_target("asym1d", x) - log_q
    mean = np.logaddexp(log_w[:, None], log_w) - math.log(2)
    return -np.sum(np.exp(log_q[:, None] + log_q) * mean) * (x[1] - x[0]) ** 2


def test_importance_weighted_bound():
    target, x = operand("asym1d"), jnp.array([-1.0, math.log(1.4)])

    def value(x, key, by, num):
        return jd.ImportanceWeightedBound(target, num, by)(normal(x), key)

    @jax.jit
    def evaluate(x):
        at_two = value(x, None, jd.Quadrature(20), 2)
        slope = jax.vmap(jax.grad(value), (None, 0, None, None))
        gradients = (jd.Pathwise(), jd.DoublyReparameterised(), jd.Score())
        few = [slope(x, KEYS, jd.MonteCarlo(500, gradient), 2) for gradient in gradients]
        many = [slope(x, KEYS, jd.MonteCarlo(8, gradient), 64) for gradient in gradients[:2]]
        at_one = value(x, None, jd.Quadrature(), 1)
        reverse = jd.reverse_kl(target, jd.Quadrature())(normal(x), None)
        return at_two, few, many, (at_one, reverse)

    at_two, few, many, (at_one, reverse) = evaluate(x)
    np.testing.assert_allclose(at_two, on_plane(-1.0, 1.4), rtol=1e-7)
    step = 1e-4
    ends = [
        on_plane(-1.0 + a * step, 1.4 * math.exp(b * step))
        for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]
    slope = np.array([ends[0] - ends[1], ends[2] - ends[3]]) / (2 * step)
    np.testing.assert_allclose(at_one, reverse, rtol=1e-9)
    for got in few:
        error = jnp.std(got, 0) / math.sqrt(len(KEYS))
        assert (abs(got.mean(0) - slope) < 4 * error).all() and (error < 0.03).all()
    # Tucker et al. 2019: with many weights the pathwise gradient has far more noise.
    assert (jnp.std(many[1], 0) < 0.5 * jnp.std(many[0], 0)).all()


def test_fisher_divergence():
    """Against E|score of q - score of p|^2 on the grid, with an unnormalised target."""

    def score(x):
        share = scipy.special.expit(16 * x + math.log(0.3 / 0.7))  # of the mode at 2
        return -(x + 2 - 4 * share) / 0.25

    def value(free):
        loc, scale = free[0], math.exp(free[1])
        x = loc + scale * np.linspace(-9, 9, 8001)
        gap = -(x - loc) / scale**2 - score(x)
        return np.sum(np.exp(grid.log_normal(x, loc, scale)) * gap**2) * (x[1] - x[0])

    found = grid.minimize(
        value, [-2.0, -0.7], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14}
    ).x
    mixture = operand("asym1d")
    points = jnp.array([-3.0, -2.0, -1.0, -0.2, 0.0, 0.2, 1.0, 2.0, 3.0])
    target = jd.LogDensity(lambda x, p: p.log_prob(x) + 3.0, (mixture,), points=points)
    fit = jd.fit(jd.FisherDivergence(target), jd.Normal(-1.8, 0.6))
    best = fit.distribution
    np.testing.assert_allclose([best.loc, jnp.log(best.scale)], found, atol=1e-6)
    np.testing.assert_allclose(fit.value, value(found), rtol=1e-6)
    assert fit.quantity.startswith("FisherDivergence(family, target) by Quadrature")


ROWS = {
    "KL": jd.KL(),
    "Renyi": jd.Renyi(0.3),
    "AmariAlpha": jd.AmariAlpha(-0.4),
    "CressieRead": jd.CressieRead(2 / 3),
    "Tsallis": jd.Tsallis(0.3),
    "SquaredHellinger": jd.SquaredHellinger(),
    "ChiSquared": jd.ChiSquared(),
    "NeymanChiSquared": jd.NeymanChiSquared(),
    "Jeffreys": jd.Jeffreys(),
    "JensenShannon": jd.JensenShannon(),
    "TotalVariation": jd.TotalVariation(),
    "TriangularDiscrimination": jd.TriangularDiscrimination(),
    "FDivergence": jd.FDivergence(lambda u: (u - 1) ** 2 / (u + 1)),
}
OWN = {
    "ImportanceWeightedBound": lambda target, by: jd.ImportanceWeightedBound(target, 2, by),
    "FisherDivergence": jd.FisherDivergence,
}
BARE = jd.LogDensity(lambda x: -0.5 * x**2)


def accepts(make):
    """Whether an objective is formed and traced; nothing is computed."""
    try:
        jax.eval_shape(lambda free, key: make()(normal(free), key), jnp.zeros(2), jr.key(0))
    except (TypeError, ValueError):
        return False
    return True


def test_the_table_of_combinations():
    """What the docstring of `Forward` says of each is what happens."""
    assert jd.Forward.__doc__ is not None
    lines = [line for line in jd.Forward.__doc__.splitlines() if line.lstrip().startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    with_draws = {
        "Quadrature": [jd.Quadrature()],
        "FixedDraws": [jd.FixedDraws(4)],
        "MonteCarlo": [jd.MonteCarlo(4)],
        "StickTheLanding": [jd.FixedDraws(4, 0, jd.StickTheLanding())],
        "DoublyReparameterised": [
            jd.FixedDraws(4, 0, jd.DoublyReparameterised()),
            jd.MonteCarlo(4, jd.DoublyReparameterised()),
        ],
    }
    target, said = operand("asym1d"), set()
    for names, *cells in rows:
        for name in names.split(", "):
            said.add(name)
            ways = [lambda t, by, make=OWN[name]: make(t, by)] if name in OWN else []
            if name in ROWS:
                ways = [lambda t, by, w=w, n=name: w(ROWS[n], t, by) for w in WAYS.values()]
            for column, cell in zip(header[1:], cells, strict=True):
                for way in ways:
                    got = [accepts(lambda w=way, b=by: w(target, b)) for by in with_draws[column]]
                    want = {"yes": [True] * len(got), "no": [False] * len(got)}
                    assert got == want.get(cell, [True, False]), (name, column)
    assert said == {*ROWS, *OWN}

    normalised = jd.LogDensity(lambda x: -0.5 * x**2, normalized=True)
    draws = jd.FixedDraws(4)
    ends = {"AmariAlpha above 0": jd.AmariAlpha(0.4), "Tsallis above 1/2": jd.Tsallis(0.7)}
    forward = {
        name: accepts(lambda f=f: jd.Forward(f, normalised, draws))
        for name, f in {**ROWS, **ends}.items()
    }
    alone = {"NeymanChiSquared", "AmariAlpha above 0", "Tsallis"}
    assert {name for name, ok in forward.items() if ok} == alone
    reverse = {name: accepts(lambda f=f: jd.Reverse(f, BARE, draws)) for name, f in ROWS.items()}
    assert {name for name, ok in reverse.items() if ok} == {"KL"}
    assert all(accepts(lambda make=make: make(BARE, draws)) for make in OWN.values())


def test_what_cannot_be_estimated_says_why():
    family, heavy = jd.Normal(0.0, 1.0), jd.StudentT(3.0, 0.0, 1.0)
    draws, fresh = jd.FixedDraws(10), jd.MonteCarlo(10)
    for functional in (jd.ChiSquared(), jd.Renyi(1.5), jd.AmariAlpha(-3.0), jd.CressieRead(1.0)):
        with pytest.raises(ValueError, match="lighter tails, is infinite for every member"):
            jd.Forward(functional, heavy).plan(family)
    for functional in (jd.NeymanChiSquared(), jd.AmariAlpha(3.0)):
        with pytest.raises(ValueError, match="lighter tails, is infinite for every member"):
            jd.Reverse(functional, heavy).plan(family)
    jd.Forward(jd.ChiSquared(), jd.Normal(0.0, 1.0)).plan(heavy)
    with pytest.raises(ValueError, match=r"infinite variance: take Tsallis\(0.3\)"):
        jd.Reverse(jd.Renyi(0.3), heavy, draws).plan(family)
    jd.Reverse(jd.Renyi(0.3), heavy, jd.Quadrature()).plan(family)
    with pytest.raises(TypeError, match="gradient from fresh draws is biased: take Tsallis"):
        jd.Reverse(jd.Renyi(0.5), family, fresh).plan(family)
    with pytest.raises(TypeError, match="KL needs draws from the target"):
        jd.Forward(jd.KL(), BARE, draws).plan(family)
    with pytest.raises(ValueError, match="with DoublyReparameterised the gradient of fixed draws"):
        by = jd.FixedDraws(10, gradient=jd.DoublyReparameterised())
        jd.fit(jd.ImportanceWeightedBound(BARE, 2, by), family)
    with pytest.raises(TypeError, match="use DoublyReparameterised"):
        jd.ImportanceWeightedBound(BARE, 2, jd.MonteCarlo(10, jd.StickTheLanding()))
    with pytest.raises(ValueError, match="num_draws must be a positive integer"):
        jd.ImportanceWeightedBound(BARE, 0)
    with pytest.raises(TypeError, match="must have a density"):
        jd.ImportanceWeightedBound(BARE, 2)(jd.logits([0.0, 0.0]), None)
    with pytest.raises(TypeError, match="biased for differences of scores"):
        jd.FisherDivergence(BARE, jd.MonteCarlo(10, jd.StickTheLanding()))
    with pytest.raises(TypeError, match="density with a gradient, got Poisson"):
        jd.FisherDivergence(BARE)(jd.Poisson(1.0), None)
