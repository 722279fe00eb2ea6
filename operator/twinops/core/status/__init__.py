"""Renders the result of a sync as status and Events, and tells which changes of status are material. No I/O."""
