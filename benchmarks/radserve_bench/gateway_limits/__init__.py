"""Where the gateway saturates: what a streamed event and a question about each kind of image cost it."""
