"""`python -m drilldown`: the command line where its script is not on the path."""

from drilldown.cli import main

main()
