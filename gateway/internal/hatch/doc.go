// Package hatch is where the daemons come to the gateway: one Unix socket for each, and who you are is which hatch you stand at
// (and SO_PEERCRED). A connection is a seat at the counter: it is taken at Hello and given back when the connection ends.
// admin.sock serves the admin command, trees.sock the descriptors of the exported trees.
//
// Wrong bytes end their connection with one log line.
//
// Lock order: visit.gate before House.mu; outbox.mu is a leaf. visit.gate alone is held while the counter is asked: for reading around
// every verb, for writing around Attach and Detach.
package hatch
