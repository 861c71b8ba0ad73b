"""What is printed: tables, and in words why the two directions differ."""

import math
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from .analysis import Analysis, DirectedFit, Optimum
from .request import Request
from .target import Target, Work

_PAIRS = {"forward": "KL(target‖fit)", "reverse": "KL(fit‖target)"}


def show(out: Console, request: Request, target: Target, analysis: Analysis) -> None:
    """Prints the report."""
    data = target.data
    if data is not None:
        low, high = data.values.min(), data.values.max()
        out.print(f"Data: {target.title}: {data.values.size} values from {low:.7g} to {high:.7g}")
    if data is not None and data.source == "Old Faithful":
        out.print("  (Azzalini & Bowman 1990, Applied Statistics 39(3), 357-365; minutes)")
    out.print(f"Target: {target.method if data is not None else target.title}")
    if target.components:
        out.print(_components(target))
    if target.log_likelihood is not None:
        out.print(f"Log-likelihood {target.log_likelihood:.4f} nats")
    out.print(_fits(analysis))
    out.print(_optima(analysis))
    out.print(_identity(analysis))
    works = {"density": target.work, **{fit.direction: fit.work for fit in analysis.fits}}
    out.print(cost(works))
    for sentence in sentences(target, analysis):
        out.print(sentence + "\n")
    out.print(f"Figure: {request.plot}", soft_wrap=True)
    if request.json is not None:
        out.print(f"JSON: {request.json}", soft_wrap=True)


def sentences(target: Target, analysis: Analysis) -> Iterator[str]:
    """Why the fits are where they are, in plain words."""
    for fit in analysis.fits:
        explain = {"forward": _why_forward, "reverse": _why_reverse}[fit.direction]
        yield explain(target, analysis, fit)


def number(x: float) -> str:
    """Six decimals, or nine figures where those would not do."""
    return f"{x:.6f}" if x == 0 or 1e-3 <= abs(x) < 1e6 else f"{x:.9g}"


def _components(target: Target) -> Table:
    table = table_of("Components", "weight", "loc", "scale")
    for component in target.components:
        table.add_row(*map(number, component))
    return table


def _fits(analysis: Analysis) -> Table:
    table = table_of(
        f"One Gaussian fitted to it, KL in {analysis.unit}",
        "direction",
        "loc",
        "scale",
        *_PAIRS.values(),
    )
    for fit in analysis.fits:
        table.add_row(fit.direction, *map(number, (fit.loc, fit.scale, *fit.kl)))
    return table


def _optima(analysis: Analysis) -> Table:
    table = table_of("Every optimum found", "direction", "loc", "scale", "KL", "kind", "starts")
    for fit in analysis.fits:
        for optimum in fit.optima:
            table.add_row(
                fit.direction,
                *map(number, (optimum.loc, optimum.scale, optimum.kl)),
                "global" if optimum.is_global else "local",
                f"{optimum.starts} of {fit.work.starts}",
            )
    return table


def _identity(analysis: Analysis) -> Table:
    table = table_of(
        f"H(P) + KL(P‖Q) = H(P, Q), in {analysis.unit}", "P", "Q", "H(P)", "KL(P‖Q)", "H(P, Q)"
    )
    for fit in analysis.fits:
        name = f"{fit.direction} fit"
        rows = (("target", name, analysis.entropy), (name, "target", fit.entropy))
        for (p, q, entropy), kl, cross in zip(rows, fit.kl, fit.cross_entropy, strict=True):
            table.add_row(p, q, *map(number, (entropy, kl, cross)))
    return table


def cost(works: dict[str, Work | None]) -> Table:
    """What each fit took."""
    table = table_of(
        "Cost, compiling included", "fit", "starts", "converged", "evaluations", "seconds"
    )
    for name, work in works.items():
        if work is not None:
            counts = (work.starts, work.converged, work.evaluations)
            table.add_row(name, *map(str, counts), f"{work.seconds:.2f}")
    return table


def table_of(title: str, *columns: str) -> Table:
    """An empty table; columns of words are flush left."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        words = column in ("direction", "P", "Q", "fit", "kind", "column")
        table.add_column(column, justify="left" if words else "right", no_wrap=True)
    return table


def _why_forward(target: Target, analysis: Analysis, fit: DirectedFit) -> str:
    covered = {1: "its one mode", 2: "both modes"}.get(
        len(analysis.modes), f"all {len(analysis.modes)} modes"
    )
    return (
        "Forward: KL(target‖fit) averages log target - log fit over the target. Where the target "
        "has mass and the fit next to none it costs without bound, so the fit covers "
        f"{covered}: its optimum has the target's own mean and standard deviation, "
        f"{number(fit.loc)} and {number(fit.scale)}."
    )


def _why_reverse(target: Target, analysis: Analysis, fit: DirectedFit) -> str:
    why = (
        "Reverse: KL(fit‖target) averages log fit - log target over the fit. Mass where the target "
        "has next to none costs dearly, and a mode left out costs little"
    )
    modes, best = len(analysis.modes), [o for o in fit.optima if o.is_global]
    seeks = "mode" if modes <= 2 else "group of modes"
    if len(fit.optima) > 1:
        kind = "the global one is" if len(best) == 1 else f"{len(best)} equally good ones are"
        places = " and ".join(map(_place, best))
        return (
            f"{why}: so the fit seeks one {seeks}. It has {len(fit.optima)} optima here, and "
            f"{kind} at {places}.{_price(target, analysis, best[0])}"
        )
    if fit.work.converged == 1:
        return (
            f"{why}: so the fit seeks one {seeks}. From one start one optimum was found, at "
            f"{_place(best[0])}; whether there are others, more --starts would show."
        )
    single = (
        f"{why}. Yet it has a single optimum here, where all {fit.work.converged} starts that "
        f"converged ended: {_place(best[0])}."
    )
    if modes == 1:
        return f"{single} The target has only one mode."
    return (
        f"{single} The target has {modes} modes, but they are too close or too unequal for each to "
        "hold an optimum: between them the target is not low enough to keep the fit on one side."
    )


def _price(target: Target, analysis: Analysis, best: Optimum) -> str:
    # A fit equal to component k alone, where the others are not felt, has KL = -log(weight k).
    if not target.components:
        return ""
    weight, loc, _ = min(target.components, key=lambda c: abs(c[1] - best.loc))
    price = -math.log(weight) * analysis.nats
    if abs(best.kl - price) > 0.05 * price:
        return ""
    return (
        f" The KL is nearly -log {weight:.4f} = {price:.4f}, with the weight of the component at "
        f"{number(loc)}: the price of leaving out the rest."
    )


def _place(optimum: Optimum) -> str:
    return f"loc {number(optimum.loc)}, scale {number(optimum.scale)}"
