"""Figures: what is drawn where, read back from the artists."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import jaxdiv as jd
from jaxdiv.plot import (
    plot_alpha_path,
    plot_directions,
    plot_fits,
    plot_landscape,
    plot_pairs,
    plot_trace,
)


@pytest.fixture
def ax():
    """Axes of a figure of their own, which no window system knows of."""
    return Figure().subplots()


@pytest.fixture
def target():
    return jd.Mixture(jd.probs([0.7, 0.3]), jd.Normal(jnp.array([-2.0, 2.0]), jnp.full(2, 0.5)))


def test_curves_are_the_densities(ax, target):
    assert plot_fits(target, {"one": jd.Normal(-2.0, 0.5)}, ax=ax) is ax
    assert [line.get_label() for line in ax.lines] == ["target", "one"]
    for line, weights in zip(ax.lines, ([0.7, 0.3], [1.0, 0.0]), strict=True):
        x, y = line.get_data()
        expected = sum(
            w * scipy.stats.norm.pdf(x, m, 0.5) for w, m in zip(weights, (-2, 2), strict=True)
        )
        np.testing.assert_allclose(y, expected, rtol=1e-12)
        assert x[0] < -3.5 and x[-1] > 3.5
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["target", "one"]


def test_data_are_a_histogram_of_density(ax, target):
    data = np.random.default_rng(0).normal(size=200)
    plot_fits(target, {}, data=data, ax=ax, num_bins=20)
    area = sum(bar.get_width() * bar.get_height() for bar in ax.patches)
    assert len(ax.patches) == 20
    np.testing.assert_allclose(area, 1.0, rtol=1e-12)


def test_a_density_without_pieces_needs_data(ax):
    bare = jd.LogDensity(lambda x: -0.5 * x**2)
    with pytest.raises(ValueError, match="give `data`"):
        plot_fits(bare, {}, ax=ax)
    plot_fits(bare, {}, data=np.array([-2.0, 2.0]), ax=ax)
    assert ax.lines[0].get_xdata()[0] == -2.0


def test_only_a_single_density_over_one_number_can_be_drawn(ax, target):
    with pytest.raises(ValueError, match=r"several: .* batch shape \(3,\)"):
        plot_fits(target, {"several": jd.Normal(jnp.zeros(3), 1.0)}, ax=ax)
    with pytest.raises(ValueError, match=r"target: .* event shape \(2,\)"):
        plot_fits(jd.MultivariateNormal(jnp.zeros(2), jnp.eye(2)), {}, ax=ax)


def test_landscape_of_a_known_objective(ax):
    """KL(N(m, s) ‖ N(1, 2)) in closed form: its least height and where it is."""
    loc, log_scale = np.linspace(-1, 3, 21), np.linspace(-1, 2, 16)
    objective = jd.reverse_kl(jd.Normal(1.0, 2.0), jd.Quadrature())
    path = jd.Normal(jnp.array([[0.0, 0.5, 1.0], [2.0, 1.5, 1.0]]), jnp.ones((2, 3)))
    optima = jd.Normal(jnp.array([1.0, 0.0]), jnp.array([2.0, 1.0]))
    assert plot_landscape(objective, loc, log_scale, optima=optima, path=path, ax=ax) is ax
    filled = next(c for c in ax.collections if c.get_array() is not None)
    assert 0 <= filled.get_array()[0] < 0.02
    assert [len(line.get_xdata()) for line in ax.lines] == [3, 3]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), 0.0)
    star, dot = (c.get_offsets() for c in ax.collections if isinstance(c, PathCollection))
    np.testing.assert_allclose(np.asarray(star), [[1.0, np.log(2.0)]])
    np.testing.assert_allclose(np.asarray(dot), [[0.0, 0.0]])
    assert ax.get_xlim() == (-1, 3) and ax.get_ylim() == (-1, 2)


def test_equal_optima_are_both_stars(ax):
    target = jd.Mixture(jd.probs([0.5, 0.5]), jd.Normal(jnp.array([-2.0, 2.0]), 0.5))
    optima = jd.Normal(jnp.array([-1.9998008869735984, 1.9998008869735984]), jnp.full(2, 0.5004))
    objective = jd.reverse_kl(target, jd.Quadrature())
    plot_landscape(objective, np.linspace(-3, 3, 7), np.linspace(-1, 1, 5), optima=optima, ax=ax)
    marks = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
    assert [np.shape(points)[0] for points in marks] == [2, 0]


def test_without_axes_a_new_figure(target):
    from matplotlib import pyplot

    ax = plot_fits(target, {})
    assert ax.figure is pyplot.gcf()
    pyplot.close()


def test_without_matplotlib_the_error_names_the_extra(target, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"jaxdiv\[plot\]"):
        plot_fits(target, {})


def test_trace_has_a_line_for_each_start(ax):
    class Well(eqx.Module):
        def __call__(self, family, key):
            return (family.loc**2 - 1) ** 2 + family.scale - jnp.log(family.scale)

    starts = jd.Normal(jnp.array([-3.0, -2.0, 3.0]), jnp.ones(3))
    fit = jd.fit(Well(), jd.Normal(0.0, 1.0), jd.newton(), starts=starts)
    plot_trace(fit, ax=ax)
    assert len(ax.lines) == 3
    drawn = np.array([line.get_ydata() for line in ax.lines])
    np.testing.assert_array_equal(np.sort(drawn, 0), np.sort(fit.losses, 0))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(labels) == ["optimum 0: 1", "optimum 1: 1"]
    with pytest.raises(ValueError, match="one fit"):
        plot_trace(jax.tree.map(lambda x: x[None], fit), ax=ax)


def test_pairs_are_named_weighted_and_beside_a_reference():
    rng = np.random.default_rng(0)
    draws = {"a": rng.normal(size=500), "b": rng.normal(size=(500, 2))}
    axes = Figure().subplots(3, 3)
    log_weights = np.where(draws["a"] > 0, 0.0, -np.inf)
    plot_pairs(draws, reference=draws, log_weights=log_weights, axes=axes)
    assert [ax.get_xlabel() for ax in axes[-1]] == ["a", "b[0]", "b[1]"]
    assert [ax.get_ylabel() for ax in axes[1:, 0]] == ["b[0]", "b[1]"]
    assert not axes[0, 1].axison
    (points,) = [c for c in axes[1, 0].collections if isinstance(c, PathCollection)]
    np.testing.assert_array_equal(
        points.get_offsets(), np.stack([draws["a"], draws["b"][:, 0]], -1)
    )
    np.testing.assert_array_equal(np.asarray(points.get_alpha()) > 0, draws["a"] > 0)
    bars = [bar for bar in axes[0, 0].patches if isinstance(bar, Rectangle)]
    assert all(bar.get_height() == 0 for bar in bars if bar.get_x() + bar.get_width() < 0)
    area = sum(bar.get_height() * bar.get_width() for bar in bars)
    np.testing.assert_allclose(area, 1.0)
    with pytest.raises(ValueError, match="reference has"):
        plot_pairs(draws, reference={"a": draws["a"]}, axes=axes)


def test_directions_are_side_by_side(target):
    axes = Figure().subplots(1, 2)
    fits = jd.Normal(-0.8, 1.9), jd.Normal(-2.0, 0.5)
    plot_directions(target, *fits, axes=axes)
    for ax, fit in zip(axes, fits, strict=True):
        x, y = ax.lines[1].get_data()
        np.testing.assert_allclose(y, scipy.stats.norm.pdf(x, fit.loc, fit.scale), rtol=1e-12)
    plane = jd.MultivariateNormal(jnp.zeros(2), jnp.eye(2))
    plot_directions(plane, plane, plane, axes=axes)
    assert axes[1].get_xlabel() == "x[0]" and axes[1].collections
    with pytest.raises(ValueError, match="one or two real numbers"):
        plot_directions(target, plane, plane, axes=axes)


def test_alpha_path_draws_each_branch():
    axes = Figure().subplots(1, 2)
    branches = {
        "wide": jd.Normal(jnp.array([-1.0, -0.8]), jnp.array([1.8, 1.9])),
        "narrow": jd.Normal(jnp.array([-2.0, jnp.nan]), jnp.array([0.5, jnp.nan])),
    }
    plot_alpha_path(np.array([0.2, 0.8]), branches, axes=axes)
    for ax, field in zip(axes, ("loc", "scale"), strict=True):
        for line, members in zip(ax.lines, branches.values(), strict=True):
            np.testing.assert_array_equal(line.get_ydata(), getattr(members, field))
            np.testing.assert_array_equal(line.get_xdata(), [0.2, 0.8])
