"""What `belay doctor` finds at the venue before an account trades, as data: each fact judged, with what to do. Asks
nobody. What is found beside the venue is in `surroundings`.

ok     as it should be
warn   may be meant; somebody should know
fail   the account would not trade as meant, or more could be lost than must be
"""

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Literal, Self

from pydantic import ValidationError, model_validator

from belay.domain.account import Account
from belay.domain.documents import AccountDocument, Limits
from belay.domain.errors import InvalidInput
from belay.domain.market import Market
from belay.domain.record import ZERO, Record, base_asset, plain, quote_asset
from belay.domain.venues import VenueOrder

Function = Literal["reconciler", "executor"]
# What each function does with its key. The reconciler also repeats cancels.
NEEDED_RIGHTS: dict[Function, tuple[str, ...]] = {"reconciler": ("read", "cancel"), "executor": ("read", "trade")}
# HTTP statuses by which venues, and the networks in front of them, refuse whole regions.
RESTRICTED = {f"http_{status}": status for status in (403, 451)}
# A position must still be above the venue's minimum after a fall like this: below it nobody can sell it.
FALL = Decimal("0.9")
SHOWN = 5


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(Record):
    """One check: what was found and, unless all is well, what to do."""

    check: str
    level: Level
    found: str
    remedy: str = ""

    @model_validator(mode="after")
    def _says_what_to_do(self) -> Self:
        if (self.level is Level.OK) == bool(self.remedy):
            raise ValueError("a finding says what to do exactly if something is to be done")
        return self


class DoctorRequest(Record):
    """What is asked of a function: the reconciler examines the whole venue side, the executor only what it alone has.

    Each uses its own key, and nobody reads the other's.
    """

    function: Function = "reconciler"

    @classmethod
    def parse(cls, asked: object) -> "DoctorRequest":
        """Raises InvalidInput, which names the field."""
        try:
            return cls.model_validate(asked)
        except ValidationError as error:
            raise InvalidInput.from_validation("doctor", error, "See `belay doctor --help`.") from None


class Access(Record):
    """What the venue lets a function's key do; None where it does not tell.

    `records`: what the venue keeps of what comes and goes without an order. `bound`: the key works from listed
    addresses only. `more`: other rights that it has, in the venue's words. `key`: a digest that tells two keys apart
    and nothing else; None without one. `closed`: the account's symbols that are listed, but not open for trading.
    `account`: the venue's own id of the account that the key is of.
    """

    read: bool | None = None
    trade: bool | None = None
    cancel: bool | None = None
    withdraw: bool | None = None
    bound: bool | None = None
    more: tuple[str, ...] = ()
    key: str | None = None
    closed: tuple[str, ...] = ()
    records: bool | None = None
    account: str | None = None


def ok(check: str, found: str) -> Finding:
    return Finding(check=check, level=Level.OK, found=found)


def warn(check: str, found: str, remedy: str) -> Finding:
    return Finding(check=check, level=Level.WARN, found=found, remedy=remedy)


def fail(check: str, found: str, remedy: str) -> Finding:
    return Finding(check=check, level=Level.FAIL, found=found, remedy=remedy)


