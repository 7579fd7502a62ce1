"""Our Redis transport: messages are stored as kombu stores them; a claim is one atomic step, and so is an outcome."""
