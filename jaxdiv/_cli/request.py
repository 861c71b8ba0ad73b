"""What the user asked for, checked before anything is computed."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import InputError

Direction = Literal["forward", "reverse"]
_DIRECTIONS: dict[str, tuple[Direction, ...]] = {
    "forward": ("forward",),
    "reverse": ("reverse",),
    "both": ("forward", "reverse"),
}
_TARGETS = ("sym1d", "asym1d")
_RULES = ("silverman", "scott")


@dataclass(frozen=True)
class MixtureDensity:
    """Estimate the density by a Gaussian mixture, by maximum likelihood."""

    num_components: int


@dataclass(frozen=True)
class KernelDensity:
    """Estimate the density by a Gaussian kernel; `bandwidth` is a rule's name or a number."""

    bandwidth: str | float


@dataclass(frozen=True)
class DataSource:
    """A column of a file, or of Old Faithful where `file` is None, and how to smooth it."""

    file: Path | None
    column: str | None
    density: MixtureDensity | KernelDensity


@dataclass(frozen=True)
class ExactSource:
    """A two-component mixture that is known exactly, by name."""

    target: str


@dataclass(frozen=True)
class Request:
    """One run of `jaxdiv fit`."""

    source: DataSource | ExactSource
    directions: tuple[Direction, ...]
    base: float | None
    starts: int
    seed: int
    plot: Path
    json: Path | None


def parse(
    *,
    file: str | None,
    column: str | None,
    target: str | None,
    density: str | None,
    bandwidth: str | None,
    direction: str,
    plot: str,
    json: str | None,
    base: str | None,
    starts: int,
    seed: int,
) -> Request:
    """The request that these options make.

    Raises:
        InputError: for an option that means nothing, and for two that contradict each other.
    """
    if direction not in _DIRECTIONS:
        raise InputError(f"--direction must be forward, reverse or both, got {direction!r}.")
    if starts < 1:
        raise InputError(f"--starts must be at least 1, got {starts}.")
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed must be between 0 and {2**32 - 1}, got {seed}.")
    request = Request(
        source=_source(file, column, target, density, bandwidth),
        directions=_DIRECTIONS[direction],
        base=None if base is None else _base(base),
        starts=starts,
        seed=seed,
        plot=Path(plot),
        json=None if json is None else Path(json),
    )
    _check_distinct_files(file, request)
    return request


def check_writable(path: Path, option: str) -> None:
    """Raises unless a file can be written at `path`; what is there stays as it is."""
    existed = os.path.lexists(path)
    try:
        with open(path, "ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise cannot_write(path, option, error) from None


def cannot_write(path: Path, option: str, error: OSError) -> InputError:
    """The error that says so."""
    return InputError(f"cannot write {path} ({option}): {error.strerror or error}.")


def _source(
    file: str | None,
    column: str | None,
    target: str | None,
    density: str | None,
    bandwidth: str | None,
) -> DataSource | ExactSource:
    if target is not None:
        given = {"FILE": file, "--column": column, "--density": density, "--bandwidth": bandwidth}
        for name, value in given.items():
            if value is not None:
                raise InputError(f"{name} has no meaning with --target, which needs no data.")
        if target not in _TARGETS:
            raise InputError(f"--target must be {_or(_TARGETS)}, got {target!r}.")
        return ExactSource(target)
    return DataSource(
        file=None if file is None else Path(file),
        column=column,
        density=_density("mixture:2" if density is None else density, bandwidth),
    )


def _density(density: str, bandwidth: str | None) -> MixtureDensity | KernelDensity:
    if density == "kde":
        return KernelDensity("silverman" if bandwidth is None else _bandwidth(bandwidth))
    mixture = re.fullmatch("mixture:([1-9][0-9]{0,3})", density)
    if mixture is None:
        raise InputError(
            f"--density must be kde, or mixture:K with K from 1 to 9999, got {density!r}."
        )
    if bandwidth is not None:
        raise InputError(f"--bandwidth belongs to --density kde, not to {density!r}.")
    return MixtureDensity(int(mixture[1]))


def _bandwidth(bandwidth: str) -> str | float:
    if bandwidth in _RULES:
        return bandwidth
    value = _float(bandwidth)
    if not 0 < value < math.inf:
        raise InputError(
            f"--bandwidth must be {_or(_RULES)} or a positive number, got {bandwidth!r}."
        )
    return value


def _base(base: str) -> float:
    value = _float(base)
    if not 1 < value < math.inf:
        raise InputError(f"--base must be a number above 1 (2 gives bits), got {base!r}.")
    return value


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _or(names: tuple[str, str]) -> str:
    return " or ".join(names)


def _check_distinct_files(file: str | None, request: Request) -> None:
    places = {"FILE": file and Path(file), "--plot": request.plot, "--json": request.json}
    seen: dict[Path, str] = {}
    for name, place in places.items():
        if place is None:
            continue
        where = place.resolve()
        if where in seen:
            raise InputError(f"{seen[where]} and {name} are the same file, {place}.")
        seen[where] = name
