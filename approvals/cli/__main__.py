"""`python -m approvals.cli`: the command line without the installed script."""

from approvals.cli import main

main()
