"""What is printed of a fit over vectors: its tables."""

from collections.abc import Iterable

import numpy as np
from rich.console import Console
from rich.table import Table

from .family import Component
from .joint import JointAnalysis
from .joint_target import JointTarget
from .report import cost, number, table_of
from .request import Request

_NAMES = {"kl": "KL", "jeffreys": "Jeffreys divergence", "js": "Jensen-Shannon divergence"}
_KINDS = {
    "normal": "independent normals",
    "mvn": "multivariate normal",
    "student_t": "Student's t",
}


def show_joint(
    out: Console, request: Request, target: JointTarget, analysis: JointAnalysis
) -> None:
    """Prints the report."""
    names = target.names
    for column in target.data:
        low, high = column.values.min(), column.values.max()
        count = column.values.size
        out.print(
            f"Data: {column.source}, {column.name}: {count} values from {low:.7g} to {high:.7g}"
        )
    if target.data and target.data[0].source == "Old Faithful":
        out.print("  (Azzalini & Bowman 1990, Applied Statistics 39(3), 357-365; minutes)")
    out.print(f"Target: {target.method if target.data else target.title}")
    if target.components:
        out.print(_parameters("Components", names, [("", target.components)]))
    if target.log_likelihood is not None:
        out.print(f"Log-likelihood {target.log_likelihood:.4f} nats")
    count = request.family.num_components
    kind = _KINDS.get(request.family.name) or f"mixture of {count} Gaussian{'s' * (count > 1)}"
    best = [(fit.name, fit.optima[0].components) for fit in analysis.fits]
    out.print(_parameters(f"Fitted: {kind}", names, best))
    out.print(_divergences(analysis))
    out.print(_optima(request, analysis))
    works = {"density": target.work, **{fit.name: fit.work for fit in analysis.fits}}
    out.print(cost(works))
    for fit in analysis.fits:
        out.print(f"{fit.name.capitalize()}: {fit.how}.")
    if request.is_drawn:
        out.print(f"Figure: {request.plot}", soft_wrap=True)
    else:
        out.print("Figure: none, for one or two columns are drawn.")
    if request.json is not None:
        out.print(f"JSON: {request.json}", soft_wrap=True)


def _parameters(
    title: str, names: tuple[str, ...], members: Iterable[tuple[str, tuple[Component, ...]]]
) -> Table:
    # The scale of a Gaussian is its standard deviation; a row's correlations are with the rows
    # above it.
    members = list(members)
    columns = ["fit"] if any(name for name, _ in members) else []
    parts = [part for _, components in members for part in components]
    weighted, heavy = any(p.weight != 1 for p in parts), any(p.df is not None for p in parts)
    columns += ["weight"] * weighted + ["df"] * heavy + ["column", "loc", "scale"]
    correlated = any(np.any(p.scale != np.diag(np.diag(p.scale))) for p in parts)
    table = table_of(title, *columns, *["correlation"] * correlated)
    for name, components in members:
        for part in components:
            scales = np.sqrt(np.diag(part.scale))
            correlation = part.scale / np.outer(scales, scales)
            for i, column in enumerate(names):
                row = [name] if "fit" in columns else []
                row += [number(part.weight)] * weighted
                row += ["" if part.df is None else number(part.df)] * heavy
                row = row if i == 0 else [""] * len(row)
                row += [column, number(part.loc[i]), number(scales[i])]
                if correlated:
                    row.append(" ".join(f"{x:.4f}" for x in correlation[i, :i]))
                table.add_row(*row)
    return table


def _divergences(analysis: JointAnalysis) -> Table:
    table = table_of(f"KL, in {analysis.unit}", "fit", "KL(target‖fit)", "KL(fit‖target)")
    for fit in analysis.fits:
        table.add_row(fit.name, *map(number, fit.kl))
    return table


def _optima(request: Request, analysis: JointAnalysis) -> Table:
    objective = request.objective
    name = _NAMES.get(objective.name) or f"Renyi divergence of order {objective.order:g}"
    title = f"Every optimum found of the {name}, in {analysis.unit}"
    table = table_of(title, "fit", "value", "kind", "starts", "loc")
    for fit in analysis.fits:
        for optimum in fit.optima:
            places = "; ".join(
                " ".join(f"{x:.4g}" for x in part.loc) for part in optimum.components
            )
            kind = "global" if optimum.is_global else "local"
            ended = f"{optimum.starts} of {fit.work.starts}"
            table.add_row(fit.name, number(optimum.value), kind, ended, places)
    return table
