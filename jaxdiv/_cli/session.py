"""One run from request to report: read, check, fit, draw, write, print."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from . import record, report
from .analysis import analyse
from .figure import check_figure, save_figure
from .joint import analyse_joint
from .joint_figure import save_joint_figure
from .joint_record import joint_record
from .joint_report import show_joint
from .joint_target import make_joint_target
from .request import Request, cannot_write, check_writable, session_path
from .table import Column
from .target import make_target, read_data


def run_fit(request: Request) -> None:
    """Does what was asked; the output files are tried before anything is computed.

    Raises:
        InputError: where the data cannot be used or an output cannot be written.
        FitError: where no optimum was found.
    """
    data = read_data(request.source)
    _check_outputs(request)
    out = Console(highlight=False, markup=False)
    (_run_plane if request.is_plane else _run_joint)(request, data, out)


def _run_plane(request: Request, data: tuple[Column, ...], out: Console) -> None:
    with _configured():
        with _progress("estimating the density"):
            target = make_target(request.source, data, request.seed)
        with _progress("fitting one Gaussian"):
            analysis = analyse(target, request)
        with _progress("drawing"), _writing(request.plot, "--plot"):
            save_figure(request.plot, target, analysis)
    _write_json(request, lambda: record.record(request, target, analysis))
    report.show(out, request, target, analysis)


def _run_joint(request: Request, data: tuple[Column, ...], out: Console) -> None:
    with _configured():
        with _progress("estimating the density"):
            target = make_joint_target(request, data)
        with _progress("fitting"):
            analysis = analyse_joint(target, request)
        if request.is_drawn:
            with _progress("drawing"), _writing(request.plot, "--plot"):
                save_joint_figure(request.plot, target, analysis)
    _write_json(request, lambda: joint_record(request, target, analysis))
    show_joint(out, request, target, analysis)


def _check_outputs(request: Request) -> None:
    if request.is_drawn:
        check_figure(request.plot)
        check_writable(request.plot, "--plot")
    if request.json is not None:
        check_writable(request.json, "--json")
    for direction in request.directions:
        path = session_path(request, direction)
        if path is not None:
            check_writable(path, "--resume")


def _write_json(request: Request, facts: Callable[[], dict[str, Any]]) -> None:
    if request.json is not None:
        with _writing(request.json, "--json"):
            record.write(request.json, facts())


@contextlib.contextmanager
def _configured() -> Iterator[None]:
    # Float64; and a program that is compiled to run once wants to be compiled fast.
    options = {"jax_enable_x64": True, "jax_disable_most_optimizations": True}
    before = {name: jax.config.read(name) for name in options}
    try:
        for name, value in options.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@contextlib.contextmanager
def _progress(what: str) -> Iterator[None]:
    # On stderr and only on a terminal, so that a redirected stdout holds the report alone.
    with Console(stderr=True).status(what + " ..."):
        yield


@contextlib.contextmanager
def _writing(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(path, option, error) from None
