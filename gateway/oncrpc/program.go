// Package oncrpc is ONC RPC version 2, RFC 5531: messages, record marking, programs as tables, a server and a client for TCP, UDP and
// Unix sockets, and the duplicate request cache. Package rpcbind beneath it is RFC 1833.
//
// What a handler decodes aliases the record that it came in; the record stays until the reply is sent. A handler may keep nothing of it.
//
// Lock order: conn.write and cache.mu are leaves; neither is held while a handler runs.
package oncrpc

import (
	"context"
	"errors"
	"net/netip"

	"dittofs/gateway/xdr"
)

// Program is one version of an RPC program: its procedures by number. A nil Call answers PROC_UNAVAIL. RFC 5531 §8.
type Program struct {
	Name    string // for logs and metrics: "nfs3", "mount1", "nlm4", "nsm"
	Number  uint32
	Version uint32
	Procs   []Proc
}

// Proc is one procedure.
type Proc struct {
	Name string
	// Once marks a procedure that must not run twice for one call (REMOVE, RENAME, LOCK, …): a retransmission gets the first reply again
	// from the duplicate request cache, and is dropped while the first still runs.
	Once bool
	// Quick marks a procedure that waits for nobody: neither for a disk nor for another client. Over TCP it runs in turn where calls are
	// read, and the replies to calls that came together leave together. Its handler may find that it would have to wait: ErrLater.
	Quick bool
	// Call decodes the arguments, does the work and encodes the results.
	Call func(ctx context.Context, c *Call, args, res *xdr.Stream) error
}

// Call is what a handler may know about the call that it answers. It lives as long as the call.
type Call struct {
	XID       uint32
	Program   *Program
	Procedure uint32
	Flavor    uint32  // AuthNone, AuthSys, RPCSECGSS
	Sys       AuthSys // for AuthSys; for RPCSEC_GSS the ids of the principal's account, where it is Known
	Principal string  // for RPCSEC_GSS
	Service   Service // for RPCSEC_GSS
	Known     bool    // for RPCSEC_GSS
	Remote    netip.AddrPort
	Local     netip.AddrPort
	UDP       bool
	Quick     bool // others wait while this runs: see ErrLater

	// Tail, where the handler sets it, is sent behind the results without being copied, padded to four bytes: the data of a READ,
	// whose length the results have just told as their last word (in a result's XDR, Uint32 instead of Opaque). Never in a Once procedure.
	Tail []byte
	// Release, where the handler sets it, is called once, after the reply was handed to the socket or dropped: until then Tail is the
	// server's. It must not block.
	Release func()

	places *places       // of the server; nil over UDP
	beside chan struct{} // filled by the connection's heavy calls
	heavy  bool          // this is one
}

// AuthSys is authsys_parms, RFC 5531 Appendix A.
type AuthSys struct {
	Stamp       uint32
	MachineName string // at most 255 bytes
	UID, GID    uint32
	GIDs        []uint32 // at most 16
}

// Flavors, RFC 5531 §8.2.
const (
	FlavorNone = 0
	FlavorSys  = 1
	FlavorGSS  = 6
)

// What a handler may return besides nil (the results stand) and any other error (SYSTEM_ERR and a log line).
var (
	ErrGarbage = errors.New("oncrpc: arguments do not decode") // GARBAGE_ARGS
	ErrNoReply = errors.New("oncrpc: no reply")                // the call is dropped
	ErrLater   = errors.New("oncrpc: not quick")               // of a Quick call, before it did anything: call again, not Quick
	ErrTooWeak = errors.New("oncrpc: credential too weak")     // AUTH_ERROR, AUTH_TOOWEAK
)

// Handle makes a Proc of a function from arguments to results, both plain structs that list their fields.
func Handle[A, R any, PA interface {
	*A
	xdr.Value
}, PR interface {
	*R
	xdr.Value
}](name string, f func(ctx context.Context, c *Call, a *A) (*R, error)) Proc {
	return Proc{Name: name, Call: func(ctx context.Context, c *Call, args, res *xdr.Stream) error {
		var a A
		PA(&a).XDR(args)
		if args.End() != nil {
			return ErrGarbage
		}
		r, err := f(ctx, c, &a)
		if err != nil {
			return err
		}
		PR(r).XDR(res)
		return res.Err()
	}}
}
