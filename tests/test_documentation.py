"""No public name and no notebook is left out of the documentation site (tests/site builds it)."""

import re
from pathlib import Path

TOP = Path(__file__).parents[1]
SITE = TOP / "notebooks" / "site"


def test_reference_has_every_public_name_once():
    pages = "\n".join(page.read_text() for page in (SITE / "reference").glob("*.md"))
    listed = re.findall(r"^::: jaxdiv\.(\w+)$", pages, re.MULTILINE)
    public = re.findall(r" as (\w+)$", (TOP / "jaxdiv/__init__.py").read_text(), re.MULTILINE)
    assert len(public) > 100
    assert sorted(listed) == sorted(public)


def test_navigation_has_every_notebook():
    navigation = (SITE / "mkdocs.yml").read_text()
    notebooks = [
        page.stem for page in (TOP / "notebooks").glob("*") if page.suffix in (".ipynb", ".md")
    ]
    assert len(notebooks) > 2
    assert [name for name in notebooks if f"notebooks/{name}.md" not in navigation] == []
