"""What every screen shares: the app, keys, dialogs, header, terminal driver."""
