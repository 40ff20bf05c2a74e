"""What upstreams offer, as operators review it: all of it is hostile text until somebody approved it."""
