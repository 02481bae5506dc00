"""The account document that the variables of `make up` ask for. Reads files; starts and stores nothing.

ACCOUNT=file.json is where it begins, else the example; VENUE, MODE, VENUE_OPTIONS, SYMBOLS and SANDBOX change it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belay.adapters.live.profiles import profile_of
from belay.adapters.live.public_market import exchange_class
from belay.cli.documents import example_document
from belay.domain.documents import AccountDocument, read_json
from belay.domain.errors import InvalidInput
from belay.local.keys import FUNCTIONS

LIVE_ACCOUNT = "live"
MODES = ("paper", "live")
HOSTS = frozenset({"hostname", "urls"})
# What is traded where SYMBOLS does not say it, and where that is not listed.
SYMBOL = "BTC/USDT"
SYMBOLS = {"coinbase": "BTC/USD", "hyperliquid": "PURR/USDC", "kraken": "BTC/USD"}
# Which variable to correct where the document that came of the variables is wrong.
CORRECTED_BY = {
    "account.venue": "VENUE",
    "account.options": "VENUE_OPTIONS",
    "account.symbols": "SYMBOLS",
    "account.sandbox": "SANDBOX",
}


@dataclass(frozen=True)
class Variables:
    """As they were given; None or empty where one was not."""

    account: str | None = None
    venue: str | None = None
    mode: str | None = None
    options: str | None = None
    symbols: str | None = None
    sandbox: str | None = None

    @property
    def any(self) -> bool:
        return any((self.account, self.venue, self.mode, self.options, self.symbols, self.sandbox))

    def document(self, stage: str) -> AccountDocument | None:
        """The account asked for; None where nothing was.

        Raises:
            InvalidInput: names the variable, or the field of the file, that is wrong.
        """
        if not self.any:
            return None
        mode = self._mode()
        begin = _read(self.account) if self.account else _example(mode)
        made = self._live(begin, stage) if mode == "live" else self._paper(begin)
        document = self._parsed(made)
        if mode == "live":
            self._require_live(document, stage)
        return document

    def _mode(self) -> str:
        """As MODE says, else as the file says, else paper: money is at stake only where that was asked for."""
        if self.mode is not None and self.mode not in MODES:
            raise InvalidInput("MODE", f"{self.mode!r} is no mode", "Say MODE=paper or MODE=live.")
        stated = _read(self.account).get("mode") if self.account else None
        if self.account and self.mode and stated in MODES and stated != self.mode:
            problem = f"{self.mode}, but the mode of {self.account} is {stated}"
            raise InvalidInput("MODE", problem, "Give a file of that mode, or leave one of them out.")
        mode = self.mode or (stated if stated in MODES else "paper")
        if mode == "live" and not (self.venue or self.account):
            raise InvalidInput("VENUE", "is missing", "Say where to trade, such as VENUE=binance.")
        return str(mode)

    def _live(self, begin: dict[str, Any], stage: str) -> dict[str, Any]:
        account = {**begin, "venue": self.venue or begin.get("venue"), "mode": "live"}
        if options := self._options():
            account["options"] = {**(begin.get("options") or {}), **options}
        if self.symbols or not self.account:
            given = [symbol.strip() for symbol in (self.symbols or "").split(",") if symbol.strip()]
            account["symbols"] = given or [SYMBOLS.get(str(self.venue), SYMBOL)]
        if not self.account:
            account["limits"] = _limits_for(account["symbols"], account["limits"])
        name = account.get("account", LIVE_ACCOUNT)
        for function in FUNCTIONS:
            account.setdefault(f"{function}_secret", f"/belay/{stage}/{function}/{name}")
        return account | self._sandbox(account)

    def _sandbox(self, account: dict[str, Any]) -> dict[str, bool]:
        """Where hosts are given these are the venue; else it must be said whether real money is meant."""
        if self.sandbox:
            said = {"1": True, "true": True, "0": False, "false": False}.get(self.sandbox.lower())
            if said is None:
                raise InvalidInput("SANDBOX", f"{self.sandbox!r} is neither true nor false", "Say one of them.")
            return {"sandbox": said}
        if account.get("sandbox") is not None:
            return {}
        if HOSTS & (account.get("options") or {}).keys():
            return {"sandbox": False}
        remedy = "SANDBOX=true is the venue's test host; SANDBOX=false trades with real money."
        raise InvalidInput("SANDBOX", "is missing", remedy)

    def _paper(self, begin: dict[str, Any]) -> dict[str, Any]:
        """On paper a venue is where the prices come from."""
        for name, value in (("SYMBOLS", self.symbols), ("SANDBOX", self.sandbox)):
            if value:
                remedy = "Leave it out, or write a file and give it as ACCOUNT=file.json."
                raise InvalidInput(name, "is for MODE=live only", remedy)
        account = {**begin}
        if self.venue:
            _require_exchange(self.venue)
            settings = {name: value for name, value in (begin.get("paper") or {}).items() if name != "replay"}
            account["paper"] = {**settings, "exchange": self.venue}
        if options := self._options():
            account["options"] = {**(begin.get("options") or {}), **options}
        return account

    def _options(self) -> dict[str, Any]:
        if not self.options:
            return {}
        try:
            options = json.loads(self.options)
        except ValueError as error:
            raise InvalidInput("VENUE_OPTIONS", f"is not JSON: {error}", _OPTIONS_REMEDY) from None
        if not isinstance(options, dict):
            raise InvalidInput("VENUE_OPTIONS", "is not a JSON object", _OPTIONS_REMEDY)
        return options

    def _parsed(self, made: Mapping[str, Any]) -> AccountDocument:
        try:
            return AccountDocument.parse(json.dumps(made))
        except InvalidInput as error:
            raise self._named(error) from None

    def _require_live(self, document: AccountDocument, stage: str) -> None:
        try:
            document.require_live(stage)
            profile_of(document)
        except InvalidInput as error:
            raise self._named(error) from None

    def _named(self, error: InvalidInput) -> InvalidInput:
        """The same, with the variable in the place of the field that it decides."""
        for field, name in CORRECTED_BY.items():
            if (error.field == field or error.field.startswith(f"{field}.")) and self._given(name):
                return InvalidInput(name + error.field.removeprefix(field), error.problem, error.remedy)
        return error

    def _given(self, name: str) -> bool:
        values = {"VENUE": self.venue, "VENUE_OPTIONS": self.options, "SYMBOLS": self.symbols, "SANDBOX": self.sandbox}
        return bool(values[name])


_OPTIONS_REMEDY = """Write it like VENUE_OPTIONS='{"timeout": 5000}'."""


def _require_exchange(name: str) -> None:
    try:
        exchange_class(name)
    except InvalidInput as error:
        raise InvalidInput("VENUE", error.problem, error.remedy) from None


def _read(file: str) -> dict[str, Any]:
    """A document as it is written, which what is added to it has yet to complete."""
    try:
        document = read_json(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidInput(
            "ACCOUNT", f"{file} cannot be read: {reason}", "Give the path of an account document."
        ) from None
    except ValueError as error:
        raise InvalidInput("account", f"Invalid JSON: {error}", "Correct the account document.") from None
    if not isinstance(document, dict):
        raise InvalidInput("account", "is not a JSON object", "Correct the account document.")
    return document


def _example(mode: str) -> dict[str, Any]:
    """The example; for a live account only its limits, since the rest of it is paper."""
    example: dict[str, Any] = json.loads(example_document())
    return {"account": LIVE_ACCOUNT, "limits": example["limits"]} if mode == "live" else example


def _limits_for(symbols: list[str], limits: dict[str, Any]) -> dict[str, Any]:
    """The example's limits, its one position limit for each of these symbols."""
    (most,) = limits["max_position_notional"].values()
    return {**limits, "max_position_notional": dict.fromkeys(symbols, most)}
