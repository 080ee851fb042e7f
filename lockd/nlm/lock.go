package nlm

import (
	"math"

	"dittofs/gateway/xdr"
)

// Limits, XNFS chapter 10.
const (
	MaxObject = 1024 // netobj
	MaxString = 1024 // LM_MAXSTRLEN
	MaxName   = 1025 // LM_MAXNAMELEN
)

// Version is the version of a message, 1, 3 or 4; zero is 4.
type Version uint32

// Versions.
const (
	V1 Version = 1
	V3 Version = 3
	V4 Version = 4
)

func (v Version) narrow() bool { return v == V1 || v == V3 }

// SetVersion says in which version the message that embeds v travels.
func (v *Version) SetVersion(n Version) { *v = n }

// Message is an argument or a result.
type Message interface {
	xdr.Value
	SetVersion(Version)
}

// extent moves an offset and a length. In versions 1 and 3 what does not fit 32 bits is clipped: an offset to the last byte, a range
// that goes on behind it to one without end, which is length 0.
func (v Version) extent(x *xdr.Stream, offset, length *uint64) {
	if !v.narrow() {
		x.Uint64(offset)
		x.Uint64(length)
		return
	}
	o, n := uint32(min(*offset, math.MaxUint32)), uint32(*length)
	if *length > math.MaxUint32 || uint64(o)+*length > math.MaxUint32 {
		n = 0
	}
	x.Uint32(&o)
	x.Uint32(&n)
	if x.Decoding() {
		*offset, *length = uint64(o), uint64(n)
	}
}

// Lock is nlm4_lock: who, on what file, which range. Length 0 is to the end of the file.
type Lock struct {
	CallerName string
	FH         []byte
	OH         []byte
	SVID       int32
	Offset     uint64
	Length     uint64
}

func (l *Lock) xdr(x *xdr.Stream, v Version) {
	x.String(&l.CallerName, MaxString)
	x.Opaque(&l.FH, MaxObject)
	x.Opaque(&l.OH, MaxObject)
	x.Int32(&l.SVID)
	v.extent(x, &l.Offset, &l.Length)
}

// Holder is nlm4_holder: who stands in the way, and where.
type Holder struct {
	Exclusive bool
	SVID      int32
	OH        []byte
	Offset    uint64
	Length    uint64
}

func (h *Holder) xdr(x *xdr.Stream, v Version) {
	x.Bool(&h.Exclusive)
	x.Int32(&h.SVID)
	x.Opaque(&h.OH, MaxObject)
	v.extent(x, &h.Offset, &h.Length)
}

// LockArgs is nlm4_lockargs: LOCK, LOCK_MSG, NM_LOCK.
type LockArgs struct {
	Version
	Cookie    []byte
	Block     bool
	Exclusive bool
	Lock      Lock
	Reclaim   bool
	State     int32 // the caller's NSM state
}

// XDR moves nlm4_lockargs.
func (a *LockArgs) XDR(x *xdr.Stream) {
	x.Opaque(&a.Cookie, MaxObject)
	x.Bool(&a.Block)
	x.Bool(&a.Exclusive)
	a.Lock.xdr(x, a.Version)
	x.Bool(&a.Reclaim)
	x.Int32(&a.State)
}

// CancelArgs is nlm4_cancargs: CANCEL, CANCEL_MSG.
type CancelArgs struct {
	Version
	Cookie    []byte
	Block     bool
	Exclusive bool
	Lock      Lock
}

// XDR moves nlm4_cancargs.
func (a *CancelArgs) XDR(x *xdr.Stream) {
	x.Opaque(&a.Cookie, MaxObject)
	x.Bool(&a.Block)
	x.Bool(&a.Exclusive)
	a.Lock.xdr(x, a.Version)
}

// UnlockArgs is nlm4_unlockargs: UNLOCK, UNLOCK_MSG.
type UnlockArgs struct {
	Version
	Cookie []byte
	Lock   Lock
}

// XDR moves nlm4_unlockargs.
func (a *UnlockArgs) XDR(x *xdr.Stream) {
	x.Opaque(&a.Cookie, MaxObject)
	a.Lock.xdr(x, a.Version)
}

// TestArgs is nlm4_testargs: TEST, TEST_MSG, and GRANTED and GRANTED_MSG, which go from server to client.
type TestArgs struct {
	Version
	Cookie    []byte
	Exclusive bool
	Lock      Lock
}

// XDR moves nlm4_testargs.
func (a *TestArgs) XDR(x *xdr.Stream) {
	x.Opaque(&a.Cookie, MaxObject)
	x.Bool(&a.Exclusive)
	a.Lock.xdr(x, a.Version)
}

// TestRes is nlm4_testres. Holder counts only with Denied.
type TestRes struct {
	Version
	Cookie []byte
	Status Status
	Holder Holder
}

// XDR moves nlm4_testres.
func (r *TestRes) XDR(x *xdr.Stream) {
	x.Opaque(&r.Cookie, MaxObject)
	r.status(x, &r.Status)
	if r.Status == Denied {
		r.Holder.xdr(x, r.Version)
	}
}

// Res is nlm4_res: LOCK, CANCEL, UNLOCK, GRANTED, NM_LOCK and their _RES.
type Res struct {
	Version
	Cookie []byte
	Status Status
}

// XDR moves nlm4_res.
func (r *Res) XDR(x *xdr.Stream) {
	x.Opaque(&r.Cookie, MaxObject)
	r.status(x, &r.Status)
}

// Notify is nlm4_notify: FREE_ALL.
type Notify struct {
	Version
	Name  string
	State int32
}

// XDR moves nlm4_notify.
func (n *Notify) XDR(x *xdr.Stream) {
	x.String(&n.Name, MaxName)
	x.Int32(&n.State)
}

// Void is no argument and no result.
type Void struct{ Version }

// XDR moves nothing.
func (*Void) XDR(*xdr.Stream) {}
