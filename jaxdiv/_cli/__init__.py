"""The command line: what `python -m jaxdiv` is made of (imports typer and rich)."""
