"""The tool that collects what users can be shown finds every kind, and nothing that none sees."""

from __future__ import annotations

from pathlib import Path

from tools.texts import ROOT, Kind, collect, texts_of

SOURCE = '''
"""What the module is for."""

class ServiceTable(Table):
    """`[service]`: where it listens."""

@click.command("stop", help="Stop the machine.")
@click.option("--port", help=f"The port, {default} if unset.")
def stop(port: str) -> None:
    """Stop one port."""
    click.echo(f"stopped {port!r} after {seconds} s")
    log.info("port '%s' stopped", port)
    log.debug("not shown to users")
    raise PortError("the port is unknown: " + names + " are there") from None

def remedy() -> str:
    """Return what to do."""
    return ("plug it in, "
            "then try again")
'''


def test_it_finds_one_of_each_kind() -> None:
    found = [(text.line, text.kind, text.text) for text in texts_of(Path("a.py"), SOURCE)]
    assert found == [
        (5, Kind.SETTING, "`[service]`: where it listens."),
        (7, Kind.HELP, "Stop the machine."),
        (8, Kind.HELP, "The port, {} if unset."),
        (10, Kind.HELP, "Stop one port."),
        (11, Kind.TOLD, "stopped {} after {} s"),
        (12, Kind.LOG, "port '%s' stopped"),
        (14, Kind.ERROR, "the port is unknown: {} are there"),
        (18, Kind.TEXT, "plug it in, then try again"),
    ]


def test_it_finds_the_description_of_a_key() -> None:
    found = texts_of(Path("a.toml"), "# What this file is.\nbaud = 9600  # how fast\n")
    assert [text.text for text in found] == ["What this file is."]


def test_a_text_is_printed_with_its_place() -> None:
    (text,) = texts_of(Path("a.py"), 'raise PortError("no such port")')
    assert str(text) == "a.py:1: no such port"


def test_the_product_has_texts_of_every_kind() -> None:
    found = collect([ROOT / "services", ROOT / "bridge"])
    assert {text.kind for text in found} == set(Kind)
