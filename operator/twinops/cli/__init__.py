"""The ``twinops`` command, one module per subcommand; those with heavy imports load them in a ``*_run`` module."""
