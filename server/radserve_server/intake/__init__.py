"""What is pushed here: C-STORE, STOW-RS, a spool in memory, routing rules and standing questions."""
