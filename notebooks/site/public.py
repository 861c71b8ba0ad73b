"""The public names, and links to them."""

import ast
import re
from pathlib import Path

INIT = Path(__file__).parents[2] / "jaxdiv" / "__init__.py"
CODE = re.compile(r"(?<![`\[])`(?:jaxdiv\.|jd\.)?(\w+)(\([^`]*\))?`")


def public_names() -> set[str]:
    imports = [
        node for node in ast.parse(INIT.read_text()).body if isinstance(node, ast.ImportFrom)
    ]
    return {alias.name for node in imports for alias in node.names}


def linked(text: str, names: set[str]) -> str:
    """A name in backticks, or a call of it, becomes a link to its place in the reference."""
    return CODE.sub(lambda m: f"[{m[0]}][jaxdiv.{m[1]}]" if m[1] in names else m[0], text)
