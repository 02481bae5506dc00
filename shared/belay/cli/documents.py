"""Account documents on the operator's machine: the example to start from, and a file read. Stores nothing."""

import sys
from importlib import resources
from pathlib import Path

from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput


def example_document() -> str:
    return resources.files("belay.cli").joinpath("paper-account.json").read_text()


def read_document(file: Path) -> AccountDocument:
    """Raises InvalidInput when the file cannot be read or does not hold a valid document."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidInput(str(file), f"cannot be read: {reason}", "Give a JSON file.") from None
    return AccountDocument.parse(text)
