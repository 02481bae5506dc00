"""Opens one live account: its profile, its public data and its private side, over one request budget. Asks nobody."""

from typing import NamedTuple

from belay.adapters.aws.secrets import Secrets
from belay.adapters.aws.telemetry import logger
from belay.adapters.live.account_market import LiveMarketData, MarketCache
from belay.adapters.live.connect import open_budget
from belay.adapters.live.key import Key
from belay.adapters.live.profiles import profile_of
from belay.adapters.live.venue import CcxtVenue
from belay.adapters.live.wire import Budget
from belay.domain.documents import AccountDocument
from belay.ports import Clock


class LiveAccount(NamedTuple):
    """Both sides of one account."""

    market_data: LiveMarketData
    venue: CcxtVenue


class LiveAccounts:
    """Opens the live accounts of one function.

    Args:
        stage: this function's, in whose folders its keys are.
        secrets, secret: where this function's keys are, and which field of an account document names one, such as
            `executor_secret`; None holds no key and reads public data only.
    """

    def __init__(
        self, stage: str, secrets: Secrets | None, secret: str | None, cache: MarketCache, clock: Clock
    ) -> None:
        self._stage = stage
        self._secrets = secrets
        self._secret = secret
        self._cache = cache
        self._clock = clock
        self._budgets: dict[str, Budget] = {}

    def open(self, document: AccountDocument) -> LiveAccount:
        """Open an account. A later version of its document goes on with what is left of its budget.

        However the document came to be stored: it is not trusted, since it decides where a key is sent.

        Raises:
            InvalidInput: the document leaves out what must be said, or says what it may not; its venue has no profile,
                or ccxt no such exchange; its class has no place for an option.
        """
        document.require_trusted(self._stage)
        profile = profile_of(document)
        logger.info("live account", account=document.account, profile=profile.name, unverified=profile.unverified)
        budget = self._budgets.setdefault(document.account, open_budget(document, profile, self._clock))
        name = getattr(document, self._secret) if self._secret else None
        key = Key(self._secrets, name, profile.credentials)
        market_data = LiveMarketData(document, profile, budget, self._clock, self._cache, key.redaction.clear)
        return LiveAccount(market_data, CcxtVenue(document, profile, market_data, key, budget))
