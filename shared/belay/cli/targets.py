"""What a command names must exist: a strategy or a symbol of an account. An error lists what there is."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from belay.domain.decisions import MANUAL
from belay.domain.errors import InvalidInput, Unreadable
from belay.ports import Ledger


class Target(NamedTuple):
    """A part of an account: a strategy, a symbol, or one in the other; with neither, the whole of it."""

    strategy: str | None = None
    symbol: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """What is named, by the option that names it."""
        given = {"--strategy": self.strategy, "--symbol": self.symbol}
        return {option: name for option, name in given.items() if name is not None}


def strategies(ledger: Ledger, account: str) -> frozenset[str]:
    """A strategy is known by a tick, a position or an order; orders by hand are always possible."""
    held = ledger.account(account)
    reserving = {reservation.strategy for reservation in held.reservations.values()}
    ticked = {tick.strategy for tick in ledger.schedules(account)}
    return frozenset({MANUAL, *ticked, *held.positions, *reserving})


def symbols(ledger: Ledger, account: str) -> frozenset[str]:
    """A symbol is known by the account's document, or by what is held or open in it."""
    held, configuration = ledger.account(account), ledger.configuration(account)
    reserved = {reservation.symbol for reservation in held.reservations.values()}
    return frozenset({*(configuration.document.symbols if configuration else ()), *held.held_symbols(), *reserved})


KNOWN: dict[str, Callable[[Ledger, str], frozenset[str]]] = {"--strategy": strategies, "--symbol": symbols}


def knowing(ledger: Ledger, accounts: Iterable[str], target: Target) -> tuple[str, ...]:
    """The accounts that know all that is named. One that cannot be read may: a stop reaches it all the same.

    Raises:
        InvalidInput: none does.
    """
    accounts = tuple(accounts)
    found = tuple(account for account in accounts if _knows(ledger, account, target))
    if not found:
        raise _unknown(ledger, accounts, target)
    return found


def require_known(ledger: Ledger, accounts: Iterable[str], target: Target) -> None:
    """Raises InvalidInput: none of the accounts knows what is named."""
    knowing(ledger, accounts, target)


def _knows(ledger: Ledger, account: str, target: Target) -> bool:
    try:
        return all(name in KNOWN[option](ledger, account) for option, name in target.named.items())
    except Unreadable:
        return True


def _unknown(ledger: Ledger, accounts: tuple[str, ...], target: Target) -> InvalidInput:
    """Of what no account knows, the first; where each is known to some account, that they are never one account's."""
    listed = ", ".join(accounts) or "none"
    for option, name in target.named.items():
        known = sorted({one for account in accounts for one in KNOWN[option](ledger, account)})
        if name not in known:
            what = option.removeprefix("--")
            problem = f"there is no {what} {name} in account {listed}"
            return InvalidInput(option, problem, f"Known: {', '.join(known) or 'none'}.")
    return InvalidInput("--strategy", f"no account has both {' and '.join(target.named.values())}", "Name one of them.")
