// Package rpcbind tells which program answers where: RFC 1833, versions 2 (portmap), 3 and 4, as a client of whoever keeps port 111,
// and as a small keeper of port 111 for hosts on which nobody does.
//
// How to read: wire.go has the RFC's types, uaddr.go universal addresses, client.go the questions, register.go how a daemon makes itself
// known, server.go the keeper.
//
// Lock order: Server.mu is a leaf.
package rpcbind
