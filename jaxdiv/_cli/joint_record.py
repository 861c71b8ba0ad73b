"""The report of a fit over vectors as JSON, under keys that are documented here."""

from typing import TYPE_CHECKING, Any

from .record import WORK, installed_version, work_facts

if TYPE_CHECKING:
    from .family import Component
    from .joint import JointAnalysis
    from .joint_target import JointTarget
    from .request import Request

_PART = {
    "df": "degrees of freedom, null for a Gaussian",
    "loc": "location, a number for each column",
    "scale_matrix": "covariance of a Gaussian, scale matrix of a Student's t: a list of rows",
    "weight": "of the component: 1 where the family is no mixture",
}
JOINT_KEYS = {
    "data.columns": "the columns' names (data is null for an exact target)",
    "data.count": "number of rows",
    "data.source": "file or citation",
    "density.components": "a list, the heaviest first; empty for a kernel density",
    **{f"density.components.{key}": words for key, words in _PART.items()},
    "density.covariance": "of the target",
    "density.entropy": "H(target), null where it is not computed (beyond three columns)",
    "density.log_likelihood": "of the mixture, in nats whatever the base",
    "density.mean": "of the target",
    "density.method": "how it was estimated",
    **{f"density.work.{key}": words for key, words in WORK.items()},
    "figure": "where it is, null beyond two columns",
    "fits": "forward and reverse, or symmetric for a symmetric divergence",
    "fits.DIRECTION.how": "what was minimised and by which estimators",
    "fits.DIRECTION.kl_fit_target": "KL(fit‖target)",
    "fits.DIRECTION.kl_target_fit": "KL(target‖fit)",
    "fits.DIRECTION.optima": "a list, best first",
    "fits.DIRECTION.optima.components": "of the family's member, the heaviest first",
    **{f"fits.DIRECTION.optima.components.{key}": words for key, words in _PART.items()},
    "fits.DIRECTION.optima.is_global": "true for the best and for its equals",
    "fits.DIRECTION.optima.starts": "starting points that ended there",
    "fits.DIRECTION.optima.value": "the divergence that is minimised",
    **{f"fits.DIRECTION.work.{key}": words for key, words in WORK.items()},
    "keys": "what each key means",
    "objective": "the divergence's name, and its order where it has one",
    "seed": "of the starting points",
    "unit": "of every divergence and entropy",
    "version": "of jaxdiv, null where it is not installed",
}
"""What each key of the JSON file means: also in the file itself, as its entry `keys`."""


def joint_record(
    request: "Request", target: "JointTarget", analysis: "JointAnalysis"
) -> dict[str, Any]:
    """The facts of a run as plain dictionaries, lists and numbers."""
    data, entropy = target.data, target.entropy
    objective = request.objective
    return {
        "data": {
            "columns": list(target.names),
            "count": data[0].values.size,
            "source": data[0].source,
        }
        if data
        else None,
        "density": {
            "components": list(map(_part, target.components)),
            "covariance": target.covariance.tolist(),
            "entropy": None if entropy is None else entropy * analysis.nats,
            "log_likelihood": target.log_likelihood,
            "mean": target.mean.tolist(),
            "method": target.method,
            "work": None if target.work is None else work_facts(target.work),
        },
        "figure": str(request.plot) if request.is_drawn else None,
        "fits": {
            fit.name: {
                "how": fit.how,
                "kl_fit_target": fit.kl[1],
                "kl_target_fit": fit.kl[0],
                "optima": [
                    {**vars(optimum), "components": list(map(_part, optimum.components))}
                    for optimum in fit.optima
                ],
                "work": work_facts(fit.work),
            }
            for fit in analysis.fits
        },
        "keys": JOINT_KEYS,
        "objective": objective.name + ("" if objective.order is None else f":{objective.order:g}"),
        "seed": request.seed,
        "unit": analysis.unit,
        "version": installed_version(),
    }


def _part(part: "Component") -> dict[str, Any]:
    return {
        "df": part.df,
        "loc": part.loc.tolist(),
        "scale_matrix": part.scale.tolist(),
        "weight": part.weight,
    }
