"""What processes say to each other: the clients' wire, and the link between our own processes."""
