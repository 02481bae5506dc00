"""What a local stack writes is its user's alone. Knows nothing of what is written."""

import os
import resource
from pathlib import Path

from belay.domain.errors import InvalidInput


def keep_private() -> None:
    """For this process and every one that it starts: no other user reads what they write, and none leaves a core."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def private_folder(folder: Path) -> Path:
    """The folder, made where it is missing, which no other user may enter.

    Raises:
        InvalidInput: it is another user's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise InvalidInput(str(folder), "belongs to another user", "Name a folder of your own.")
    folder.chmod(0o700)
    return folder


def write_private(file: Path, text: str) -> None:
    """Whoever reads the file finds all of the text or none of it, and is its user."""
    written = file.with_suffix(".new")
    written.unlink(missing_ok=True)
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        output.write(text)
    written.replace(file)
