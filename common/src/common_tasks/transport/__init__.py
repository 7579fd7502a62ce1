"""Our Redis transport: messages laid out as kombu lays them out; a claim and an outcome are one step each."""
