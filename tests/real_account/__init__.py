"""A real account beside Belay: a venue that keeps its own books, an owner who does what owners do, and the way back."""
