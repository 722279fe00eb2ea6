"""The Kubernetes API, one file per kind. ``ApiException`` is translated into ours here, once."""
