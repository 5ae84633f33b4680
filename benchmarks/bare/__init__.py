"""The bare limit: the least a Django site can do for the same visible effect."""
