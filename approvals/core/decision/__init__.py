"""What a person decides, who may, and the passkey's signature that shows it."""
