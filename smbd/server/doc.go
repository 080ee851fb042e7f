// Package server is the server's side of SMB 2 and 3, [MS-SMB2] 3.3: connections, sessions, tree connects and opens, and one file for
// each command. Who may hold what is not decided here: every open, byte range and operation on data is asked for at the counter
// (gateway/lock), with one message each.
//
// How to read: server.go, conn.go (frames, message ids, signatures), chain.go (compounds, asynchronous answers), dispatch.go, then
// session.go, tree.go and open.go, which hold what [MS-SMB2] 3.3.1 calls Session, TreeConnect and Open, and then the commands in the order
// of [MS-SMB2] 3.3.5. walk.go, names.go and info.go are the way to the disk.
//
// Lock order: Server.mu, conn.mu, session.mu, open.mu; each may be held while a later one is taken, and none while the counter, the disk
// or the network is asked. conn.send, credits.mu and watches.mu are leaves.
package server
