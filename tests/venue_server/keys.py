"""API keys of one venue account: what each may do, and whether a signature or a nonce is its own."""

import base64
from dataclasses import dataclass, field
from hashlib import sha256, sha512
from hmac import compare_digest
from hmac import new as hmac


@dataclass
class Key:
    """One key. Its account is the venue's only one, whatever number it tells; a secret is shown once, to whoever made
    the key."""

    name: str
    api_key: str
    secret: str = field(repr=False)
    trade: bool = True
    read: bool = True
    withdraw: bool = False
    ledger: bool = True
    revoked: bool = False
    last_nonce: int = 0
    account: int = 354937868

    def binance_signature(self, text: str) -> str:
        return hmac(self.secret.encode(), text.encode(), sha256).hexdigest()

    def kraken_signature(self, path: str, nonce: str, body: str) -> str:
        message = path.encode() + sha256((nonce + body).encode()).digest()
        return base64.b64encode(hmac(base64.b64decode(self.secret), message, sha512).digest()).decode()


class Keys:
    """The keys of one venue, by API key. Made from the seed, so that a run can be repeated."""

    FLAGS = frozenset({"trade", "read", "withdraw", "ledger", "revoked"})

    def __init__(self, venue: str, seed: int) -> None:
        self._venue = venue
        self._seed = seed
        self._keys: dict[str, Key] = {}

    def add(self, name: str, **flags: bool) -> Key:
        """A new key in the venue's own format: 64 letters and digits; Kraken's secret is base64."""
        self._check(flags)
        drawn = sha512(f"{self._venue}:{self._seed}:{name}".encode()).hexdigest()
        secret = base64.b64encode(drawn[64:].encode()).decode() if self._venue == "kraken" else drawn[64:]
        key = Key(name, drawn[:64], secret, **flags)
        self._keys[key.api_key] = key
        return key

    def change(self, name: str, **flags: bool) -> None:
        """Revoke a key, or give and take its permissions."""
        self._check(flags)
        key = self.named(name)
        for flag, value in flags.items():
            setattr(key, flag, value)

    def named(self, name: str) -> Key:
        return next(key for key in self._keys.values() if key.name == name)

    def find(self, api_key: str | None) -> Key | None:
        return self._keys.get(api_key or "")

    def _check(self, flags: dict[str, bool]) -> None:
        if unknown := set(flags) - self.FLAGS:
            raise ValueError(f"{sorted(unknown)}: a key has {sorted(self.FLAGS)}")


def same(given: str, expected: str) -> bool:
    return compare_digest(given.encode(), expected.encode())
