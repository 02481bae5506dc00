"""What is known of each venue, as data: one validated file per venue, read here. Sends nothing and knows no account.

Whatever nobody has verified is named in the file's `unverified` and is conservative there: such a code proves nothing,
such a fence never proves absence, such a venue never takes a second attempt.
"""

from importlib.resources import files
from typing import Any

from pydantic import ValidationError

from belay.adapters.live.profiles.model import CcxtProfile
from belay.domain.documents import AccountDocument
from belay.domain.errors import InvalidInput

GENERIC = "generic"


def known_venues() -> tuple[str, ...]:
    """The venues that have a profile of their own, supported or not."""
    names = (entry.name.removesuffix(".json") for entry in _folder().iterdir() if entry.name.endswith(".json"))
    return tuple(sorted(name for name in names if name != GENERIC))


def load_profile(venue: str) -> CcxtProfile:
    """The profile of a venue.

    Raises:
        InvalidInput: there is none, or its file is malformed.
    """
    if venue not in known_venues():
        problem = f"{venue!r} has no venue profile"
        remedy = f'Use one of {", ".join(known_venues())}, or set "venue_profile": "generic", which assumes nothing.'
        raise InvalidInput("account.venue", problem, remedy)
    return _read(venue)


def profile_of(document: AccountDocument) -> CcxtProfile:
    """The profile that an account asks for: its venue's, or the generic one where the document says so.

    Raises:
        InvalidInput: there is none, it is malformed, or the venue cannot be traded with it.
    """
    profile = _generic(document.venue) if document.venue_profile == GENERIC else load_profile(document.venue)
    if profile.unsupported is not None:
        raise InvalidInput("account.venue", f"{profile.name}: {profile.unsupported}", "Use another venue.")
    if document.sandbox and not profile.sandbox:
        problem = f"{profile.name} has no test host"
        raise InvalidInput("account.sandbox", problem, "Say false, and start with small limits.")
    return profile


def _generic(venue: str) -> CcxtProfile:
    """Assumes nothing of how a venue trades; where a known one tells what a key may do, it is asked all the same."""
    rights = load_profile(venue).rights if venue in known_venues() else None
    return _read(GENERIC).model_copy(update={"name": venue, "rights": rights})


def _read(name: str) -> CcxtProfile:
    try:
        return CcxtProfile.model_validate_json((_folder() / f"{name}.json").read_text())
    except ValidationError as error:
        raise InvalidInput.from_validation(f"profile {name}", error, "Correct the profile's file.") from None


def _folder() -> Any:
    return files("belay.adapters.live.profiles")
