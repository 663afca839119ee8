"""How the pocket model was made and measured. A developer's room: not in the wheel."""
