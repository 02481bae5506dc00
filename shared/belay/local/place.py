"""The folder of a local stack that is kept running: who owns it, and what it was begun with. Starts nothing.

No other user may enter it.

.local/up/  lock        held by the daemon while it lives; names its process
            stack.json  where the stack answers, and to which keys, while it can be used; `belay --local` reads it
            begun.json  the account's document, and the seed and start of a generated market
            unstored    there from each start until the clean stop that follows
            up.log      what the daemon says
            aws/        the emulator's state and logs
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput
from belay.domain.record import Record, Utc
from belay.local.private import private_folder, write_private
from belay.local.programs import StackError

DELETE_ALL = "begin anew: `make down CLEAN=1` deletes this stack with its ledger"
BEGIN_ANEW = f"Give one that fits, or {DELETE_ALL}."


class Begun(Record):
    """What a local stack was begun with. `seed` and `start` matter where its market is a generated one."""

    document: AccountDocument
    seed: int
    start: Utc


class Place:
    """The folder of one local stack."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.lock = self.folder / "lock"
        self.announcement = self.folder / "stack.json"
        self.log = self.folder / "up.log"
        self.state = self.folder / "aws"
        self.unstored = self.folder / "unstored"
        self._begun = self.folder / "begun.json"

    def owner(self) -> int | None:
        """The process that owns the stack now; None where nothing runs."""
        if not self.lock.exists():
            return None
        with self.lock.open() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(handle.read() or 0)
        return None

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the stack; the lock ends with the process, however that ends.

        Raises:
            StackError: another process owns it.
        """
        private_folder(self.folder)
        with self.lock.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError("another `make up` or `make down` is at work here; try again in a moment") from None
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            yield

    def begun(self) -> Begun | None:
        """What was begun here, None on a new stack.

        Raises:
            InvalidInput: the file cannot be read any more.
        """
        try:
            return Begun.model_validate_json(self._begun.read_text())
        except FileNotFoundError:
            return None
        except ValidationError:
            problem = "is not what this version of Belay writes"
            raise InvalidInput(str(self._begun), problem, "Begin anew: `make down CLEAN=1`, then `make up`.") from None

    def keep(self, begun: Begun) -> None:
        write_private(self._begun, begun.model_dump_json(indent=2))
