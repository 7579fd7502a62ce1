"""What the services share. Importing it loads nothing: take from the module you need."""
