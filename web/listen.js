// The listening page.
