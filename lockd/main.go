// NAME
//
//	dittofs-lockd - lock manager for NFS version 2 and 3 clients
//
// SYNOPSIS
//
//	dittofs-lockd [--config FILE]
//
// DESCRIPTION
//
//	Answers the Network Lock Manager protocol, versions 1, 3 and 4, over TCP and UDP, IPv4 and IPv6. Every lock is asked for at the
//	gateway, where locks of SMB clients and of local programs are held as well; dittofs-lockd itself keeps only who waits. A client
//	that waited is called back (NLM_GRANTED) at the port that its rpcbind names, until it answers; after granted_for its lock goes to
//	the next in line.
//
//	It may be stopped, restarted or killed at any time: locks belong to clients and stay at the gateway. Clients that waited ask again.
//	While the gateway is away, calls wait and are then answered NLM4_DENIED_NOLOCKS.
//
//	The settings are listen, ports.nlm, nfs.rpcbind, nfs.hold and nfs.granted_for of the configuration file.
//
// FILES
//
//	/etc/dittofs/gateway.toml        configuration
//	/run/dittofs/lockd.sock          the gateway's hatch for this daemon
//	/run/dittofs/lockd.metrics       metrics, read by the gateway
//	/run/rpcbind.sock, /run/dittofs/rpcbind.sock
//	                                 where its program number is registered
//
// SIGNALS
//
//	SIGTERM, SIGINT   withdraw the registration, end the calls that run, exit
//
// SECURITY
//
//	NLM has no authentication worth the name: whoever reaches the port can take locks in any caller's name, as with every NFSv3
//	server. Confine the port to the NFS clients' network. The daemon opens no file and needs no privilege but its hatch; handles
//	pass through it unread. NLM_FREE_ALL and NLM_GRANTED_RES count only from the address of the client that they speak for.
//
// STANDARDS
//
//	RFC 1813 Appendix II (NLM version 4), X/Open XNFS chapter 10 (versions 1 and 3), RFC 5531 (ONC RPC), RFC 1833 (rpcbind)
package main

import (
	"dittofs/gateway/daemon"
	"dittofs/lockd/server"
)

func main() { daemon.Main("lockd", server.Run) }
