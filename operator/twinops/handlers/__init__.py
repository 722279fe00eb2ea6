"""kopf's handlers and settings; kopf is imported only here and in ``main``. A handler only calls a controller."""
