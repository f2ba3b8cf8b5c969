"""Images out of archives: where they lie, how they are found, fetched and stored."""
