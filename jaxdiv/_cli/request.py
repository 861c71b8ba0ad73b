"""What the user asked for, checked before anything is computed."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from .errors import InputError

Direction = Literal["forward", "reverse"]
_DIRECTIONS: dict[str, tuple[Direction, ...]] = {
    "forward": ("forward",),
    "reverse": ("reverse",),
    "both": ("forward", "reverse"),
}
_SYMMETRIC = ("jeffreys", "js")
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
    """Columns of a file, or of Old Faithful where `file` is None, and how to smooth them."""

    file: Path | None
    columns: tuple[str, ...]
    density: MixtureDensity | KernelDensity


@dataclass(frozen=True)
class ExactSource:
    """A two-component mixture that is known exactly, by name."""

    target: str


@dataclass(frozen=True)
class Family:
    """What is fitted: normal, mvn or student_t, or a mixture of `num_components` Gaussians."""

    name: str
    num_components: int = 1


@dataclass(frozen=True)
class Objective:
    """The divergence that is minimised: kl, jeffreys or js, or renyi of an `order`."""

    name: str
    order: float | None = None

    @property
    def is_symmetric(self) -> bool:
        """Whether both directions are the same."""
        return self.name in _SYMMETRIC


@dataclass(frozen=True)
class Request:
    """One run of `jaxdiv fit`."""

    source: DataSource | ExactSource
    family: Family
    objective: Objective
    directions: tuple[Direction, ...]
    resume: Path | None
    base: float | None
    starts: int
    seed: int
    plot: Path
    json: Path | None

    @property
    def dim(self) -> int:
        """How many columns the target has."""
        return max(1, len(self.source.columns)) if isinstance(self.source, DataSource) else 1

    @property
    def is_drawn(self) -> bool:
        """Whether there is a figure: of one column or two."""
        return self.dim <= 2

    @property
    def is_plane(self) -> bool:
        """Whether one Gaussian is fitted by KL to one column: a plane of locations and scales."""
        gaussian = self.family.name in ("normal", "mvn")
        return self.dim == 1 and gaussian and self.objective.name == "kl"


def parse(
    *,
    file: str | None,
    data: str | None,
    column: Sequence[str],
    target: str | None,
    density: str | None,
    bandwidth: str | None,
    family: str | None,
    objective: str | None,
    direction: str | None,
    resume: str | None,
    plot: str | None,
    json: str | None,
    base: str | None,
    starts: int,
    seed: int,
) -> Request:
    """The request that these options make.

    Raises:
        InputError: for an option that means nothing, and for two that contradict each other.
    """
    if starts < 1:
        raise InputError(f"--starts must be at least 1, got {starts}.")
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed must be between 0 and {2**32 - 1}, got {seed}.")
    source = _source(file, data, tuple(column), target, density, bandwidth)
    minimised, directions = _objective(objective, direction)
    request = Request(
        source=source,
        family=Family("normal") if family is None else _family(family),
        objective=minimised,
        directions=directions,
        resume=None if resume is None else Path(resume),
        base=None if base is None else _base(base),
        starts=starts,
        seed=seed,
        plot=Path("jaxdiv-fit.png" if plot is None else plot),
        json=None if json is None else Path(json),
    )
    if family is None and request.dim > 1:
        request = replace(request, family=Family("mvn"))
    _check_dim(request, plot)
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


def session_path(request: Request, direction: Direction) -> Path | None:
    """Where the fit in this direction is saved: PATH, or PATH.forward and PATH.reverse."""
    if request.resume is None or len(request.directions) == 1:
        return request.resume
    return request.resume.with_name(f"{request.resume.name}.{direction}")


def _source(
    file: str | None,
    data: str | None,
    columns: tuple[str, ...],
    target: str | None,
    density: str | None,
    bandwidth: str | None,
) -> DataSource | ExactSource:
    if target is not None:
        given = {
            "FILE": file,
            "--data": data,
            "--column": columns or None,
            "--density": density,
            "--bandwidth": bandwidth,
        }
        for name, value in given.items():
            if value is not None:
                raise InputError(f"{name} has no meaning with --target, which needs no data.")
        if target not in _TARGETS:
            raise InputError(f"--target must be {_or(_TARGETS)}, got {target!r}.")
        return ExactSource(target)
    if data is not None:
        if file is not None:
            raise InputError(f"FILE and --data are two sources of data, {file!r} and {data!r}.")
        if data != "faithful":
            raise InputError(f"--data must be faithful (Old Faithful), got {data!r}.")
        columns = columns or ("eruptions", "waiting")
    for name in columns:
        if columns.count(name) > 1:
            raise InputError(f"--column {name!r} is given twice: name each column once.")
    return DataSource(
        file=None if file is None else Path(file),
        columns=columns,
        density=_density("mixture:2" if density is None else density, bandwidth),
    )


def _family(family: str) -> Family:
    if family in ("normal", "mvn", "student_t"):
        return Family(family)
    mixture = re.fullmatch("mixture:([1-9][0-9]{0,3})", family)
    if mixture is None:
        raise InputError(
            "--family must be normal, mvn, student_t, or mixture:K with K from 1 to 9999, got "
            f"{family!r}."
        )
    return Family("mixture", int(mixture[1]))


def _objective(
    objective: str | None, direction: str | None
) -> tuple[Objective, tuple[Direction, ...]]:
    if objective in _DIRECTIONS:  # the KL in that direction
        if direction not in (None, objective):
            raise InputError(
                f"--objective {objective} and --direction {direction} contradict each other: "
                "give one of them."
            )
        objective, direction = "kl", objective
    found = Objective("kl") if objective is None else _divergence(objective)
    if direction is not None and found.is_symmetric:
        raise InputError(
            f"--direction has no meaning with --objective {found.name}, which is symmetric."
        )
    if direction is None:
        direction = "forward" if found.is_symmetric else "both"
    if direction not in _DIRECTIONS:
        raise InputError(f"--direction must be forward, reverse or both, got {direction!r}.")
    return found, _DIRECTIONS[direction]


def _divergence(objective: str) -> Objective:
    if objective == "kl" or objective in _SYMMETRIC:
        return Objective(objective)
    name, _, order = objective.partition(":")
    # Of order 1 and above it is infinite between some members of the families and a target.
    if name != "renyi" or not 0 < _float(order) < 1:
        raise InputError(
            "--objective must be kl, renyi:A with A between 0 and 1, jeffreys or js, or forward, "
            f"reverse or both for the KL that way, got {objective!r}."
        )
    return Objective(name, _float(order))


def _check_dim(request: Request, plot: str | None) -> None:
    dim, source = request.dim, request.source
    if dim > 1 and isinstance(source, DataSource) and isinstance(source.density, KernelDensity):
        raise InputError(
            f"--density kde is of one column, got {dim}: take --density mixture:K, or one --column."
        )
    if dim > 2 and plot is not None:
        raise InputError(
            f"--plot draws one or two columns, got {dim}: leave it out (the tables say all)."
        )
    if dim > 3 and request.objective.name != "kl":
        raise InputError(
            f"--objective {request.objective.name} is computed for up to three columns, got {dim}: "
            "take kl, or fewer --column."
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
    for direction in request.directions:
        places[f"--resume ({direction})"] = session_path(request, direction)
    seen: dict[Path, str] = {}
    for name, place in places.items():
        if place is None:
            continue
        where = place.resolve()
        if where in seen:
            raise InputError(f"{seen[where]} and {name} are the same file, {place}.")
        seen[where] = name
