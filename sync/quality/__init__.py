"""The quality of people's labels, and how much harsh content people meet. Reads the store; writes nothing."""
