// Package xdr moves RFC 4506 values between Go and the wire, in either direction by one method.
//
// A type lists its fields once, in the RFC's order, in a method XDR(*Stream). Encoding appends to a buffer; decoding reads from one
// and aliases it: an Opaque that was decoded lies in the record it came from. The first fault sticks, later moves do nothing, and
// whoever began the stream looks at Err once. Memory is never taken for more than the bytes that arrived.
//
// No locks.
package xdr

import (
	"encoding/binary"
	"errors"
)

// Faults of a stream.
var (
	ErrShort   = errors.New("xdr: record ends early")
	ErrTooLong = errors.New("xdr: length over its limit")
	ErrValue   = errors.New("xdr: value out of its range")
	ErrTrail   = errors.New("xdr: bytes after the last field")
)

// Value is anything that lists its fields.
type Value interface{ XDR(x *Stream) }

// Stream encodes or decodes. The zero value encodes into an empty buffer.
type Stream struct {
	buf      []byte // encoding: what was written; decoding: what is left
	decoding bool
	err      error
}

// Encoder returns a stream that appends to b.
func Encoder(b []byte) Stream { return Stream{buf: b} }

// Decoder returns a stream that reads b.
func Decoder(b []byte) Stream { return Stream{buf: b, decoding: true} }

// Decoding reports the direction.
func (x *Stream) Decoding() bool { return x.decoding }

// Err is the first fault.
func (x *Stream) Err() error { return x.err }

// Fail records a fault, unless there is one.
func (x *Stream) Fail(err error) {
	if x.err == nil {
		x.err = err
	}
}

// Bytes is what was encoded, or what is left to decode.
func (x *Stream) Bytes() []byte { return x.buf }

// End is Err, or ErrTrail where bytes are left to decode.
func (x *Stream) End() error {
	if x.err == nil && x.decoding && len(x.buf) != 0 {
		return ErrTrail
	}
	return x.err
}

// take returns the next n bytes to decode, or nil and a fault.
func (x *Stream) take(n uint64) []byte {
	if x.err != nil {
		return nil
	}
	if n > uint64(len(x.buf)) {
		x.err = ErrShort
		return nil
	}
	b := x.buf[:n:n]
	x.buf = x.buf[n:]
	return b
}

// Uint32 moves an unsigned int, RFC 4506 §4.2.
func (x *Stream) Uint32(v *uint32) {
	if !x.decoding {
		x.buf = binary.BigEndian.AppendUint32(x.buf, *v)
	} else if b := x.take(4); b != nil {
		*v = binary.BigEndian.Uint32(b)
	}
}

// Int32 moves an int, RFC 4506 §4.1.
func (x *Stream) Int32(v *int32) {
	u := uint32(*v)
	x.Uint32(&u)
	*v = int32(u)
}

// Uint64 moves an unsigned hyper, RFC 4506 §4.5.
func (x *Stream) Uint64(v *uint64) {
	if !x.decoding {
		x.buf = binary.BigEndian.AppendUint64(x.buf, *v)
	} else if b := x.take(8); b != nil {
		*v = binary.BigEndian.Uint64(b)
	}
}

// Bool moves a bool; anything but 0 and 1 is a fault. RFC 4506 §4.4.
func (x *Stream) Bool(v *bool) {
	var u uint32
	if *v {
		u = 1
	}
	x.Uint32(&u)
	if u > 1 {
		x.Fail(ErrValue)
	}
	*v = u == 1
}

// Enum moves an enumeration. Values outside are for the caller to refuse: a status of its protocol, not a fault.
func Enum[T ~uint32 | ~int32](x *Stream, v *T) {
	u := uint32(*v)
	x.Uint32(&u)
	*v = T(u)
}

var zeros [4]byte

// Fixed moves opaque v[n] with its padding, RFC 4506 §4.9.
func (x *Stream) Fixed(v []byte) {
	pad := -len(v) & 3
	if !x.decoding {
		x.buf = append(append(x.buf, v...), zeros[:pad]...)
		return
	}
	if b := x.take(uint64(len(v) + pad)); b != nil {
		copy(v, b)
	}
}

// Opaque moves opaque v<max> and aliases the record when decoding. RFC 4506 §4.10. Padding bytes are not looked at.
func (x *Stream) Opaque(v *[]byte, max uint32) {
	n := uint32(len(*v))
	x.Uint32(&n)
	if n > max {
		x.Fail(ErrTooLong)
		return
	}
	if !x.decoding {
		x.buf = append(append(x.buf, *v...), zeros[:-n&3]...)
		return
	}
	if b := x.take((uint64(n) + 3) &^ 3); b != nil {
		*v = b[:n:n]
	}
}

// String moves string v<max>, of any bytes. RFC 4506 §4.11.
func (x *Stream) String(v *string, max uint32) {
	if !x.decoding {
		n := uint32(len(*v))
		if n > max {
			x.Fail(ErrTooLong)
			return
		}
		x.Uint32(&n)
		x.buf = append(append(x.buf, *v...), zeros[:-n&3]...)
		return
	}
	var b []byte
	x.Opaque(&b, max)
	*v = string(b)
}

// Optional moves *v behind its pointer's flag, RFC 4506 §4.19.
func Optional[T any, P interface {
	*T
	Value
}](x *Stream, v *P) {
	set := *v != nil
	x.Bool(&set)
	if x.err != nil || !set {
		if x.decoding {
			*v = nil
		}
		return
	}
	if x.decoding {
		*v = new(T)
	}
	(*v).XDR(x)
}

// Array moves v<max>; each element costs bytes of the record before it costs memory. RFC 4506 §4.13.
func Array[T any, P interface {
	*T
	Value
}](x *Stream, v *[]T, max uint32) {
	n := uint32(len(*v))
	if n > max {
		x.Fail(ErrTooLong)
		return
	}
	x.Uint32(&n)
	if !x.decoding {
		for i := range *v {
			P(&(*v)[i]).XDR(x)
		}
		return
	}
	if n > max {
		x.Fail(ErrTooLong)
	}
	*v = nil
	for ; n > 0 && x.err == nil; n-- {
		var e T
		P(&e).XDR(x)
		if x.err == nil {
			*v = append(*v, e)
		}
	}
}

// Marshal appends v to b.
func Marshal(b []byte, v Value) ([]byte, error) {
	x := Encoder(b)
	v.XDR(&x)
	return x.buf, x.err
}

// Unmarshal fills v from all of b.
func Unmarshal(b []byte, v Value) error {
	x := Decoder(b)
	v.XDR(&x)
	return x.End()
}

// Void is no value.
type Void struct{}

// XDR moves nothing.
func (*Void) XDR(*Stream) {}
