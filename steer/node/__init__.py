"""What a host does for its ranks: watch them, signal them, sweep up after them."""
