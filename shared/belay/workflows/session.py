"""One invocation's view of one account: its configuration with the connections that follow from it."""

from dataclasses import dataclass
from datetime import timedelta

from belay.domain.documents import AccountDocument, Configuration
from belay.domain.errors import InvalidInput
from belay.domain.proofs import fingerprint
from belay.ports import Clock, MarketData, Services, Venue

# Where venue and machine are further apart, one clock is broken: AWS refuses what is signed by a clock further off.
# Below, the venue's is followed, since it judges fences.
CLOCKS_APART = timedelta(minutes=15)


@dataclass(frozen=True)
class Session:
    services: Services
    configuration: Configuration
    venue: Venue
    market_data: MarketData
    clock: Clock

    @property
    def document(self) -> AccountDocument:
        return self.configuration.document

    @property
    def fingerprint(self) -> str:
        """Names this deployment, configuration, venue account, keys and table: a proof holds for one of these."""
        return fingerprint(self.configuration, self.services.layer_version, self.services.ledger.table_id)


def open_session(services: Services, account: str) -> Session:
    """Connect to an account's venue as its stored document says.

    Raises:
        InvalidInput: the account has no document.
    """
    configuration = services.ledger.configuration(account)
    if configuration is None:
        raise InvalidInput("account", f"{account} has no document", "Store one with: belay account set FILE.")
    document = configuration.document
    return Session(
        services=services,
        configuration=configuration,
        venue=services.venues.venue(document),
        market_data=services.venues.market_data(document),
        clock=services.venues.clock(document),
    )
