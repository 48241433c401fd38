"""People get passkeys and chat accounts, sign in, and lose them again."""
