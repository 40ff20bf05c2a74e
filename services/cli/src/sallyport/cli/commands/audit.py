import typer

app = typer.Typer()


@app.command()
def verify() -> None:
    """x"""


@app.command()
def show() -> None:
    """x"""
