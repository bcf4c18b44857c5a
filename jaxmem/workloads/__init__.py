"""What programs ask for: request sequences, drawn, typed or recorded."""
