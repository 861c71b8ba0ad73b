"""The figure of a fit over one or two columns: a panel for each fit, beside the target."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from .joint import JointAnalysis
from .joint_target import JointTarget

_GRID = 160
_REACH = 3.5  # standard deviations of each component
# Density, as a part of its greatest, at 1, 2 and 3 standard deviations of a Gaussian.
_LEVELS = np.exp(-0.5 * np.array([3.0, 2.0, 1.0]) ** 2)
_TARGET, _FIT, _DATA = "#000000", "#d55e00", "#c8ccd0"


def save_joint_figure(path: Path, target: JointTarget, analysis: JointAnalysis) -> None:
    """Draws and writes the figure."""
    from matplotlib.figure import Figure

    fits = analysis.fits
    figure = Figure(figsize=(5.2 * len(fits), 4.6), layout="constrained")
    panels = figure.subplots(1, len(fits), squeeze=False, sharex=True, sharey=True)[0]
    axes = [np.linspace(*ends, _GRID) for ends in zip(*_window(target), strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    draw = _curves if len(axes) == 1 else _contours
    for ax, fit in zip(panels, fits, strict=True):
        target_density, fit_density = map(np.asarray, _densities((target.density, fit.best), grid))
        draw(ax, axes, target, target_density, fit_density)
        ax.set(title=f"{fit.name}: {fit.optima[0].value:.6g} {analysis.unit}")
        ax.set_xlabel(target.names[0])
    panels[0].set_ylabel("density" if len(axes) == 1 else target.names[1])
    figure.suptitle(target.title)
    figure.savefig(path, dpi=130)


def _window(target: JointTarget) -> tuple[np.ndarray, np.ndarray]:
    parts: Any = target.density.components
    locs = np.asarray(parts.loc)
    reach = _REACH * np.sqrt(np.sum(np.asarray(parts.scale_tril) ** 2, -1))
    ends = [locs - reach, locs + reach]
    if target.data:
        ends.append(np.stack([column.values for column in target.data], 1))
    every = np.concatenate(ends)
    return every.min(0), every.max(0)


@jax.jit
def _densities(densities: tuple[Any, ...], grid: Any) -> list[Any]:
    return [jax.numpy.exp(density.log_prob(grid)) for density in densities]


def _curves(
    ax: Any, axes: list[np.ndarray], target: JointTarget, density: np.ndarray, fit: np.ndarray
) -> None:
    (x,) = axes
    if target.data:
        ax.hist(target.data[0].values, bins=30, density=True, color=_DATA, label="data")
    ax.plot(x, density, color=_TARGET, label="target")
    ax.plot(x, fit, color=_FIT, label="fit")
    ax.legend(frameon=False)


def _contours(
    ax: Any, axes: list[np.ndarray], target: JointTarget, density: np.ndarray, fit: np.ndarray
) -> None:
    x, y = axes
    if target.data:
        ax.scatter(*(column.values for column in target.data), s=8, color=_DATA, label="data")
    for heights, colour, name in ((density, _TARGET, "target"), (fit, _FIT, "fit")):
        ax.contour(x, y, heights.T, levels=_LEVELS * heights.max(), colors=colour, linewidths=1.2)
        ax.plot([], [], color=colour, label=name)
    ax.legend(frameon=False)
