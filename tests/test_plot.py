"""Figures: what is drawn where, read back from the artists."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

import jaxdiv as jd
from jaxdiv.plot import plot_fits, plot_landscape


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
