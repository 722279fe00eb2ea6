"""The pure parts of gathering: what is asked, and what the answers mean. No I/O in here."""
