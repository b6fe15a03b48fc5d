"""Models and the facts that travel with them."""
