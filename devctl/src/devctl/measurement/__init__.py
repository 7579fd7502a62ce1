"""What bench, chaos and demo share: the machine, a lock on it, a guard over the stack, what is kept."""
