"""The page of what is computed how is that of the package as it is."""

from bench.support import PAGE, across, functionals, members, ways


def tables():
    """The header and the rows of both tables of the page."""
    for text in PAGE.read_text(encoding="utf-8").split("## KL"):
        lines = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
        yield lines[0], lines[1:]


def names(cell):
    return [name for name in cell.split(", ") if name]


def test_the_page_is_not_stale():
    """All names, and the cells that are quick to ask for: `python -m bench.support` is the rest."""
    (header, rows), (_, pairs) = tables()
    cells = {
        (name, label): cell
        for listed, *row in rows
        for labels, cell in zip(header[1:], row, strict=True)
        for name in names(listed)
        for label in names(labels)
    }
    every, of = members(), functionals()
    assert set(cells) == {(name, label) for name in every for label in of}
    found = ways({"KL": of["KL"]}, every)
    assert {key: cells[key] for key in found} == found
    few = {name: every[name] for name in ("Bernoulli", "Normal", "Uniform", "Poisson")}
    known = {p: tuple([n for n in names(q) if n in few] for q in others) for p, *others in pairs}
    assert {p: known[p] for p in few if any(known[p])} == across(few)
