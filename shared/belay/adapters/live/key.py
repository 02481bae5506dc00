"""The credentials of one function for one account. Never shown, and told in no text: `redaction` takes them out."""

import hashlib
import json

from belay.adapters.aws.secrets import Credentials, Secrets
from belay.adapters.live.redaction import Redaction
from belay.domain.errors import AccountRefused


class Key:
    """The credentials of one function for one account: read when first needed, and again once they were refused."""

    def __init__(self, secrets: Secrets | None, name: str | None, needed: tuple[str, ...]) -> None:
        self._secrets = secrets
        self._name = name
        self._needed = needed
        self._credentials: Credentials | None = None
        self.redaction = Redaction()

    def get(self) -> Credentials:
        """Raises AccountRefused where there is no usable key."""
        if self._credentials is None:
            if self._secrets is None or self._name is None:
                raise AccountRefused("no_key", "this function holds no key")
            credentials = self._secrets.read(self._name)
            if not credentials.has(self._needed):
                raise AccountRefused("key_incomplete", f"{self._name} must hold {', '.join(self._needed)}")
            self.redaction.learn(credentials.options().values())
            self._credentials = credentials
        return self._credentials

    def digest(self) -> str:
        """Tells this key from another one, and nothing else of it."""
        options = self.get().options()
        named = options.get("apiKey") or json.dumps(options, sort_keys=True)
        return hashlib.sha256(f"belay key {named}".encode()).hexdigest()[:16]

    def forget(self) -> None:
        """Read it anew before it is used again. What it was is never told all the same."""
        self._credentials = None
