"""The cases: what is computed, on which arrays, and how far an answer is from the truth.

A case says nothing about who computes it: `bench/rivals/` holds one file for each library, and the
first word of a case's name says which of its functions is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.truth import (
    fit_error,
    kl_dirichlet_truth,
    kl_gamma_truth,
    kl_logits_truth,
    kl_normal_truth,
    labels_truth,
    relative_error,
)

Arrays = dict[str, np.ndarray]
ALL_MODES = ("forward", "backward", "full")


@dataclass(frozen=True)
class Case:
    """One problem: its arrays, the modes in which it is timed, and the error of an answer.

    Attributes:
        name: `kind/size/...`; a rival offers `kind`.
        arrays: makes the arguments, in the rival's order; the same at every call.
        error: (arguments, answers of the mode) -> error, or `None` where the answer is the figure.
        modes: *forward* is the value, *backward* the gradient's second half alone (given what the
            forward pass kept), *full* the value and the gradient together.
        unit: of the figure; everything but a count is in seconds.
    """

    name: str
    arrays: Callable[[], Arrays]
    error: Callable[[str, Arrays, list[np.ndarray]], float] | None
    modes: tuple[str, ...] = ("forward",)
    unit: str = "s"

    @property
    def kind(self) -> str:
        """The first word of the name."""
        return self.name.split("/")[0]


def _logits(rows: int, classes: int, step: float) -> Arrays:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(rows, classes)).astype(np.float32)
    return {"a": a, "b": (a + step * rng.normal(size=a.shape)).astype(np.float32)}


def _normals(rows: int, step: float) -> Arrays:
    rng = np.random.default_rng(0)
    loc, scale = rng.normal(size=rows), np.exp(rng.normal(size=rows))
    other = loc + step * scale * rng.normal(size=rows), scale * np.exp(step * rng.normal(size=rows))
    return {
        name: array.astype(np.float32)
        for name, array in zip(("m1", "s1", "m2", "s2"), (loc, scale, *other), strict=True)
    }


def _shapes(shape: tuple[int, ...], step: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a = np.exp(2 * rng.normal(size=shape))
    return a.astype(np.float32), (a * np.exp(step * rng.normal(size=shape))).astype(np.float32)


def _gammas(rows: int, step: float) -> Arrays:
    p, q = _shapes((2, rows), step)
    return {"a1": p[0], "b1": p[1], "a2": q[0], "b2": q[1]}


def _dirichlets(rows: int, classes: int, step: float) -> Arrays:
    p, q = _shapes((rows, classes), step)
    return {"a": p, "b": q}


def _labels(rows: int, classes: int) -> Arrays:
    rng = np.random.default_rng(0)
    z = (5 * rng.normal(size=(rows, classes))).astype(np.float32)
    return {"z": z, "y": rng.integers(classes, size=rows).astype(np.int32)}


def _mixtures(count: int | None) -> Arrays:
    """Two-component targets: `asym1d`, or `count` of them at random with both modes apart."""
    if count is None:
        w, m, s = np.array([0.7, 0.3]), np.array([-2.0, 2.0]), np.array([0.5, 0.5])
    else:
        rng = np.random.default_rng(0)
        heavy = rng.uniform(0.55, 0.8, size=count)
        w = np.stack([heavy, 1 - heavy], -1)
        m = np.stack([rng.uniform(-3, -2, size=count), rng.uniform(2, 3, size=count)], -1)
        s = rng.uniform(0.4, 0.6, size=(count, 2))
    return {"w": w.astype(np.float32), "m": m.astype(np.float32), "s": s.astype(np.float32)}


def _cases() -> list[Case]:
    found = []
    for rows, classes in ((4096, 32), (1024, 1000), (32, 50257), (1024, 128256)):
        size = f"{rows}x{classes}"
        for step in ("1e-1", "1e-2", "1e-3", "1e-4"):
            found.append(
                Case(
                    f"kl_logits/{size}/{step}",
                    lambda r=rows, c=classes, h=float(step): _logits(r, c, h),
                    relative_error(kl_logits_truth),
                    ALL_MODES,
                )
            )
        found.append(
            Case(
                f"entropy/{size}",
                lambda r=rows, c=classes: {"z": _labels(r, c)["z"]},
                relative_error(labels_truth),
                ALL_MODES,
            )
        )
        found.append(
            Case(
                f"labels/{size}",
                lambda r=rows, c=classes: _labels(r, c),
                relative_error(labels_truth),
                ALL_MODES,
            )
        )
    for step in ("1e-1", "1e-2", "1e-3", "1e-4"):
        found.append(
            Case(
                f"kl_normal/100000/{step}",
                lambda h=float(step): _normals(100_000, h),
                relative_error(kl_normal_truth),
                ALL_MODES,
            )
        )
    for step in ("1e-1", "1e-3"):
        found += [
            Case(
                f"kl_gamma/100000/{step}",
                lambda h=float(step): _gammas(100_000, h),
                relative_error(kl_gamma_truth),
                ALL_MODES,
            ),
            Case(
                f"kl_dirichlet/10000x10/{step}",
                lambda h=float(step): _dirichlets(10_000, 10, h),
                relative_error(kl_dirichlet_truth),
                ALL_MODES,
            ),
        ]
    return [
        *found,
        Case("fit_warm", lambda: _mixtures(None), fit_error),
        Case("fit_vmap_1000", lambda: _mixtures(1000), fit_error),
        Case("refit_traces", lambda: _mixtures(3), None, unit="traces"),
        Case("import", dict, None),
        Case("cold_cli", dict, None),
    ]


CASES = {case.name: case for case in _cases()}
