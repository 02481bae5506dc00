"""Rebase: a person takes balances as they are, with a reason, where no record of the venue explains them."""

from typing import Self

from pydantic import Field, ValidationError, model_validator

from belay.domain.errors import InvalidInput
from belay.domain.record import Amount, Record


class RebaseRequest(Record):
    """Which assets' balances are taken as they are: `assets`, or `whole` for all that differ; without either nothing
    is taken, and the answer tells what differs.

    `amounts`: what the person saw, actual minus expected by asset; where it is another by now, all is refused.
    """

    assets: tuple[str, ...] = ()
    whole: bool = False
    amounts: dict[str, Amount] = {}
    reason: str = Field(default="", max_length=500)
    author: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def _is_one_wish(self) -> Self:
        if self.assets and self.whole:
            raise ValueError("give either some assets or all of them")
        if self.wants_something and not (self.reason.strip() and self.author.strip()):
            raise ValueError("give a reason and who gives it: both are kept")
        if not self.whole and (unasked := sorted(self.amounts.keys() - set(self.assets))):
            raise ValueError(f"{unasked[0]} has an amount and is not asked for")
        return self

    @property
    def wants_something(self) -> bool:
        return bool(self.assets) or self.whole

    @classmethod
    def parse(cls, wish: object) -> "RebaseRequest":
        """Raises InvalidInput, which names the field."""
        try:
            return cls.model_validate(wish)
        except ValidationError as error:
            raise InvalidInput.from_validation("rebase", error, "See `belay rebase --help`.") from None


class Shift(Record):
    """One asset: what was expected `before`, what is expected `after`, which is what is there, and the difference."""

    before: Amount
    after: Amount
    amount: Amount


class Rebased(Record):
    """What differs by asset, and whether it was `taken` as it is: then `flow_id` is the record of it, and `resolved`
    are the incidents that ended with it. `unread`: what could not be read, so that a difference may come of it."""

    account: str
    taken: bool
    shifts: dict[str, Shift]
    flow_id: str | None = None
    resolved: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
