"""One question: may(actor, action, repository, package); and who is asking."""
