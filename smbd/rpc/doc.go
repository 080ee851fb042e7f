// Package rpc answers DCE/RPC on the named pipes of IPC$ over connection-oriented RPC (C706 chapter 12, [MS-RPCE]): srvsvc ([MS-SRVS]) and
// wkssvc ([MS-WKST]) as far as listing shares needs them, lsarpc ([MS-LSAT]) and samr ([MS-SAMR]) as far as showing the names of owners and
// users does. Every other operation is a fault.
//
// How to read: pipe.go is what READ and WRITE on the pipe see, pdu.go the packets, ndr.go the arguments, and a file for each pipe's operations;
// names.go says who is who.
//
// Lock order: Pipe.mu alone.
package rpc
