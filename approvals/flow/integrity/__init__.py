"""Nothing is granted that an intact log cannot tell of."""
