"""What a host does for its ranks: watching processes, sending signals, sweeping up after them."""
