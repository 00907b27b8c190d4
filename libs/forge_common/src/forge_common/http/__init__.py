"""HTTP plumbing: the app factory, the configured client, the typed registry client, and the data plane's proxy core."""
