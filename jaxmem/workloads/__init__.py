"""Request sequences as programs ask for them: drawn, typed or recorded."""
