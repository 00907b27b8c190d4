"""The commands of `forge`, one file each: read the options, call the services, show the answer."""
