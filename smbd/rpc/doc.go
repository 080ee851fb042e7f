// Package rpc answers DCE/RPC on the named pipes of IPC$: srvsvc ([MS-SRVS]) and wkssvc ([MS-WKST]) over connection-oriented RPC
// (C706 chapter 12, [MS-RPCE]), as far as listing shares needs them. Every other operation is a fault.
//
// How to read: pipe.go is what READ and WRITE on the pipe see, pdu.go the packets, ndr.go the arguments, srvsvc.go and wkssvc.go the operations.
//
// Lock order: Pipe.mu alone.
package rpc
