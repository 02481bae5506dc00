"""What the variables of make must be. They arrive as they were written, and empty where they were not given."""

from belay.domain.errors import InvalidInput

MOST_DIGITS = 18
SWITCH = {"": False, "0": False, "1": True}


def whole(name: str, text: str, least: int) -> int:
    """Raises InvalidInput, which names the variable."""
    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS and int(text) >= least):
        problem = f"{text!r} is not a whole number from {least} up, of {MOST_DIGITS} digits at most"
        raise InvalidInput(name, problem, f"Write it like {name}=240.")
    return int(text)


def switch(name: str, text: str) -> bool:
    """Raises InvalidInput, which names the variable."""
    if text not in SWITCH:
        raise InvalidInput(name, f"{text!r} is neither 1 nor 0", f"Write {name}=1, or leave it out.")
    return SWITCH[text]
