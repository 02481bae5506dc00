"""What a venue calls its assets and how many decimals their wallets keep, by its own list of them. Asks nobody."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

MOST_DECIMALS = 30


class Asset(NamedTuple):
    code: str
    decimals: int | None


class AssetNames:
    """Args:
    listed: by the venue's id, with the other name that it gives an asset.
    spendable: what follows the dot in the name of a wallet that is spent through the asset before it.
    """

    def __init__(self, listed: Mapping[str, Asset], spendable: Iterable[str] = ()) -> None:
        self._listed = listed
        self._spendable = frozenset(spendable)

    def find(self, name: str) -> Asset | None:
        """The asset that a wallet counts for. What stands before a dot must be an asset itself: a name alone says
        nothing, since a coin may be called anything."""
        own = self._listed.get(name)
        head, dot, tail = name.rpartition(".")
        spent = self._listed.get(head) if dot and tail in self._spendable else None
        if spent is None:
            return own
        return Asset(spent.code, own.decimals if own is not None else spent.decimals)


def listed_assets(currencies: Mapping[str, Any]) -> dict[str, Asset]:
    """Of ccxt's currencies: by id and, where no other asset has it for its id, by the venue's other name."""
    found: dict[str, Asset] = {}
    others: dict[str, Asset] = {}
    for currency in currencies.values():
        info = currency.get("info") or {}
        asset = Asset(str(currency["code"]), _decimals(info.get("decimals")))
        found[str(currency["id"])] = asset
        if info.get("altname"):
            others[str(info["altname"])] = asset
    return {**others, **found}


def _decimals(told: Any) -> int | None:
    text = str(told)
    return int(text) if text.isascii() and text.isdecimal() and int(text) <= MOST_DECIMALS else None
