"""Which account a local stack trades, and on which market: a venue's own, its public prices, or a generated one.

Reads public data; stores nothing.
"""

import queue
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from belay.adapters.live.connect import origins_of
from belay.adapters.live.public_market import CcxtMarketData
from belay.cli.documents import example_document
from belay.domain.documents import AccountDocument, PaperSettings
from belay.domain.errors import InvalidInput, VenueUnavailable
from belay.local.place import BEGIN_ANEW, Begun
from belay.local.ticker import Say

SEED = 7
BEFORE = timedelta(days=500)  # how long before its first day a generated market begins
ANSWER_SECONDS, ASK_MILLISECONDS = 8, 3_000


def paper_settings(document: AccountDocument) -> PaperSettings:
    """Raises InvalidInput for an account that does not trade on paper."""
    if document.paper is None:
        raise InvalidInput("account.mode", f"{document.account} does not trade on paper", "Set mode paper.")
    return document.paper


def source(document: AccountDocument) -> str:
    """Where an account's prices come from, and live its orders and its keys go, in words."""
    if document.mode == "live":
        return f"{document.venue}, live at {', '.join(origins_of(document))}"
    exchange = paper_settings(document).exchange
    return f"the live public prices of {exchange}" if exchange else "a generated market"


def first_document(given: AccountDocument | None, answers: Callable[[AccountDocument], bool], say: Say) -> Begun:
    """What a new stack is begun with: the document given, else the example.

    Only the example falls back on a generated market where its exchange does not answer; who names an exchange gets it.
    """
    document = given or AccountDocument.parse(example_document())
    exchange = document.paper.exchange if document.paper else None
    if exchange:
        say(f"Asking {exchange} for its public prices")
        if not answers(document):
            say(f"{exchange} cannot be reached: {'decisions hold until it can' if given else 'generating a market'}")
            document = document if given else generated(document)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Begun(document=document, seed=SEED, start=midnight - BEFORE)


def generated(document: AccountDocument) -> AccountDocument:
    """The same account on a generated market."""
    settings = paper_settings(document).model_dump(exclude={"exchange"}) | {"replay": True}
    return document.model_copy(update={"paper": PaperSettings.model_validate(settings)})


def require_same_market(begun: AccountDocument, wanted: AccountDocument) -> None:
    """Positions bought at the prices of one market must not meet those of another.

    Raises:
        InvalidInput: the wanted document is another account's or has another market.
    """
    if wanted.account != begun.account:
        problem = f"it is account {wanted.account}, but this stack was begun with account {begun.account}"
        raise InvalidInput("ACCOUNT", problem, BEGIN_ANEW)
    if source(wanted) != source(begun):
        problem = f"its market is {source(wanted)}, but this stack was begun on {source(begun)}"
        raise InvalidInput("ACCOUNT", problem, BEGIN_ANEW)


def exchange_answers(document: AccountDocument) -> bool:
    """Whether the account's exchange shows what the paper venue needs of every symbol, within some seconds.

    Raises:
        InvalidInput: there is no such exchange, or it has no such symbol.
    """
    answered: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            options = {**document.options, "timeout": ASK_MILLISECONDS}
            exchange = CcxtMarketData(paper_settings(document).exchange or "", options)
            for symbol in document.symbols:
                exchange.candles(symbol, "1m", datetime.now(UTC), 1)
                exchange.price(symbol)
        except Exception as error:  # handed to whoever waits
            answered.put(error)
        else:
            answered.put(None)

    threading.Thread(target=ask, daemon=True).start()
    try:
        problem = answered.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        return False
    if problem is not None and not isinstance(problem, VenueUnavailable):
        raise problem
    return problem is None
