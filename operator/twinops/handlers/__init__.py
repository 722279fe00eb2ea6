"""kopf lives here and nowhere else. A handler parses, delegates and reports; bodies of a few lines."""