def listed(names: list[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def refused(check: str, error: InvalidInput) -> Finding:
    return fail(check, f"{error.field}: {error.problem}", error.remedy)


# --- a function's key ------------------------------------------------------------------------------------------------


def judge_access(function: Function, access: Access) -> tuple[Finding, ...]:
    """The rights of a key that the venue accepted."""
    name = f"{function} key"
    found = [_rights(name, function, access), _withdrawal(name, access.withdraw), _addresses(name, access.bound)]
    if function == "reconciler" and access.records is False:
        found.append(fail(f"{name}, records", "it may not read what the venue records beside trades", RECORDS))
    if access.more:
        remedy = "Take away what Belay does not need: reading, and trading on spot."
        found.append(warn(f"{name}, more rights", ", ".join(access.more), remedy))
    return tuple(found)


RECORDS = (
    "Give it that right (at Kraken: query ledger entries). Without it no deposit, withdrawal or true fee is known: "
    "each stops entries until somebody runs belay rebase."
)


def _rights(name: str, function: Function, access: Access) -> Finding:
    needed = NEEDED_RIGHTS[function]
    given: dict[str, bool | None] = {right: getattr(access, right) for right in needed}
    if lacking := [right for right in needed if given[right] is False]:
        found = f"is accepted, but may not {' nor '.join(lacking)}"
        return fail(name, found, f"Give this key the right to {' and '.join(lacking)} on spot at the venue.")
    if untold := [right for right in needed if given[right] is None]:
        found = f"is accepted; the venue does not tell whether it may {' and '.join(untold)}"
        return warn(name, found, "Compare with the key's page at the venue.")
    return ok(name, f"is accepted and may {' and '.join(needed)}")


def _withdrawal(name: str, withdraw: bool | None) -> Finding:
    check = f"{name}, withdrawal"
    if withdraw:
        remedy = "Take the right to withdraw away at the venue, or store a key without it."
        return fail(check, "the key can withdraw everything", remedy)
    if withdraw is None:
        remedy = "Look at the key's page at the venue: it must not be able to withdraw."
        return warn(check, "the venue does not tell whether the key can withdraw", remedy)
    return ok(check, "not allowed")


def _addresses(name: str, bound: bool | None) -> Finding:
    check = f"{name}, addresses"
    if bound:
        return ok(check, "works from listed addresses only")
    found = "works from every address" if bound is False else "the venue does not tell whether the key is bound to any"
    return warn(check, found, "Bind it at the venue if the functions have fixed addresses (behind a NAT gateway).")


def judge_refusal(function: Function, code: str, remedy: str) -> Finding:
    """The venue, or the store of keys, refuses this account as it is configured."""
    if code in RESTRICTED:
        found = f"the venue answers HTTP {RESTRICTED[code]}: it refuses this region or network"
        return fail("region", found, "Deploy the stack to a region that the venue serves.")
    return fail(f"{function} key", code, f"{remedy[:1].upper()}{remedy[1:]}.")


def judge_keys(
    reconciler: str | None, executor: str | None, accounts: tuple[str | None, str | None] = (None, None)
) -> Finding:
    """Whether two functions have two keys, by their digests, and both of one account, by the venue's own id of it."""
    if reconciler is None or executor is None:
        return fail("keys differ", "not both keys could be used", "Put right what is said of each key.")
    if reconciler == executor:
        remedy = "Make a second key at the venue: with one, the functions spoil each other's nonces and limits."
        return fail("keys differ", "executor and reconciler have the same key", remedy)
    if None not in accounts and accounts[0] != accounts[1]:
        found = f"the reconciler's is of the venue's account {accounts[0]}, the executor's of {accounts[1]}"
        return fail("keys differ", found, "Store two keys of the one account that the document is about.")
    return ok("keys differ", "executor and reconciler each have their own")


# --- the venue -------------------------------------------------------------------------------------------------------


def judge_clock(offset_seconds: Decimal, bound: int | None) -> Finding:
    """Venue minus local clock, in the function's place."""
    found = f"the venue's is {abs(offset_seconds):.3f} s {'ahead of' if offset_seconds > 0 else 'behind'} ours"
    if bound is None:
        return warn("clock", found, "State limits.clock_offset_seconds: without it nothing is claimed.")
    if abs(offset_seconds) > bound:
        remedy = "Nothing is claimed meanwhile. See the venue's status page; raise the limit only if this is meant."
        return fail("clock", f"{found}; limits.clock_offset_seconds is {bound}", remedy)
    return ok("clock", f"{found}, within {bound} s")


def judge_size(market: Market, price: Decimal, limits: Limits) -> Finding | None:
    """Whether the largest entry that the limits allow can be left again after its fee; None without any limit."""
    symbol, quote = market.symbol, quote_asset(market.symbol)
    bounds = {
        "max_order_notional": limits.max_order_notional,
        f"max_position_notional of {symbol}": limits.max_position_notional.get(symbol),
        "max_aggregate_exposure": limits.max_aggregate_exposure,
    }
    stated = {name: bound for name, bound in bounds.items() if bound is not None}
    if not stated:
        return None
    name, most = min(stated.items(), key=lambda bound: bound[1])
    check, least = f"size {symbol}", _least_entry(market, price)
    sellable = market.floor_quantity(market.floor_quantity(most / price) * (1 - market.taker_fee))
    found = f"{name} is {plain(most)} {quote}; at {plain(price)}, {least} buys the least that can be sold again"
    if market.too_small(sellable, price):
        return fail(check, found, f"Raise it to {least} or more: every entry is denied.")
    if market.too_small(sellable, price * FALL):
        return warn(check, found, "Raise it: after a fall of a tenth the venue would not let the position be sold.")
    return ok(check, found)


def _least_entry(market: Market, price: Decimal) -> Decimal:
    """In quote currency: what is left of it after the fee is still as much as the venue lets be sold."""

    def stepped_up(quantity: Decimal) -> Decimal:
        floored = market.floor_quantity(quantity)
        return floored if floored == quantity else floored + market.quantity_step

    sellable = stepped_up(max(market.min_quantity, market.min_notional / price, market.quantity_step))
    return (stepped_up(sellable / (1 - market.taker_fee)) * price).quantize(Decimal("0.01"), ROUND_CEILING)


def judge_orders(foreign: Iterable[VenueOrder]) -> Finding:
    """Open orders at the venue that the ledger does not know."""
    names = [f"{seen.client_order_id or seen.venue_order_id} ({seen.side} {seen.symbol})" for seen in foreign]
    if not names:
        return ok("open orders", "none is foreign")
    remedy = "Give them to a strategy (belay adopt) or cancel them at the venue: they will stop entries."
    return warn("open orders", f"{len(names)} not Belay's: {listed(names)}", remedy)


def judge_balances(document: AccountDocument, account: Account, total: Mapping[str, Decimal]) -> tuple[Finding, ...]:
    """What can be spent, and what of the coins belongs to no strategy."""
    quote = document.quote
    spendable = total.get(quote, ZERO)
    opened = account.opening is not None
    coins = {base_asset(symbol) for symbol in document.symbols}
    unowned = {asset: account.unowned(asset) if opened else total.get(asset, ZERO) for asset in sorted(coins)}
    names = [f"{plain(amount)} {asset}" for asset, amount in unowned.items() if amount > 0]
    return (
        ok("funds", f"{plain(spendable)} {quote}")
        if spendable > 0
        else warn("funds", f"no {quote}: nothing can be bought", f"Deposit {quote} before entries are expected."),
        warn(
            "balances",
            f"no strategy's: {listed(names)}",
            "Give them to a strategy (belay adopt), or leave them: nobody sells them, and they count as exposure.",
        )
        if names
        else ok("balances", "every coin is some strategy's"),
    )
