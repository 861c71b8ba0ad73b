"""The report as JSON: every number at full precision, under keys that are documented here."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .analysis import Analysis, DirectedFit
    from .request import Request
    from .target import Target, Work

WORK = {
    "converged": "starting points that came to an optimum",
    "evaluations": "evaluations of the objective, over all starting points",
    "seconds": "wall time, compiling included",
    "starts": "starting points",
}
_FIT = {
    "cross_entropy_fit_target": "H(fit, target)",
    "cross_entropy_target_fit": "H(target, fit)",
    "entropy_fit": "H(fit)",
    "kl_fit_target": "KL(fit‖target)",
    "kl_target_fit": "KL(target‖fit)",
    "loc": "of the best optimum",
    "optima": "a list, best first",
    "optima.is_global": "true for the best and for its equals",
    "optima.kl": "the KL that this direction minimises",
    "optima.loc": "location",
    "optima.scale": "standard deviation",
    "optima.starts": "starting points that ended there",
    "scale": "of the best optimum",
    **{f"work.{key}": words for key, words in WORK.items()},
}
KEYS = {
    "data.column": "the column's name (data is null for an exact target)",
    "data.count": "number of values",
    "data.source": "file or citation",
    "density.bandwidth": "of the kernel, null for a mixture",
    "density.components": "weight, loc, scale of each Gaussian by loc; empty for a kernel density",
    "density.entropy": "H(target)",
    "density.log_likelihood": "of the mixture, in nats whatever the base",
    "density.mean": "of the target",
    "density.method": "how it was estimated",
    "density.modes": "where it has its maxima",
    "density.standard_deviation": "of the target",
    **{f"density.work.{key}": words for key, words in WORK.items()},
    **{f"DIRECTION.{key}": words for key, words in _FIT.items()},
    "figure": "where it is",
    "keys": "what each key means; DIRECTION is forward or reverse",
    "seed": "of the starting points",
    "unit": "of every KL and entropy",
    "version": "of jaxdiv, null where it is not installed",
}
"""What each key of the JSON file means: also in the file itself, as its entry `keys`."""


def record(request: "Request", target: "Target", analysis: "Analysis") -> dict[str, Any]:
    """The facts of a run as plain dictionaries, lists and numbers."""
    data = target.data
    return {
        "data": None
        if data is None
        else {"column": data.name, "count": data.values.size, "source": data.source},
        "density": {
            "bandwidth": target.bandwidth,
            "components": [
                dict(zip(("weight", "loc", "scale"), component, strict=True))
                for component in target.components
            ],
            "entropy": analysis.entropy,
            "log_likelihood": target.log_likelihood,
            "mean": target.mean,
            "method": target.method,
            "modes": list(analysis.modes),
            "standard_deviation": target.deviation,
            "work": None if target.work is None else work_facts(target.work),
        },
        "figure": str(request.plot),
        "keys": KEYS,
        "seed": request.seed,
        "unit": analysis.unit,
        "version": installed_version(),
        **{fit.direction: _fit(fit) for fit in analysis.fits},
    }


def installed_version() -> str | None:
    """The version of the package; None where it runs from a folder."""
    try:
        return version("jaxdiv")
    except PackageNotFoundError:
        return None


def write(path: Path, facts: dict[str, Any]) -> None:
    """Writes the facts with sorted keys; a float is written so that reading gives it back."""
    text = json.dumps(facts, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _fit(fit: "DirectedFit") -> dict[str, Any]:
    return {
        "cross_entropy_fit_target": fit.cross_entropy[1],
        "cross_entropy_target_fit": fit.cross_entropy[0],
        "entropy_fit": fit.entropy,
        "kl_fit_target": fit.kl[1],
        "kl_target_fit": fit.kl[0],
        "loc": fit.loc,
        "optima": [vars(optimum) for optimum in fit.optima],
        "scale": fit.scale,
        "work": work_facts(fit.work),
    }


def work_facts(work: "Work") -> dict[str, Any]:
    """The cost of a fit."""
    return dict(vars(work))
