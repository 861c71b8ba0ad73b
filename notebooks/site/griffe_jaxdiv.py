"""What griffe does not see by itself: the arguments of equinox modules, and links by name."""

import re

import griffe
from public import linked, public_names

EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)  # the plural is what griffe reads as code


class Jaxdiv(griffe.Extension):
    def on_package(self, *, pkg: griffe.Module, **kwargs) -> None:
        visit(pkg, public_names())


def visit(object: griffe.Object, public: set[str]) -> None:
    if object.is_class and "__init__" not in object.members:
        add_init(object)
    if object.docstring:
        text = EXAMPLE.sub("Examples:", object.docstring.value)
        object.docstring.value = linked(text, public - {object.name} - arguments(object))
    for member in object.members.values():
        if not member.is_alias:
            visit(member, public)


def add_init(module: griffe.Class) -> None:
    """As the dataclass that an equinox module is; what a function returns is not constructed."""
    if module.docstring and "Attributes:" in module.docstring.value:
        return
    parameters = [griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)]
    for member in module.members.values():
        if isinstance(member, griffe.Attribute) and is_field(member):
            parameters.append(
                griffe.Parameter(
                    member.name,
                    annotation=member.annotation,
                    kind=griffe.ParameterKind.positional_or_keyword,
                    default=default(member),
                )
            )
    if len(parameters) > 1:
        module.set_member(
            "__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters))
        )


def is_field(member: griffe.Attribute) -> bool:
    if member.annotation is None or "property" in member.labels:
        return False
    return "instance-attribute" in member.labels and "ClassVar" not in str(member.annotation)


def default(member: griffe.Attribute):
    """Of `= value` or of `= field(default=value)`."""
    value = member.value
    if value is None or not str(value).split("(")[0].endswith("field"):
        return value
    given = [argument.value for argument in value.arguments if argument.name == "default"]
    return given[0] if given else None


def arguments(object: griffe.Object) -> set[str]:
    return {parameter.name for parameter in getattr(object, "parameters", [])}
