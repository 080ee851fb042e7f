// Dittofs-smbd serves SMB 2 and 3.
//
// NAME
//
//	dittofs-smbd - SMB 2 and 3 of DittoFS Gateway
//
// SYNOPSIS
//
//	dittofs-smbd [--config FILE]
//
// DESCRIPTION
//
//	Serves each export as a share, in the dialects 2.0.2 to 3.1.1, to users that dittofs user has added. It decides no conflict by
//	itself: share modes, byte-range locks, leases and oplocks are asked of dittofs-gateway, where NFS clients and local programs
//	ask too. A share is served while its directory is mounted by dittofs-fusefs.
//
// FILES
//
//	/etc/dittofs/gateway.toml, /etc/dittofs/conf.d/*.toml
//	/var/lib/dittofs/smb-users   users and their NT hashes
//
// SIGNALS
//
//	SIGTERM, SIGINT: close all sessions and stop. SIGHUP: read the exports anew. Tree connects to one that went, or that their users would
//	not get today, end; nobody else is disturbed.
//
// SECURITY
//
//	Runs as root and acts on each file as the user who has logged on; the kernel checks modes and ACLs. Signing is required unless the
//	configuration says otherwise. Anonymous clients may ask for the list of shares and nothing else. Who does not log on is cut
//	off after ten seconds and has 64 connections from an address at most; who gives wrong passwords waits longer for each answer. It
//	trusts the gateway at its socket.
//
// STANDARDS
//
//	[MS-SMB2], [MS-FSA], [MS-FSCC], [MS-NLMP], RFC 4178
//
// No locks.
package main

import (
	"dittofs/gateway/daemon"
	"dittofs/smbd/server"
)

func main() { daemon.Main("smbd", server.Run) }
