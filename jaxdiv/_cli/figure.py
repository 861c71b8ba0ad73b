"""The figure: data, density and fits above, the landscape of each direction below."""

from pathlib import Path
from typing import Any

import numpy as np

import jaxdiv as jd

from ..plot import plot_fits, plot_landscape
from .analysis import Analysis, objective
from .errors import InputError
from .target import Target

_GRID = 72


def check_figure(path: Path) -> None:
    """Raises unless matplotlib is there and can write the format that the name asks for."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ModuleNotFoundError:
        raise InputError("the figure needs matplotlib: pip install 'jaxdiv[plot]'.") from None
    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix[1:].lower() not in formats:
        raise InputError(f"--plot {path}: the name must end in one of .{', .'.join(formats)}.")


def save_figure(path: Path, target: Target, analysis: Analysis) -> None:
    """Draws and writes the figure."""
    from matplotlib.figure import Figure

    below: list[Any] = [fit.direction for fit in analysis.fits]
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    panels = figure.subplot_mosaic([["fits"] * len(below), below])
    data = target.data
    ax = plot_fits(
        target.density,
        {f"{fit.direction} KL": jd.Normal(fit.loc, fit.scale) for fit in analysis.fits},
        data=None if data is None else data.values,
        ax=panels["fits"],
        num_bins=30,
    )
    ax.set(title=target.title, xlabel="x" if data is None else data.name)
    window = _window(target, analysis)
    for fit in analysis.fits:
        ax = plot_landscape(
            objective(fit.direction, target),
            *window,
            optima=jd.Normal(
                np.array([optimum.loc for optimum in fit.optima]),
                np.array([optimum.scale for optimum in fit.optima]),
            ),
            path=fit.path,
            ax=panels[fit.direction],
        )
        pair = {"forward": "target‖fit", "reverse": "fit‖target"}[fit.direction]
        least = f"{fit.optima[0].kl:.6g} {analysis.unit}"
        ax.set_title(f"{fit.direction}: KL({pair}), least {least}")
    figure.savefig(path, dpi=130)


def _window(target: Target, analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    optima = [optimum for fit in analysis.fits for optimum in fit.optima]
    locs = np.array([optimum.loc for optimum in optima] + [target.mean])
    logs = np.log([optimum.scale for optimum in optima] + [target.deviation])
    margin = 1.5 * target.deviation
    return (
        np.linspace(locs.min() - margin, locs.max() + margin, _GRID),
        np.linspace(logs.min() - 1.0, logs.max() + 1.0, _GRID),
    )
