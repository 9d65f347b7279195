"""What happens to a file between its upload and its storage."""
