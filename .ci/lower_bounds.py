"""Print a constraints file that holds every dependency of jaxdiv[EXTRA] at its lower bound.

Usage: python .ci/lower_bounds.py pyproject.toml EXTRA
"""

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement


def requirements(project: dict, extra: str) -> list[Requirement]:
    """The direct requirements of an extra and, through `jaxdiv[...]`, of those that it includes."""
    found = []
    for requirement in map(Requirement, project["optional-dependencies"][extra]):
        if requirement.name == project["name"]:
            for inner in requirement.extras:
                found += requirements(project, inner)
        else:
            found.append(requirement)
    return found


def lower_bound(requirement: Requirement) -> str:
    """The one version that a requirement gives as `>=`."""
    bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
    if len(bounds) != 1:
        raise SystemExit(f"{requirement} has {len(bounds)} lower bounds: give it exactly one")
    return bounds[0]


if __name__ == "__main__":
    path, extra = sys.argv[1:]
    project = tomllib.loads(Path(path).read_text())["project"]
    direct = [Requirement(line) for line in project["dependencies"]] + requirements(project, extra)
    for requirement in sorted(direct, key=lambda requirement: requirement.name):
        print(f"{requirement.name}=={lower_bound(requirement)}")
