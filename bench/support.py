"""`python -m bench.support`: which functional of which family is computed how.

Nothing is listed by hand: the package itself is asked, of two members of each family in the tests'
registry, whether it has an answer. Only shapes are computed.
"""

import argparse
import functools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxdiv as jd
from jaxdiv._api import evaluate
from jaxdiv._operand.support import is_covered, same_outcomes
from tests.families import FAMILIES, OBSERVATIONS
from tests.parametric import MULTIVARIATE, PARAMETRIC
from tests.registry import FORMS, FUNCTIONALS, OF_ONE, simplex

Pair = tuple[Any, Any]
PAGE = Path(__file__).with_name("SUPPORT.md")
NONE, CLOSED = "–", jd.Exact()
BOUNDED = " (bounds)"
# In the order in which they are tried.
WAYS = {
    "exact": CLOSED,
    "quadrature": jd.Quadrature(),
    "draws": jd.MonteCarlo(2, gradient=jd.Score()),
}


def functionals() -> dict[str, Any]:
    """One of each type, of an order that is no limit."""
    generic = [f.value for f in FUNCTIONALS if getattr(f.value, "order", 1.0) not in (0, math.inf)]
    return {type(value).__name__: value for value in generic}


def members() -> dict[str, Pair]:
    """Two of each family, or one and what it is taken against."""
    rng, dtype = np.random.default_rng(0), jnp.result_type(float)
    rows = [jnp.asarray(row, dtype) for row in simplex(rng, (2, 3))]
    pairs: dict[str, Pair] = {f.name: (f.of(rows[0]), f.of(rows[1])) for f in FORMS}
    pairs["Bernoulli"] = jd.Bernoulli(probs=0.3), jd.Bernoulli(probs=0.6)
    for family in FAMILIES:
        p, q = (family.make(rng, dtype) for _ in range(2))
        inner = f" of {type(p.base).__name__}" if isinstance(p, jd.Independent) else ""
        pairs.setdefault(type(p).__name__ + inner, (p, q))
    for family in PARAMETRIC:
        p, q = (family.make(*map(jnp.asarray, fields)) for fields in family.moderate)
        pairs[family.name] = p, q
    for family in MULTIVARIATE:
        pairs[family.name] = family.make(rng), family.make(rng)
    low = "LowRankMultivariateNormal"  # of the same size as the other normals
    pairs[low] = jax.tree.map(lambda x: x[:2], pairs[low])
    (p, q), (a, b) = pairs["Normal"], pairs["probs"]
    pairs["dict of Normal and probs"] = jd.Product({"x": p, "y": a}), jd.Product({"x": q, "y": b})
    pairs["Mixture against Normal"] = pairs["Mixture"][0], q
    points = jnp.array([-2.0, 0.0, 2.0])
    quartic = jd.LogDensity(lambda x: -(x**4), points=points)
    pairs["Normal against a LogDensity that is not normalised"] = p, quartic
    for family in OBSERVATIONS:
        seen = family.make(rng, dtype)
        pairs[f"{type(seen).__name__} against Normal"] = seen, q
    return pairs


def answers(functional: Any, operands: tuple[Any, ...], by: Any) -> bool:
    """Whether a value comes; a functional of one is asked of both."""
    key = jax.random.key(0)
    calls = [(d,) for d in operands] if isinstance(functional, OF_ONE) else [operands]
    try:
        for call in calls:
            jax.eval_shape(lambda call: evaluate(functional, call, None, by, key), call)
    except (TypeError, ValueError):  # `NoClosedFormError` among them
        return False
    return True


def ways(of: dict[str, Any], members: dict[str, Pair]) -> dict[tuple[str, str], str]:
    """The first way to each functional of each family, and whether it has bounds.

    An estimator sees of a functional what it is of any two densities, and of a family what it is
    for any functional: it is asked once for each of both.
    """
    usual, numeric = members["Normal"], [w for w, by in WAYS.items() if by is not CLOSED]
    table, fits = {}, {(w, n): answers(f, usual, WAYS[w]) for w in numeric for n, f in of.items()}
    for name, pair in members.items():
        serves = functools.cache(lambda w, pair=pair: answers(jd.KL(), pair, WAYS[w]))
        every = all(getattr(d, "normalized", True) for d in pair)
        for label, f in of.items():
            found = ["exact"] if answers(f, pair, CLOSED) else []
            for w in () if found else numeric:
                if fits[w, label] and serves(w) and (every or answers(f, pair, WAYS[w])):
                    found.append(w)
            bounded = "exact" not in found and answers(f, pair, jd.LowerBound())
            table[name, label] = (found[0] if found else NONE) + BOUNDED * bounded
    return table


def across(members: dict[str, Pair]) -> dict[str, tuple[list[str], list[str]]]:
    """For each P the other families of which KL is known, and those of which it is infinite."""
    alike = {n: pair for n, pair in members.items() if type(pair[0]) is type(pair[1])}
    table = {}
    for name, (p, _) in alike.items():
        known, beyond = [], []
        for other, (_, q) in alike.items():
            lines = [isinstance(d, jd.AbstractDistribution) for d in (p, q)]
            if other == name or not any(lines) or (all(lines) and not same_outcomes(p, q)):
                continue
            if all(lines) and is_covered(p, q) is False:
                beyond.append(other)
            elif answers(jd.KL(), (p, q), CLOSED):
                known.append(other)
        if known or beyond:
            table[name] = known, beyond
    return table


def page() -> str:
    """All of it, in Markdown; alike rows are one, and alike columns."""
    every, of = members(), functionals()
    table, known = ways(of, every), across(every)
    columns, rows = {}, {}
    for label in of:
        columns.setdefault(tuple(table[name, label] for name in every), []).append(label)
    for name in every:
        cells = tuple(table[name, labels[0]] for labels in columns.values())
        rows.setdefault(cells, []).append(name)
    counts = [sum(len(others[i]) for others in known.values()) for i in range(2)]
    lines = [
        INTRODUCTION,
        _row(["", *map(", ".join, columns.values())]),
        "|---" * (len(columns) + 1) + "|",
        *(_row([", ".join(names), *cells]) for cells, names in rows.items()),
        ACROSS.format(*counts),
        _row(["P", "Q, in closed form", "Q, infinite"]),
        "|---|---|---|",
        *(_row([name, *map(", ".join, others)]) for name, others in known.items()),
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


INTRODUCTION = f"""# What is computed how

Printed by `python -m bench.support`, which asks the package itself. P and Q are of one family, or
as the row says. The first way that there is stands for all after it:

- `exact`: the closed form, or the sum over the classes; what a verb gives without `estimator=`.
- `quadrature`: `estimator=Quadrature()`.
- `draws`: `estimator=MonteCarlo(n)` or `FixedDraws(n)`, with `gradient=Score()` where draws have
  no pathwise gradient.
- `(bounds)`: also `estimator=LowerBound()` and `UpperBound()`.
- `{NONE}`: not defined, or not known.

Closed forms of `Binomial`, `NegativeBinomial`, `Multinomial` and `Kumaraswamy` hold where the
counts, or the first parameter, agree; what has an order is meant at an order that is no limit.
"""
ACROSS = """
## KL between two families

There is a closed form for {} ordered pairs of different families; its value may be infinite, as
where the mean of 1/x is. Of {} more it is infinite, since P has outcomes that no member of Q has.
"""


def main() -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser("python -m bench.support", description=main.__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    text = page()
    print(text, end="")
    options.page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
