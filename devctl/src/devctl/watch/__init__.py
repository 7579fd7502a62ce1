"""Changed code made live: what changed, whether it can be compiled, and the restart of the services that use it."""
