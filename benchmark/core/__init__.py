"""The ground floor: data, identity and registration. Imports nothing above it."""
