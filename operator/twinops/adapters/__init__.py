"""Everything that talks to the outside: Kubernetes, Prometheus, the clock. No decisions in here."""
