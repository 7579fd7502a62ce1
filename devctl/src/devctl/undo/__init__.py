"""What a command has to put back, whatever ends it."""
