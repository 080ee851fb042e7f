// NAME
//
//	dittofs-statd - status monitor for NFS version 2 and 3 lock clients
//
// SYNOPSIS
//
//	dittofs-statd [--config FILE]
//
// DESCRIPTION
//
//	Answers the Network Status Monitor protocol, version 1, over TCP and UDP, IPv4 and IPv6. When the gateway was started anew it tells
//	every host that holds locks (SM_NOTIFY), again and again for 15 minutes, so that they reclaim them. When such a host says that it
//	was started anew, the gateway frees what it held. A host that cannot be reached loses nothing.
//
//	It serves the kernel's own NFS client on this host as well: that one's registrations (SM_MON) are kept on disk, its procedure is
//	called when a server was started anew, and after a restart of this host those servers are told.
//
//	It may be stopped, restarted or killed at any time: it goes on where it was. SM_SIMU_CRASH is not served, because the state number
//	is the gateway's.
//
//	The settings are listen, ports.nsm, nfs.rpcbind and state of the configuration file.
//
// FILES
//
//	/etc/dittofs/gateway.toml        configuration
//	/var/lib/dittofs/nsm/mon-*       registrations, one file each
//	/var/lib/dittofs/nsm/announced   the last state that was announced, and who was not reached yet
//	/run/dittofs/statd.sock          the gateway's hatch for this daemon
//	/run/dittofs/statd.metrics       metrics, read by the gateway
//	/run/rpcbind.sock, /run/dittofs/rpcbind.sock
//	                                 where its program number is registered
//
// SIGNALS
//
//	SIGTERM, SIGINT   withdraw the registration, exit
//
// SECURITY
//
//	NSM has no authentication. Registrations are taken only from this host's own addresses. An SM_NOTIFY frees locks only when it comes
//	from the address that the locks came from, names a monitored host, and has a higher state number; over UDP an address can be
//	forged, so confine the port to the NFS clients' network.
//
// STANDARDS
//
//	X/Open XNFS chapter 11 (NSM version 1), RFC 5531 (ONC RPC), RFC 1833 (rpcbind)
package main

import (
	"dittofs/gateway/daemon"
	"dittofs/statd/server"
)

func main() { daemon.Main("statd", server.Run) }
