"""How the ports reach the world: AWS, venues, and memory. No rule about trading lives here."""
