"""`python -m bench.conformance`: what each library answers where the textbook formulas break.

Every way that a library offers to take a KL divergence between classes, the KL divergence of
normals and the entropy, in float32 on inputs that are taken as exact, beside the true value. Each
cell is the relative error of the value, then that of the worse gradient (in the largest norm).
"""

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import mpmath as mp
import numpy as np

from bench.harness import Rival
from bench.rivals import NAMES, OURS
from tests import oracle

Arrays = dict[str, np.ndarray]
PAGE = Path(__file__).with_name("CONFORMANCE.md")
SAME = 1e-6  # errors below this, some units in the last place, count as equal


@dataclass(frozen=True)
class Edge:
    """An input at which libraries differ, and the truth: a value and the gradients."""

    name: str
    family: str
    arrays: Arrays
    reference: Callable[..., tuple[float, list[np.ndarray]]]
    words: str

    @cached_property
    def truth(self) -> tuple[float, list[np.ndarray]]:
        """The value and the gradients."""
        return self.reference(**self.arrays)


@dataclass(frozen=True)
class Answer:
    """Errors of a value and of the worse gradient, relative; NaN where the answer is."""

    value: float
    error: float
    slope_error: float | None

    @property
    def text(self) -> str:
        """As it stands in the table."""
        if math.isnan(self.value):
            value = "**NaN**"
        elif self.error == math.inf:
            value = f"**{self.value:.2g}**"
        else:
            value = _figure(self.error) + (", **negative**" if self.value < 0 else "")
        return value if self.slope_error is None else f"{value} / {_figure(self.slope_error)}"

    @property
    def worst(self) -> float:
        """One number to compare by; infinite for a NaN."""
        errors = [self.error, 0.0 if self.slope_error is None else self.slope_error]
        return max(math.inf if math.isnan(e) else e for e in errors)


def _figure(error: float) -> str:
    if math.isnan(error):
        return "**NaN**"
    if error <= SAME:
        return "ok"
    return f"{error:.0e}" if error < 0.01 else f"**{error:.0e}**"


def _floats(numbers) -> np.ndarray:
    return np.array([float(x) for x in numbers])


def _kl_of_logits(a: np.ndarray, b: np.ndarray) -> tuple[float, list[np.ndarray]]:
    with mp.workdps(oracle.DIGITS):
        pair = oracle.Pair(a[0], b[0])
        return float(pair.value), [_floats(g) for g in pair.gradient]


def _entropy_of_logits(z: np.ndarray) -> tuple[float, list[np.ndarray]]:
    with mp.workdps(oracle.DIGITS):
        entropy = oracle.Entropy(z[0])
        return float(entropy.value), [_floats(g) for g in entropy.gradient]


def _kl_of_normals(**fields: np.ndarray) -> tuple[float, list[np.ndarray]]:
    with mp.workdps(60):
        m1, s1, m2, s2 = (mp.mpf(float(fields[name][0])) for name in ("m1", "s1", "m2", "s2"))
        d = m1 - m2
        value = mp.log(s2 / s1) + (s1**2 + d**2) / (2 * s2**2) - mp.mpf(1) / 2
        in_scales = s1 / s2**2 - 1 / s1, 1 / s2 - (s1**2 + d**2) / s2**3
        slopes = d / s2**2, in_scales[0], -d / s2**2, in_scales[1]
        return float(value), [_floats([slope]) for slope in slopes]


def _edges() -> list[Edge]:
    rng = np.random.default_rng(0)

    def kl(name: str, words: str, a, b) -> Edge:
        a, b = (np.asarray(x, np.float32)[None] for x in (a, b))
        return Edge(name, "kl", {"a": a, "b": b}, _kl_of_logits, words)

    def near(size: int, step: str) -> Edge:
        a = rng.normal(size=size).astype(np.float32)
        b = a + np.float32(step) * rng.normal(size=size).astype(np.float32)
        return kl(f"{size}, {step}", f"{size} classes, logits {step} apart", a, b)

    def normal(name: str, words: str, *values: float) -> Edge:
        fields = zip(("m1", "s1", "m2", "s2"), values, strict=True)
        arrays = {field: np.array([value], np.float32) for field, value in fields}
        return Edge(name, "normal", arrays, _kl_of_normals, words)

    inf = math.inf
    gone = np.array([[1.0, 0.5, -inf, 0.2]], np.float32)
    return [
        kl("A", "nothing unusual", [1.0, 0.5, -0.3, 0.2], [0.1, -0.4, 0.9, 0.0]),
        kl("B", "p has a masked class", [1.0, 0.5, -inf, 0.2], [0.1, -0.4, 0.9, 0.0]),
        kl("C", "both masked at the same class", [1.0, 0.5, -inf, 0.2], [0.1, -0.4, -inf, 0.0]),
        kl("D", "q = 0 < p: infinite", [1.0, 0.5, -0.3, 0.2], [0.1, -0.4, -inf, 0.0]),
        kl("F", "q tiny, but not 0", [0.0, 0.0], [0.0, -200.0]),
        kl("G", "the same logits", [1.0, 0.5, -0.3, 0.2], [1.0, 0.5, -0.3, 0.2]),
        kl("O", "offset of 1000 on one side", [1001.0, 1000.5, 999.75], [0.5, -0.25, 0.125]),
        near(1000, "1e-4"),
        *(near(50_000, step) for step in ("1e-2", "1e-3", "1e-4")),
        near(10, "1e-5"),
        normal("shift", "means 1e-4 apart", 0.0, 1.0, 1e-4, 1.0),
        normal("scales", "scales 1e-4 apart", 0.0, 1.0, 0.0, 1.0001),
        normal("narrow", "p of scale 1e-18", 0.0, 1e-18, 0.0, 1.0),
        Edge("masked", "entropy", {"z": gone}, _entropy_of_logits, "a masked class"),
        Edge(
            "confident",
            "entropy",
            {"z": np.array([[20.0, 0.0, -1.0]], np.float32)},
            _entropy_of_logits,
            "one class at 20 nats above the others",
        ),
    ]


