// Dittofs-gateway keeps the lock database and serves NFS version 3 and MOUNT.
//
// NAME
//
//	dittofs-gateway - lock database, NFSv3 and MOUNT of DittoFS Gateway
//
// SYNOPSIS
//
//	dittofs-gateway [--config FILE]
//
// DESCRIPTION
//
//	The gateway decides who may hold what on a file, for every door: byte-range locks, share modes, leases, oplocks and grace. The
//	other daemons ask it over Unix sockets, and what must outlive a crash is in its database before anybody is told. It serves NFSv3
//	and MOUNT by itself. An exported directory is served while dittofs-fusefs has it mounted; until then clients are told to try again.
//
//	After a crash with NFS locks on record a grace period begins, in which clients reclaim them and nobody gets a new one.
//
// FILES
//
//	/etc/dittofs/gateway.toml, /etc/dittofs/conf.d/*.toml
//	/var/lib/dittofs/locks/       the lock database
//	/var/lib/dittofs/handle.key   the key that seals NFS file handles; without it every mount has to be made anew
//	/run/dittofs/NAME.sock        one socket for each daemon and for dittofs(8)
//
// SIGNALS
//
//	SIGTERM, SIGINT: stop, with a clean-stop mark, so that no grace period follows.
//	SIGHUP: read the exports and their client lists anew. Nobody on an export that stays is disturbed; file handles of one that went are
//	stale at once; one that came is served when dittofs-fusefs has mounted it.
//
// SECURITY
//
//	Runs as root: it opens files by handle and acts as the calling users. It trusts the daemons at its sockets, by their peer
//	credentials, and no network peer: AUTH_SYS credentials are believed only within the export's list of clients and its squash.
//
// STANDARDS
//
//	RFC 1813, RFC 5531, RFC 4506, RFC 1833
//
// No locks.
package main

import (
	"dittofs/gateway/daemon"
	"dittofs/gateway/internal/server"
)

func main() { daemon.Main("gateway", server.Run) }
