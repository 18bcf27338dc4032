"""npm: packages of JavaScript, by the protocol of its registry."""
