"""What the Forge's services share: contracts, settings, errors, storage, queue and HTTP plumbing."""
