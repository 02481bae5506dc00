"""A server on loopback that speaks enough of Binance's and Kraken's spot REST for the real ccxt classes.

It keeps books of its own, follows the documented rules, fails as it is told, and writes down every request. It
imports nothing of Belay: what it holds is the truth that Belay's ledger is compared with.

    with VenueServer(ManualTime(start), seed=7) as server:            # or VenueServer() on the machine's clock
        key = server.add_key("kraken", "executor", trade=True)
        client = ccxt.kraken({"apiKey": key.api_key, "secret": key.secret, **server.client_options("kraken")})
        server.add_fault("accept_hang")                               # faults.NAMES; the next new order by default
        server.add_fault("drop_html", kind="query_order", times=None)
        server.advance(5)                                             # held requests, later fills, resting orders
        server.audit.orders_per_client_id(); server.truth("kraken")

The account is kept exactly, pays its fees out of what is received and meets nobody else, until a test says otherwise:

    server.act("kraken", "set_terms", rounded=True, earning=["USD"])           # account.Account.set_terms
    server.act("binance", "deposit_from_outside", asset="BTC", amount=D(1))    # any method of movements.Movements
    server.act("binance", "oco", symbol="BTC/USDT", side="sell", ...)          # any method of hand.Hand
    wallets.unbalanced(server.truth("kraken")) == {}                           # opening + bookings = balance

From another process: POST /_control {"do": "act", "venue": ..., "name": ..., amounts as text}. `solo.Solo` is one such
account alone, without HTTP or threads.

A client on a manual clock must sign with that clock: override its `milliseconds`. Another clock object with `now()`
may be the base: whoever owns it moves it, and what is due happens at the next request or look at the audit.
"""

from tests.venue_server.faults import Deck, Fault
from tests.venue_server.keys import Key
from tests.venue_server.server import VenueServer
from tests.venue_server.timing import ManualTime, ServerClock, WallTime

__all__ = ["Deck", "Fault", "Key", "ManualTime", "ServerClock", "VenueServer", "WallTime"]
