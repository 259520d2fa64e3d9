"""Many rows on one core and on several: how fast engines score them, and what that comes to for a
million rows, or a billion."""
