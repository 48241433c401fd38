"""Who acts and what they may see, by the database as it is in the transaction that asks."""
