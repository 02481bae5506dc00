"""What happens to one request between its arrival and its answer. Knows no sockets; time comes from the server's clock.

    arrival ─► fault? ─► gateway checks ─► time check again ─► matching engine ─► reply ─► what the client sees of it
                  hold: "gateway"      "engine"           "matching"

A held request goes on when its time comes or when it is released, whether or not anybody still waits for it.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from tests.venue_server import binance, kraken
from tests.venue_server.account import QUOTES, Account
from tests.venue_server.audit import Audit
from tests.venue_server.books import Books, Fees, Order, Refused
from tests.venue_server.faults import Fault, Script, held
from tests.venue_server.keys import Key, Keys
from tests.venue_server.market import LISTED, Prices, listed_markets
from tests.venue_server.timing import Action, Agenda, ServerClock
from tests.venue_server.wire import Call, Dialect, Raw, Reply, VenueError, json_reply

Stage = Callable[[datetime], Order | None]
SCRIPTED_ANSWERS = frozenset({"error", "rate_limited", "banned", "maintenance", "restricted"})


@dataclass
class Handled:
    """A request after its arrival: the fault that hit it, and the reply, as soon as there is one."""

    number: int
    fault: Fault
    reply: Reply | None = None
    ready: threading.Event = field(default_factory=threading.Event)

    def finish(self, reply: Reply) -> None:
        self.reply = reply
        self.ready.set()


class Exchange:
    """Both venues behind one clock, one script of faults and one audit. Every method is atomic."""

    def __init__(
        self,
        clock: ServerClock,
        seed: int = 0,
        markets: int = len(LISTED),
        fees: Fees | None = None,
        audit_file: Path | None = None,
    ) -> None:
        self.clock = clock
        self.script = Script()
        self.audit = Audit(audit_file)
        self.engine_delay_seconds = 0.0
        self.lock = threading.RLock()
        self._agenda = Agenda()
        self._numbers = count(1)
        fees = fees or Fees()
        self.dialects: dict[str, Dialect] = {
            "binance": binance.Binance(*self._venue("binance", seed, markets, fees, binance.ids())),
            "kraken": kraken.Kraken(*self._venue("kraken", seed, markets, fees, kraken.ids(seed))),
        }

    def _venue(
        self, venue: str, seed: int, markets: int, fees: Fees, ids: Callable[[str, str], str]
    ) -> tuple[Keys, Account, Prices]:
        prices = Prices(listed_markets(QUOTES[venue], markets), seed)
        return Keys(venue, seed), Account(venue, prices, ids, self._agenda.add, fees), prices

    # --- what a test does to it -------------------------------------------------------------------------

    def books(self, venue: str) -> Books:
        """As of now: everything that is due has happened."""
        with self.lock:
            self.run_due()
            return self.dialects[venue].books

    def truth(self, venue: str) -> dict[str, Any]:
        with self.lock:
            self.run_due()
            return self.dialects[venue].account.truth()

    def act(self, venue: str, name: str, **arguments: Any) -> Any:
        """Whatever may happen in the account but by its API, now: see `Movements`, `Hand` and `Account.set_terms`."""
        with self.lock:
            now = self.run_due()
            result = self.dialects[venue].account.do(name, now, **arguments)
            self.run_due()
            self._note(name, venue=venue, arguments={key: str(value) for key, value in arguments.items()})
            return result

    def add_key(self, venue: str, name: str, **flags: bool) -> Key:
        with self.lock:
            return self.dialects[venue].keys.add(name, **flags)

    def change_key(self, venue: str, name: str, **flags: bool) -> None:
        with self.lock:
            self.dialects[venue].keys.change(name, **flags)
            self._note("key changed", venue=venue, name=name, **flags)

    def pin_price(self, venue: str, symbol: str, price: Decimal | None) -> None:
        """Set a price from now on, None for the path again; resting orders that it reaches are filled."""
        with self.lock:
            now = self.run_due()
            self.dialects[venue].prices.pin(symbol, price, now)
            self.dialects[venue].books.reprice(now)
            self._note("price pinned", venue=venue, symbol=symbol, price=None if price is None else str(price))

    def deposit(self, venue: str, asset: str, amount: Decimal) -> None:
        with self.lock:
            self.dialects[venue].books.deposit(asset, amount)
            self._note("deposit", venue=venue, asset=asset, amount=str(amount))

    def advance(self, seconds: float) -> None:
        """Move a manual clock; everything due until then happens at its own time."""
        with self.lock:
            self.clock.advance(seconds)
            self.run_due()

    def release(self) -> None:
        """Everything that is held or still to come happens now."""
        with self.lock:
            now = self.run_due()
            for event in self._agenda.take_all():
                event.action(now)

    def run_due(self) -> datetime:
        """Let happen what is due, each at its time; returns the time it is now."""
        with self.lock:
            now = self.clock.now()
            self._agenda.run(now, self._match)
            return now

    def _match(self, until: datetime) -> None:
        for dialect in self.dialects.values():
            dialect.books.match(until)

    def _note(self, what: str, **values: Any) -> None:
        self.audit.append("event", self.clock.now(), what=what, **values)

    # --- requests -----------------------------------------------------------------------------------------

    def speaks(self, path: str) -> Dialect | None:
        return next((dialect for dialect in self.dialects.values() if dialect.understands(path)), None)

    def handle(self, dialect: Dialect, raw: Raw) -> Handled:
        """Take in one request. Its reply may come later, when `ready` is set."""
        with self.lock:
            now = self.run_due()
            call = dialect.read(next(self._numbers), raw)
            fault = self.script.draw(dialect.venue, call.kind, call.client_order_id, call.symbol)
            if call.kind == "create_order" and self.engine_delay_seconds:
                fault = held(fault, self.engine_delay_seconds)
            handled = Handled(call.number, fault)
            self._write_request(dialect, call, fault, now)
            self._begin(dialect, call, handled, now)
            return handled

    def answered(self, handled: Handled, what: str) -> None:
        """The server says what the client was given: a status, or how the connection ended."""
        with self.lock:
            self.audit.append("answer", self.clock.now(), request=handled.number, answer=what)

    def followed(self, number: int, method: str) -> None:
        """A client went where a redirect pointed."""
        with self.lock:
            self.audit.append("followed", self.clock.now(), request=number, method=method)

    def _begin(self, dialect: Dialect, call: Call, handled: Handled, now: datetime) -> None:
        fault = handled.fault
        if fault.process == "never":
            self._decide(dialect, call, now, "never processed")
            handled.finish(Reply(200, ""))
        elif call.kind == "create_order":
            self._submit(dialect, call, handled, now)
        else:
            self._respond(dialect, call, handled, now)
        if fault.answer in SCRIPTED_ANSWERS:
            handled.finish(dialect.scripted(fault.answer, fault.error, fault.retry_after))
        if fault.answer == "echo":
            handled.finish(_echo(dialect, call, fault.error))

    def _respond(self, dialect: Dialect, call: Call, handled: Handled, now: datetime) -> None:
        """Everything but new orders; held, it is answered late."""

        def answer(at: datetime) -> None:
            def checked() -> Reply:
                dialect.gateway(call, at)
                return dialect.answer(call, at)

            result = _guarded(dialect, checked)
            self._decide(dialect, call, at, result)
            handled.finish(dialect.error(result) if isinstance(result, VenueError) else result)

        if handled.fault.process == "held":
            self._later(handled.fault, answer, now)
        else:
            answer(now)

    def _submit(self, dialect: Dialect, call: Call, handled: Handled, now: datetime) -> None:
        """A new order, in the stages of the drawing above; a hold divides them."""
        fault = handled.fault
        stages = (
            partial(dialect.gateway, call),
            partial(dialect.recheck, call),
            lambda at: dialect.place(call, at, fault.plan),
        )

        def run(first: int, at: datetime, last: int = len(stages)) -> None:
            self._run(dialect, call, handled, stages[first:last], at)

        match fault.process:
            case "copied":
                run(0, now)
                run(1, now)
            case "replayed":
                run(0, now)
                run(0, now)
            case "held":
                cut = {"gateway": 0, "engine": 1, "matching": 2 if dialect.may_wait_after_recheck else 1}[fault.hold_at]
                run(0, now, cut)
                if not handled.ready.is_set():
                    self._later(fault, partial(run, cut), now)
            case _:
                run(0, now)

    def _run(self, dialect: Dialect, call: Call, handled: Handled, stages: Sequence[Stage], at: datetime) -> None:
        """Some stages of one copy, up to its reply if they include the last; the first copy's reply is what counts."""

        def through() -> Order | None:
            result = None
            for stage in stages:
                result = stage(at)
            return result

        result = _guarded(dialect, through)
        if result is None:
            return
        self._decide(dialect, call, at, result)
        if not handled.ready.is_set():
            handled.finish(dialect.error(result) if isinstance(result, VenueError) else dialect.placed(call, result))

    def _later(self, fault: Fault, action: Action, now: datetime) -> None:
        due = None if fault.seconds is None else now + timedelta(seconds=fault.seconds)
        self._agenda.add(due, action)

    # --- the audit --------------------------------------------------------------------------------------------

    def _write_request(self, dialect: Dialect, call: Call, fault: Fault, now: datetime) -> None:
        self.audit.append(
            "request",
            now,
            request=call.number,
            venue=dialect.venue,
            kind=call.kind,
            method=call.raw.method,
            path=call.raw.path,
            key=call.key.name if call.key else None,
            client_order_id=call.client_order_id,
            symbol=call.symbol,
            params=call.params,
            headers=call.raw.plain_headers,
            fault=fault.name,
        )

    def _decide(self, dialect: Dialect, call: Call, at: datetime, result: VenueError | Order | Reply | str) -> None:
        order = result if isinstance(result, Order) else None
        self.audit.append(
            "decision",
            at,
            request=call.number,
            venue=dialect.venue,
            kind=call.kind,
            code=str(result) if isinstance(result, VenueError | str) else "ok",
            created=order is not None,
            venue_order_id=order.venue_order_id if order else None,
            client_order_id=call.client_order_id,
        )


def _echo(dialect: Dialect, call: Call, code: str | None) -> Reply:
    """An error that repeats the request with its signature, and the key: in the code where that is a text, and behind
    a header."""
    key = f" {call.key.api_key} {call.key.secret}" if call.key else ""
    headers = " ".join(f"{name}: {value}" for name, value in call.raw.headers.items())
    reply = dialect.scripted("error", code, 0)
    content = json.loads(reply.body)
    told = f"{key} {headers} {call.raw.query} {call.raw.body}"
    if "msg" in content:
        content["msg"] += told
    else:
        content["error"] = [error + told for error in content["error"]]
    return json_reply(content, reply.status, **{"X-Told": key.strip()})


def _guarded[T](dialect: Dialect, act: Callable[[], T]) -> T | VenueError:
    """What it gives, or the refusal in the venue's words."""
    try:
        return act()
    except Refused as refused:
        return VenueError(*dialect.refusals[refused.refusal])
    except VenueError as error:
        return error
