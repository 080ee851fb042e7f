// Package server is the server's side of SMB 2 and 3, [MS-SMB2] 3.3: connections, sessions, tree connects and opens, and one file for
// each command. Who may hold what is not decided here: every open, byte range and operation on data is asked for at the counter
// (gateway/lock), with one message each.
//
// How to read: server.go, visitors.go (who may connect), conn.go, frames.go and admit.go (frames, ciphers, message ids), chain.go
// (compounds, asynchronous answers), flight.go (how much at a time), dispatch.go (signatures), respond.go, then session.go, channel.go,
// tree.go and open.go, which hold what [MS-SMB2] 3.3.1 calls Session, Channel, TreeConnect and Open, and then the commands in the order of
// [MS-SMB2] 3.3.5. walk.go, names.go and info.go are the way to the disk.
//
// Who reads a connection also decides the order in which its requests begin; each then runs in a goroutine of its own. Messages lie in
// packets from a pool, with room for the headers around them: they are deciphered, signed and sealed where they are.
//
// Lock order: Server.mu, conn.mu, session.mu, opens.mu, open.mu; each may be held while a later one is taken, and none while the counter, the disk
// or the network is asked. watches.mu comes before watch.mu. conn.send, credits.mu, flight.mu, notices.mu, visitors.mu and life.mu are
// leaves.
package server
