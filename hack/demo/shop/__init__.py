"""The shop: a real HTTP service whose capacity follows its ready pods."""
