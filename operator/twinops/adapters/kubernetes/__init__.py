"""The Kubernetes API.

``client`` sends requests (``paths``, ``connection``, ``answers``), ``reflector`` and ``watched`` keep local copies; the
other modules read and write one kind each. Errors of the client library are translated in ``answers``.
"""
