"""Figures of fits: their traces, draws of them in pairs, both directions, and the alpha path."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ._fit.solution import Fit
from ._operand.base import AbstractDistribution
from ._operand.normal import Normal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito's palette: told apart with any colour vision.
TARGET, DATA = "#000000", "#c8ccd0"
LINES = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00")


def plot_trace(fit: Fit, *, ax: "Axes | None" = None) -> "Axes":
    """The objective at each step of every start of a fit, in the colour of the optimum it found.

    Args:
        fit: of one problem. What found no optimum is grey.
        ax: the matplotlib axes to draw on; a new figure's if None.

    Returns:
        The axes drawn on.

    Raises:
        ImportError: where matplotlib is not installed.
        ValueError: of a batch of fits.

    Example:
        >>> import jaxdiv as jd
        >>> from jaxdiv.plot import plot_trace
        >>> ax = plot_trace(jd.fit(jd.reverse_kl(jd.Normal(2.0, 3.0)), jd.Normal(0.0, 1.0)))
        >>> len(ax.lines)
        1
    """
    losses, cluster = np.asarray(fit.losses), np.asarray(fit.cluster)
    if losses.ndim != 2:
        raise ValueError(f"plot_trace: one fit is needed, got a batch {losses.shape[:-2]} of them.")
    ax = axes_or_new(ax)
    for i in np.argsort(-cluster, kind="stable")[::-1]:
        label = None
        if cluster[i] >= 0 and bool(fit.is_distinct[i]):
            label = f"optimum {cluster[i]}: {float(fit.values[i]):.4g}"
        colour = DATA if cluster[i] < 0 else LINES[cluster[i] % len(LINES)]
        ax.plot(losses[i], color=colour, lw=1.2, label=label)
    ax.set(xlabel="step", ylabel="objective")
    if np.any(cluster >= 0):
        ax.legend(frameon=False)
    return ax


def plot_pairs(
    draws: Mapping[str, Float[ArrayLike, "n ..."]],
    *,
    reference: Mapping[str, Float[ArrayLike, "m ..."]] | None = None,
    log_weights: Float[ArrayLike, " n"] | None = None,
    most: int = 2000,
    axes: Any = None,
) -> np.ndarray:
    r"""Draws of named parameters: each pair as a scatter, each marginal as a histogram of density.

    Args:
        draws: arrays by name, of which the first axis is that of the draws; every entry of an
            array is a parameter of its own, `beta[0]`.
        reference: other draws of the same names, black and beneath.
        log_weights: of the draws, normalised or not: importance weights, for the marginals and as
            the opacity of the points.
        most: points of a scatter, the first ones.
        axes: matplotlib axes `[k, k]` to draw on, for $k$ parameters; a new figure's if None.

    Returns:
        The axes `[k, k]`; those above the diagonal are switched off.

    Raises:
        ImportError: where matplotlib is not installed.
        ValueError: where `reference` has not the names and shapes of `draws`.

    Example:
        >>> import jax, jaxdiv as jd
        >>> from jaxdiv.plot import plot_pairs
        >>> draws = {"loc": jax.random.normal(jax.random.key(0), (50, 2))}
        >>> plot_pairs(draws).shape
        (2, 2)
    """
    names, columns = _columns(draws)
    others = None
    if reference is not None:
        other_names, others = _columns(reference)
        if other_names != names:
            raise ValueError(f"plot_pairs: reference has {other_names}, and the draws {names}.")
    weights = np.full(columns.shape[1], 1 / columns.shape[1])
    if log_weights is not None:
        logs = np.asarray(log_weights, float)
        weights = np.exp(logs - np.max(logs))
        weights = weights / np.sum(weights)
    size = len(names)
    if axes is None:
        figure = axes_or_new(None, figsize=(1.8 * size, 1.8 * size)).figure
        figure.clear()
        axes = figure.subplots(size, size, sharex="col", squeeze=False)
    axes = np.asarray(axes, object).reshape(size, size)
    opacity = 0.5 * weights[:most] / np.max(weights[:most])
    for i in range(size):
        for j in range(size):
            ax = axes[i, j]
            if j > i:
                ax.set_axis_off()
            elif i == j:
                pooled = columns[i] if others is None else np.concatenate([columns[i], others[i]])
                bins = np.histogram_bin_edges(pooled, bins=30)
                if others is not None:
                    ax.hist(others[i], bins, density=True, histtype="step", color=TARGET)
                ax.hist(columns[i], bins, density=True, weights=weights, color=LINES[1], alpha=0.6)
            else:
                if others is not None:
                    ax.plot(others[j, :most], others[i, :most], ".", ms=2, color=TARGET, alpha=0.3)
                x, y = columns[j, :most], columns[i, :most]
                ax.scatter(x, y, s=4, color=LINES[1], alpha=opacity)
            if i == size - 1:
                ax.set_xlabel(names[j])
            if j == 0 and i > 0:
                ax.set_ylabel(names[i])
    return axes


def plot_directions(
    target: AbstractDistribution,
    forward: AbstractDistribution,
    reverse: AbstractDistribution,
    *,
    axes: Any = None,
    num_points: int = 200,
) -> np.ndarray:
    r"""The fits by $\mathrm{KL}(\text{target} \| \text{fit})$ and $\mathrm{KL}(\text{fit} \|
    \text{target})$, side by side.

    Args:
        target: a density over one or two real numbers, without batch axes.
        forward: the fit by forward KL, which covers the target's mass.
        reverse: the fit by reverse KL, which seeks a mode.
        axes: two matplotlib axes; a new figure's if None.
        num_points: along each coordinate.

    Returns:
        The two axes: curves over the line, level curves over the plane.

    Raises:
        ImportError: where matplotlib is not installed.
        ValueError: for a batch, in more dimensions, and where none of the densities says where it
            varies.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> from jaxdiv.plot import plot_directions
        >>> target = jd.Mixture(jd.probs([0.7, 0.3]), jd.Normal(jnp.array([-2.0, 2.0]), 0.5))
        >>> axes = plot_directions(target, jd.Normal(-0.8, 1.9), jd.Normal(-2.0, 0.5))
        >>> [ax.get_title() for ax in axes]
        ['forward: KL(target‖fit)', 'reverse: KL(fit‖target)']
    """
    densities = (target, forward, reverse)
    shapes = {(d.batch_shape, d.event_shape) for d in densities}
    if not shapes <= {((), ())} and not shapes <= {((), (2,))}:
        raise ValueError(
            "plot_directions: densities over one or two real numbers are needed, without batch "
            f"axes, got batch and event shapes {sorted(shapes)}."
        )
    if axes is None:
        figure = axes_or_new(None, figsize=(8.0, 3.0)).figure
        figure.clear()
        axes = figure.subplots(1, 2, sharey=True)
    axes = np.ravel(np.asarray(axes, object))
    low, high = _reach(densities)
    if not np.all(low < high):
        raise ValueError("plot_directions: none of the densities says where it varies.")
    grid = [np.linspace(a, b, num_points) for a, b in zip(low, high, strict=True)]
    points = grid[0] if len(grid) == 1 else np.stack(np.meshgrid(*grid), -1)
    heights = [np.asarray(h) for h in _heights(densities, jnp.asarray(points))]
    titles = ("forward: KL(target‖fit)", "reverse: KL(fit‖target)")
    for ax, title, fitted, colour in zip(axes, titles, heights[1:], LINES, strict=False):
        if len(grid) == 1:
            ax.plot(grid[0], heights[0], color=TARGET, lw=2.2, label="target")
            ax.plot(grid[0], fitted, color=colour, lw=1.8, label="fit")
            ax.set(xlabel="x")
            ax.set_ylim(bottom=0)
            ax.legend(frameon=False)
        else:
            ax.contourf(*grid, heights[0], levels=12, cmap="Greys")
            ax.contour(*grid, fitted, levels=6, colors=colour, linewidths=1.2)
            ax.set(xlabel="x[0]", ylabel="x[1]")
        ax.set(title=title)
    return axes


def plot_alpha_path(
    orders: Float[ArrayLike, " n"], branches: Mapping[str, Normal], *, axes: Any = None
) -> np.ndarray:
    r"""Location and scale of the best Gaussian against the order $\alpha$ of the divergence.

    Args:
        orders: $\alpha$.
        branches: Gaussians by the name of the optimum that they follow, stacked along the orders;
            NaN where there is no such optimum.
        axes: two matplotlib axes, for locations and scales; a new figure's if None.

    Returns:
        The two axes.

    Raises:
        ImportError: where matplotlib is not installed.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> from jaxdiv.plot import plot_alpha_path
        >>> members = jd.Normal(jnp.array([-2.0, -0.8]), jnp.array([0.5, 1.9]))
        >>> axes = plot_alpha_path(jnp.array([0.1, 1.0]), {"best": members})
        >>> [ax.get_ylabel() for ax in axes]
        ['loc', 'scale']
    """
    if axes is None:
        figure = axes_or_new(None, figsize=(8.0, 3.0)).figure
        figure.clear()
        axes = figure.subplots(1, 2)
    axes = np.ravel(np.asarray(axes, object))
    for i, (name, members) in enumerate(branches.items()):
        for ax, values in zip(axes, (members.loc, members.scale), strict=True):
            ax.plot(np.asarray(orders), np.asarray(values), color=LINES[i % len(LINES)], label=name)
    axes[0].set(xlabel="α", ylabel="loc")
    axes[1].set(xlabel="α", ylabel="scale")
    axes[0].legend(frameon=False)
    return axes


def axes_or_new(ax: "Axes | None", **options: Any) -> "Axes":
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as error:
        raise ImportError("figures need matplotlib: pip install 'jaxdiv[plot]'") from error
    return pyplot.subplots(**options)[1]


def _columns(draws: Mapping[str, Any]) -> tuple[list[str], Float[np.ndarray, "k n"]]:
    """Every entry of every array, by its flat name."""
    names, columns = [], []
    for name, values in draws.items():
        values = np.asarray(values)
        for index in np.ndindex(values.shape[1:]):
            names.append(name + (f"[{','.join(map(str, index))}]" if index else ""))
            columns.append(values[(slice(None), *index)])
    return names, np.stack(columns)


@jax.jit
def _heights(densities: tuple[AbstractDistribution, ...], x: Array) -> list[Array]:
    return [jnp.exp(density.log_prob(x)) for density in densities]


def _reach(densities: tuple[AbstractDistribution, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The box that holds what the densities say of themselves."""
    ends = []
    for density in densities:
        pieces = density.pieces()
        if pieces is not None:
            scale = 3.5 * jnp.sqrt(jnp.sum(pieces.scale_trils**2, -1))
            ends += [pieces.centres - scale, pieces.centres + scale, pieces.points]
    everything = np.concatenate([np.asarray(end) for end in ends] or [np.full((1, 1), np.nan)])
    return np.min(everything, 0), np.max(everything, 0)
