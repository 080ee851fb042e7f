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
	// Call decodes the arguments, does the work and encodes the results.
	Call func(ctx context.Context, c *Call, args, res *xdr.Stream) error
}

// Call is what a handler may know about the call that it answers. It lives as long as the call.
type Call struct {
	XID       uint32
	Program   *Program
	Procedure uint32
	Flavor    uint32  // AuthNone, AuthSys, RPCSECGSS
	Sys       AuthSys // for AuthSys, else zero
	Remote    netip.AddrPort
	Local     netip.AddrPort
	UDP       bool
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
