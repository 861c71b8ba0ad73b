"""Build the documentation site: `python notebooks/site/build.py FOLDER`.

The pages are the README, the notebooks as they are stored, the tables of `bench/` and, under
`reference/`, lists of the public names, whose docstrings are read without importing jaxdiv.
They are gathered in a temporary folder that is laid out as the repository is, so that links hold.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from public import linked, public_names

HERE = Path(__file__).parent
TOP = HERE.parents[1]
PAGES = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "bench/CONFORMANCE.md",
    "bench/SUPPORT.md",
    "jaxdiv/data/README.md",
]
NAMES = public_names()
# A link to a file that is no page of its own goes to the page that is made of it.
LINK = re.compile(r"\]\(([^)#\s]*?)(\.ipynb|LICENSE)(?=[)#])")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def page(text: str) -> str:
    parts = FENCE.split(text)
    for i in range(0, len(parts), 2):  # the others are code
        prose = LINK.sub(lambda m: f"]({m[1]}{m[2].removesuffix('.ipynb')}.md", parts[i])
        parts[i] = linked(prose, NAMES)
    return "".join(parts)


def fenced(text: str, language: str = "") -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def notebook(source: Path, target: Path) -> None:
    """A notebook as Markdown, with the outputs that are stored in it; the figures beside it."""
    parts = []
    for i, cell in enumerate(json.loads(source.read_text())["cells"]):
        text = "".join(cell["source"])
        if cell["cell_type"] != "code":
            parts.append(page(text))
            continue
        parts.append(fenced(text, "python"))
        for j, output in enumerate(cell["outputs"]):
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                figure = target.with_name(f"{source.stem}_{i}_{j}.png")
                figure.write_bytes(base64.b64decode(data["image/png"]))
                parts.append(f"![Figure]({figure.name})")
            elif "text/markdown" in data:
                parts.append("".join(data["text/markdown"]))
            else:
                parts.append(fenced("".join(data["text/plain"])))
    target.write_text("\n\n".join(parts) + "\n")


def gather(docs: Path) -> None:
    shutil.copytree(HERE / "reference", docs / "reference")
    shutil.copy(HERE / "site.css", docs)
    (docs / "notebooks").mkdir()
    for source in (TOP / "notebooks").glob("*.*"):
        if source.suffix == ".ipynb":
            notebook(source, docs / "notebooks" / f"{source.stem}.md")
        elif source.suffix == ".md":
            (docs / "notebooks" / source.name).write_text(page(source.read_text()))
        else:
            shutil.copy(source, docs / "notebooks")
    for name in PAGES:
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        (docs / name).write_text(page((TOP / name).read_text()))
    (docs / "index.md").write_text(page((TOP / "README.md").read_text()))
    (docs / "LICENSE.md").write_text("# Licence\n\n" + fenced((TOP / "LICENSE").read_text()))


def main(site: Path) -> int:
    with tempfile.TemporaryDirectory() as docs:
        gather(Path(docs))
        command = ["-m", "mkdocs", "build", "--strict", "--site-dir", str(site.resolve())]
        # It runs here, and finds the extensions of Markdown and of griffe beside this file.
        environment = os.environ | {"DOCS": docs, "PYTHONPATH": str(HERE)}
        return subprocess.run([sys.executable, *command], cwd=HERE, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