def _judge(edge: Edge, value: float, slopes: list[np.ndarray]) -> Answer:
    want, want_slopes = edge.truth
    if value == want:
        error = 0.0
    elif math.isinf(want) or math.isinf(value) or want == 0:
        error = math.nan if math.isnan(value) else math.inf
    else:
        error = abs(value - want) / abs(want)
    if not slopes:
        return Answer(value, error, None)
    errors = []
    for got, right in zip(slopes, want_slopes, strict=True):
        # Where the value is infinite there is no slope to compare with: a finite one will do.
        right = np.ravel(got) if math.isinf(want) else right
        errors.append(float(np.max(abs(np.ravel(got) - right)) / (np.max(abs(right)) or 1.0)))
    return Answer(value, error, math.nan if any(map(math.isnan, errors)) else max(errors))


def _answer(rival: Rival, kind: str, edge: Edge) -> Answer | str:
    for mode in ("full", "forward"):
        done, made = rival.ask("setup", kind, mode, edge.arrays)
        if not done:
            return "error"
        if made is not None:
            value, *slopes = made[0]
            return _judge(edge, float(np.ravel(value)[0]), slopes)
    return "-"


def main() -> int:
    """Print the tables and keep them; 1 where a rival is better than this package."""
    parser = argparse.ArgumentParser("python -m bench.conformance", description=main.__doc__)
    parser.add_argument("--rival", action="append", choices=NAMES, help="default: all of them")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    edges, found, versions = _edges(), {}, []
    for name in options.rival or NAMES:
        rival = Rival(name)
        if not rival.installed:
            print(f"{name}: {rival.about}", file=sys.stderr)
            continue
        versions.append(rival.about[0])
        _, kinds = rival.ask("kinds")
        for kind in kinds:
            family, _, form = kind.partition(": ")
            if form:
                found[family, f"{name} {form}"] = {
                    e.name: _answer(rival, kind, e) for e in edges if e.family == family
                }
        rival.stop()
    lines = ["# Conformance", "", *_introduction(versions), ""]
    better = []
    for family, title in TITLES.items():
        shown = [e for e in edges if e.family == family]
        rows = {form: answers for (kind, form), answers in found.items() if kind == family}
        lines += [f"## {title}", "", *_table(shown, rows), ""]
        better += _better(shown, rows)
    lines.append(f"A library that is better than this package at one of them: {better or 'none'}.")
    text = "\n".join(lines)
    print(text)
    options.page.write_text(text + "\n")
    return bool(better)


TITLES = {
    "kl": "KL divergence between classes, from logits",
    "normal": "KL divergence between normals",
    "entropy": "Entropy of classes, from logits",
}


def _introduction(versions: list[str]) -> list[str]:
    distributions = sorted({v for line in versions for v in line.split()})
    return [
        "Printed by `python -m bench.conformance`, in float32 on a CPU, under `jit` where there is",
        "one. A cell is the relative error of the value / of the worse gradient (in max-norm),",
        f"against 140 digits; `ok` is at most {SAME:.0e}, and any finite gradient where the value",
        "is infinite. A form that takes probabilities is given the softmax of the logits, rounded.",
        "",
        ", ".join(distributions) + ".",
    ]


def _table(edges: list[Edge], rows: dict[str, dict[str, Answer | str]]) -> list[str]:
    lines = [
        "| " + " | ".join(["", *(e.name for e in edges)]) + " |",
        "|---" * (len(edges) + 1) + "|",
        "| " + " | ".join(["input", *(e.words for e in edges)]) + " |",
        "| " + " | ".join(["truth", *(f"{e.truth[0]:.4g}" for e in edges)]) + " |",
    ]
    for form, answers in rows.items():
        cells = [a if isinstance(a, str) else a.text for a in (answers[e.name] for e in edges)]
        lines.append("| " + " | ".join([form, *cells]) + " |")
    return lines


def _better(edges: list[Edge], rows: dict[str, dict[str, Answer | str]]) -> list[str]:
    """Where some form of another library is more accurate than our best by more than rounding."""

    def best(edge: Edge, ours: bool) -> float:
        answers = [row[edge.name] for form, row in rows.items() if form.startswith(OURS) == ours]
        return min((a.worst for a in answers if not isinstance(a, str)), default=math.inf)

    return [e.name for e in edges if best(e, True) > max(SAME, best(e, False))]


if __name__ == "__main__":
    sys.exit(main())
