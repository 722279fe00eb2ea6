"""``twinops replay``: the operator's core over recorded history, and what it would have said."""
