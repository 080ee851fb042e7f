// Package hatch is where the daemons come to the gateway: one Unix socket for each, and who you are is which hatch you stand at
// (and SO_PEERCRED). A connection is a seat at the counter: it is taken at Hello and given back when the connection ends.
// admin.sock serves the admin command, trees.sock the descriptors of the exported trees.
//
// Wrong bytes end their connection with one log line.
//
// Lock order: visit.mu before House.mu before outbox.mu; none is held while the counter is asked, but visit.gate, held for reading
// around every verb and for writing around Detach.
package hatch
