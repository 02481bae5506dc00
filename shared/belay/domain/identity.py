"""Which account at which venue a document means: what its history, its limits and its records are about."""

from belay.domain.account import Account, VenueIdentity
from belay.domain.documents import AccountDocument
from belay.domain.live_options import hosts_of

HOSTS = "account.options"
# By the document's field, what of an identity it decides.
FIELDS = (
    ("account.venue", "venue"),
    ("account.mode", "mode"),
    ("account.sandbox", "sandbox"),
    (HOSTS, "hosts"),
)


def identity_of(document: AccountDocument) -> VenueIdentity:
    """What a document says of it; a paper account's options only name where its market data come from."""
    hosts = hosts_of(document.options) if document.mode == "live" else ()
    return VenueIdentity(venue=document.venue, mode=document.mode, sandbox=document.sandbox, hosts=hosts)


def differing(known: VenueIdentity | None, document: AccountDocument) -> str | None:
    """The first field by which a document means another account than the known one; None where it means the same."""
    meant = identity_of(document)
    if known is None:
        return None
    return next((field for field, name in FIELDS if getattr(known, name) != getattr(meant, name)), None)


def known_identity(account: Account, current: AccountDocument | None) -> VenueIdentity | None:
    """What an account's history is about: as recorded, or as its document says where an earlier version opened it.

    None while there is no history.
    """
    if account.identity is not None:
        return account.identity
    begun = account.opening is not None or account.traded or account.positions or account.reservations
    return identity_of(current) if begun and current is not None else None
