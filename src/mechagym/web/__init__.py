"""The command centre: pages, JSON API and live stream over one store. It writes ops and no more."""
