"""The load generator: the same arrivals for every shop, whatever the answers (open loop)."""
