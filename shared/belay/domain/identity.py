"""Which account at which venue a document means: what its history, its limits and its records are about."""

from belay.domain.account import Account, VenueIdentity
from belay.domain.documents import AccountDocument
from belay.domain.errors import AccountRefused
from belay.domain.live_options import hosts_of
from belay.domain.venues import Balances

HOSTS = "account.options"
# By the document's field, what of an identity it decides.
FIELDS = (
    ("account.venue", "venue"),
    ("account.mode", "mode"),
    ("account.sandbox", "sandbox"),
    (HOSTS, "hosts"),
)


def identity_of(document: AccountDocument, venue_account: str | None = None) -> VenueIdentity:
    """What document and venue say of it; a paper account's options only name where its market data come from."""
    hosts = hosts_of(document.options) if document.mode == "live" else ()
    return VenueIdentity(
        venue=document.venue,
        mode=document.mode,
        sandbox=document.sandbox,
        hosts=hosts,
        venue_account=venue_account,
    )


def differing(known: VenueIdentity | None, document: AccountDocument) -> str | None:
    """The first field by which a document means another account than the known one; None where it means the same."""
    meant = identity_of(document)
    if known is None:
        return None
    return next((field for field, name in FIELDS if getattr(known, name) != getattr(meant, name)), None)


def of_this_account(account: Account, balances: Balances) -> Balances:
    """The balances, if nothing says that they are another account's: with its key, what was read says nothing here.

    Raises:
        AccountRefused: the venue tells another id than the history is about.
    """
    known = account.identity.venue_account if account.identity else None
    if balances.account is None or known in (None, balances.account):
        return balances
    remedy = (
        f"the key is of the venue's account {balances.account}, the history of {account.account} is about {known}: "
        "store a key of that one, or give the other account a name and a document of its own"
    )
    raise AccountRefused("other_account", remedy)


def known_identity(account: Account, current: AccountDocument | None) -> VenueIdentity | None:
    """What an account's history is about: as recorded, or as its document says where an earlier version opened it.

    None while there is no history.
    """
    if account.identity is not None:
        return account.identity
    begun = account.opening is not None or account.traded or account.positions or account.reservations
    return identity_of(current) if begun and current is not None else None
