"""DigitalTwin: spec, status and the rules that the API server checks."""
