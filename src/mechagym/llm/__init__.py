"""Models: how one is named, reached, paid for, recorded and faked; both doors to a provider."""
