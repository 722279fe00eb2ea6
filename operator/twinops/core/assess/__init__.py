"""What one observation says about a twin: health, risks, drift, and how much of it is seen at all. No I/O."""
