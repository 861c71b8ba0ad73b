"""Figures: a density and what was fitted to it, fits from several sides, and an explanation.

They need matplotlib (the extra `plot`), which is imported at the first call.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ._explain.explanation import Explanation
from ._operand.base import AbstractDistribution
from ._operand.normal import Normal
from ._plot_fit import DATA as _DATA
from ._plot_fit import LINES as _LINES
from ._plot_fit import TARGET as _TARGET
from ._plot_fit import axes_or_new as _axes_or_new
from ._plot_fit import plot_alpha_path as plot_alpha_path
from ._plot_fit import plot_directions as plot_directions
from ._plot_fit import plot_pairs as plot_pairs
from ._plot_fit import plot_trace as plot_trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_fits(
    target: AbstractDistribution,
    fits: Mapping[str, AbstractDistribution],
    *,
    data: Float[ArrayLike, " n"] | None = None,
    ax: "Axes | None" = None,
    num_bins: int | None = None,
    num_points: int = 600,
) -> "Axes":
    r"""$x \mapsto p(x)$ of a target on the line, and of what was fitted to it.

    Args:
        target: a density over one real number, without batch axes.
        fits: other such densities by their names, which go into the legend.
        data: observations, drawn as a histogram of density.
        ax: the matplotlib axes to draw on; a new figure's if None.
        num_bins: bins of the histogram; matplotlib's `"auto"` rule if None.
        num_points: points of each curve.

    Returns:
        The axes drawn on.

    Raises:
        ImportError: where matplotlib is not installed.
        ValueError: for a batch, for a density of several coordinates, and where none of the
            densities says where it varies.

    Example:
        >>> import jaxdiv as jd
        >>> from jaxdiv.plot import plot_fits
        >>> target = jd.Mixture(jd.probs([0.7, 0.3]), jd.Normal(jnp.array([-2.0, 2.0]), 0.5))
        >>> ax = plot_fits(target, {"a fit": jd.Normal(-2.0, 0.5)})
        >>> [line.get_label() for line in ax.lines]
        ['target', 'a fit']
    """
    densities = {"target": target, **fits}
    for name, density in densities.items():
        if density.batch_shape or density.event_shape:
            raise ValueError(
                f"{name}: a density over one real number is needed, got batch shape "
                f"{density.batch_shape} and event shape {density.event_shape}."
            )
    ax = _axes_or_new(ax)
    x = np.linspace(*_window(densities, data), num_points)
    if data is not None:
        bins = "auto" if num_bins is None else num_bins
        ax.hist(np.asarray(data), bins=bins, density=True, color=_DATA, label="data")
    curves = _curves(tuple(densities.values()), x)
    for i, name in enumerate(densities):
        style: dict[str, Any] = {"color": _LINES[(i - 1) % len(_LINES)], "lw": 1.8}
        if i == 0:
            style = {"color": _TARGET, "lw": 2.2}
        ax.plot(x, np.asarray(curves[i]), label=name, **style)
    ax.set(xlabel="x", ylabel="density", xlim=(x[0], x[-1]))
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax


def plot_landscape(
    objective: Any,
    loc: Float[ArrayLike, " n"],
    log_scale: Float[ArrayLike, " m"],
    *,
    optima: Normal | None = None,
    path: Normal | None = None,
    ax: "Axes | None" = None,
    num_levels: int = 24,
) -> "Axes":
    r"""$(\mu, \log\sigma) \mapsto$ the objective at $N(\mu, \sigma^2)$, in level curves.

    The levels are spaced evenly in the cube root of the height above the lowest point, so that
    the bottoms of the basins show.

    Args:
        objective: any `(family, key) -> scalar` that needs no key, such as
            `reverse_kl(target, Quadrature())`.
        loc: the locations of the grid.
        log_scale: the logarithms of the scales of the grid.
        optima: Gaussians to mark, stacked: a star for the best (and its equals), a dot for the
            others.
        path: Gaussians passed through, `[steps]` or `[starts, steps]`, as in `Fit.path`.
        ax: the matplotlib axes to draw on; a new figure's if None.
        num_levels: the number of level curves.

    Returns:
        The axes drawn on.

    Raises:
        ImportError: where matplotlib is not installed.

    Example:
        >>> import jaxdiv as jd
        >>> from jaxdiv.plot import plot_landscape
        >>> loss = jd.reverse_kl(jd.Normal(1.0, 2.0), jd.Quadrature())
        >>> ax = plot_landscape(loss, jnp.linspace(-1.0, 3.0, 9), jnp.linspace(-1.0, 2.0, 9))
        >>> ax.get_ylabel()
        'log scale'
    """
    ax = _axes_or_new(ax)
    from matplotlib.colors import BoundaryNorm

    loc, log_scale = np.asarray(loc), np.asarray(log_scale)
    marks = None if optima is None else Normal(np.ravel(optima.loc), np.ravel(optima.scale))
    heights, at_marks = jax.tree.map(np.asarray, _heights(objective, loc, log_scale, marks))
    low = np.nanmin(heights)
    levels = low + np.nanpercentile(heights - low, 90) * np.linspace(0, 1, num_levels + 1) ** 3
    if not levels[-1] > levels[0]:
        levels = np.array([low, low + 1.0])
    shades = BoundaryNorm(levels, 256, extend="max")
    ax.contourf(loc, log_scale, heights, levels=levels, norm=shades, cmap="Blues_r", extend="max")
    ax.contour(loc, log_scale, heights, levels=levels, colors="white", linewidths=0.4)
    if path is not None:
        steps = np.shape(path.loc)[-1]
        lines = np.reshape(path.loc, (-1, steps)), np.log(np.reshape(path.scale, (-1, steps)))
        ax.plot(*(line.T for line in lines), color=_LINES[0], lw=0.8, marker=".", ms=3)
    if marks is not None:
        best = at_marks <= np.nanmin(at_marks) + 1e-9
        for chosen, symbol, size in ((best, "*", 170), (~best, "o", 50)):
            ax.scatter(
                marks.loc[chosen],
                np.log(marks.scale[chosen]),
                marker=symbol,
                s=size,
                color="white",
                edgecolor="black",
                zorder=3,
            )
    ax.set(xlabel="loc", ylabel="log scale")
    ax.set(xlim=(loc[0], loc[-1]), ylim=(log_scale[0], log_scale[-1]))
    return ax


def plot_explanation(
    explanation: Explanation, *, ax: "Axes | None" = None, most: int = 20
) -> "Axes":
    """The terms of an explanation as bars, from the top down.

    Args:
        explanation: of one example.
        ax: the matplotlib axes to draw on; a new figure's if None.
        most: the most bars for terms of one kind; those that are left out are put together.

    Returns:
        The axes drawn on. A bar that is infinite is hatched and marked as such.

    Raises:
        ImportError: where matplotlib is not installed.
        ValueError: of a batch.

    Example:
        >>> import jaxdiv as jd
        >>> from jaxdiv.plot import plot_explanation
        >>> terms = jd.explain(jd.KL(), jd.Normal(1.0, 1.0), jd.Normal(0.0, 2.0))
        >>> ax = plot_explanation(terms)
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['mean', 'scale']
    """
    labels, values = zip(*explanation.rows(most), strict=True)
    ax = _axes_or_new(ax)
    values = np.asarray(values)
    endless = np.isinf(values)
    longest = np.max(np.abs(values), where=~endless, initial=0.0)
    lengths = np.where(endless, 1.2 * longest if longest > 0 else 1.0, values)
    bars = ax.barh(range(len(values)), lengths, color=_LINES[1])
    for i in np.flatnonzero(endless):
        bars[i].set(hatch="//", color=_DATA)
        ax.text(lengths[i], float(i), " ∞", va="center")
    ax.set_yticks(range(len(values)), labels)
    ax.invert_yaxis()
    ax.set(xlabel=explanation.unit, title=explanation.title)
    return ax


@jax.jit
def _curves(densities: tuple[AbstractDistribution, ...], x: Array) -> list[Array]:
    return [jnp.exp(density.log_prob(x)) for density in densities]


@jax.jit
def _heights(objective: Any, loc: Array, log_scale: Array, marks: Normal | None):
    at = jax.vmap(lambda m, s: objective(Normal(m, s), None))
    # Row by row: all of a grid at once, times the nodes of a quadrature, may not fit in memory.
    rows = jax.lax.map(lambda s: at(loc, jnp.full_like(loc, s)), jnp.exp(log_scale))
    return rows, None if marks is None else at(marks.loc, marks.scale)


@jax.jit
def _reach(densities: tuple[AbstractDistribution, ...]) -> tuple[Array, Array]:
    ends = [jnp.zeros(0)]
    for density in densities:
        pieces = density.pieces()
        if pieces is not None:
            scale = 3.5 * jnp.abs(pieces.scale_trils[..., 0])
            parts = (pieces.centres - scale, pieces.centres + scale, pieces.points)
            ends += [jnp.ravel(part) for part in parts]
    everything = jnp.concatenate(ends)
    return jnp.min(everything, initial=jnp.inf), jnp.max(everything, initial=-jnp.inf)


def _window(densities: Mapping[str, AbstractDistribution], data: Any) -> tuple[float, float]:
    low, high = map(float, _reach(tuple(densities.values())))
    if data is not None:
        low, high = min(low, float(np.min(data))), max(high, float(np.max(data)))
    if not low < high:
        raise ValueError("none of the densities says where it varies: give `data`.")
    return low, high
