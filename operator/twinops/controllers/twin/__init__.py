"""The controller of DigitalTwins."""
