"""What controllers and engine need from outside, as Protocols; adapters satisfy them by shape."""
