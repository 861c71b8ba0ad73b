"""One run from request to report: read, check, fit, draw, write, print."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax
from rich.console import Console

from . import record, report
from .analysis import analyse
from .figure import check_figure, save_figure
from .request import Request, cannot_write, check_writable
from .target import make_target, read_data


def run_fit(request: Request) -> None:
    """Does what was asked; the output files are tried before anything is computed.

    Raises:
        InputError: where the data cannot be used or an output cannot be written.
        FitError: where no optimum was found.
    """
    data = read_data(request.source)
    check_figure(request.plot)
    check_writable(request.plot, "--plot")
    if request.json is not None:
        check_writable(request.json, "--json")
    out = Console(highlight=False, markup=False)
    with _configured():
        with _progress("estimating the density"):
            target = make_target(request.source, data, request.seed)
        with _progress("fitting one Gaussian"):
            analysis = analyse(target, request)
        with _progress("drawing"), _writing(request.plot, "--plot"):
            save_figure(request.plot, target, analysis)
    if request.json is not None:
        with _writing(request.json, "--json"):
            record.write(request.json, record.record(request, target, analysis))
    report.show(out, request, target, analysis)


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
