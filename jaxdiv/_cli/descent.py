"""The fits themselves, in each direction that is asked for, one of which a kill may have cut."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

import jaxdiv as jd

from .errors import FitError, InputError
from .request import Direction, Request, session_path
from .target import Work, work_of


def descend(
    objective: Callable[[Direction], Any], first: Any, request: Request, *, record: bool = False
) -> dict[Direction, tuple[jd.Fit, Work]]:
    """A fit in each direction from the drawn starts, `first` among them.

    Raises:
        FitError: where no start of a direction ends in an optimum, or the user stopped it.
        InputError: where the file to resume from is of another fit.
    """

    def one(direction: Direction) -> tuple[jd.Fit, Work]:
        began = time.perf_counter()
        path = session_path(request, direction)
        try:
            found = jd.fit(
                objective(direction),
                first,
                starts=request.starts,
                key=jax.random.key(request.seed),
                throw=False,
                record=record,
                session=None if path is None else jd.Session(path),
            )
        except ValueError as error:
            if path is None or str(path) not in str(error):
                raise
            raise InputError(f"--resume: {str(error).removeprefix('fit: ')}") from None
        _check(found, direction, request)
        return found, work_of(found, began)

    if request.resume is not None:
        return {direction: one(direction) for direction in request.directions}
    # Side by side: nearly all of the time is compiling, which keeps one core busy for each.
    with ThreadPoolExecutor() as pool:
        return dict(zip(request.directions, pool.map(one, request.directions), strict=True))


def _check(found: jd.Fit, direction: Direction, request: Request) -> None:
    path = session_path(request, direction)
    if path is not None and np.any(np.asarray(found.result == jd.RESULTS.interrupted)):
        raise FitError(f"interrupted: the same command goes on from {path}.")
    if not np.any(np.asarray(found.cluster) >= 0):
        name = request.objective.name
        named = f"the {direction} {name.upper() if name == 'kl' else name}"
        if request.objective.is_symmetric:
            named = name
        raise FitError(f"no optimum of {named} was found from {request.starts} starting points.")
