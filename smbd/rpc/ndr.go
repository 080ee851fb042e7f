package rpc

import (
	"strings"

	"dittofs/smbd/dtyp"
	"dittofs/smbd/wire"
)

// reader reads NDR 2.0 arguments, C706 chapter 14. Alignment counts from the first argument on.
type reader struct{ wire.Cursor }

func (r *reader) uint32() uint32 {
	r.Align(4)
	return r.Uint32()
}

// text reads a conformant varying string of wchar_t with its terminator.
func (r *reader) text() string {
	most, offset, count := r.uint32(), r.uint32(), r.uint32()
	if offset != 0 || count > most || count > maxRequest {
		r.Fail(wire.ErrValue)
		return ""
	}
	s, err := wire.String(r.Bytes(int(count) * 2))
	if err != nil {
		r.Fail(err)
	}
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

// pointer reads a unique pointer's referent and tells whether something is there.
func (r *reader) pointer() bool { return r.uint32() != 0 }

// unique reads a [unique, string] wchar_t*.
func (r *reader) unique() string {
	if !r.pointer() {
		return ""
	}
	return r.text()
}

func (r *reader) uint16() uint16 {
	r.Align(2)
	return r.Uint16()
}

// sid reads an RPC_SID, [MS-DTYP] 2.4.2.3.
func (r *reader) sid() (s dtyp.SID) {
	n := r.uint32()
	b := r.Bytes(8)
	if r.Err() != nil || n > 15 || b[1] != byte(n) {
		r.Fail(wire.ErrValue)
		return s
	}
	if err := s.Parse(append(b[:8:8], r.Bytes(4*int(n))...)); err != nil {
		r.Fail(err)
	}
	return s
}

// unicodes reads n RPC_UNICODE_STRINGs and then what they point to.
func (r *reader) unicodes(n uint32) []string {
	var there []bool
	for range n {
		r.uint32()
		there = append(there, r.pointer())
		if r.Err() != nil {
			return nil
		}
	}
	out := make([]string, 0, len(there))
	for _, t := range there {
		s := ""
		if t {
			s = r.text()
		}
		out = append(out, s)
	}
	return out
}

// handle reads a context handle, C706 14.
func (r *reader) handle() (h handle) {
	r.Align(4)
	copy(h[:], r.Bytes(len(h)))
	return h
}

// writer builds NDR 2.0 results. What pointers point to follows its structure: it waits in deferred.
type writer struct {
	b        []byte
	referent uint32
	deferred []func()
}

func (w *writer) uint32(v uint32) {
	w.b = wire.Append32(wire.Pad(w.b, 0, 4), v)
}

// pointer writes the referent of a pointer to something.
func (w *writer) pointer() {
	w.referent += 4
	w.uint32(0x00020000 + w.referent)
}

func (w *writer) null() { w.uint32(0) }

// to writes a pointer to what flush writes.
func (w *writer) to(what func()) {
	w.pointer()
	w.deferred = append(w.deferred, what)
}

// text writes a pointer to a string with its terminator.
func (w *writer) text(s string) { w.to(func() { w.chars(s + "\x00") }) }

// unicode writes an RPC_UNICODE_STRING, [MS-DTYP] 2.3.10.
func (w *writer) unicode(s string) {
	n := uint32(wire.UTF16Len(s))
	w.uint32(n | n<<16) // Length, MaximumLength
	w.to(func() { w.chars(s) })
}

// chars writes a conformant varying string.
func (w *writer) chars(s string) {
	n := uint32(wire.UTF16Len(s) / 2)
	w.uint32(n)
	w.uint32(0)
	w.uint32(n)
	w.b = wire.AppendUTF16(w.b, s)
}

// sid writes a pointer to a SID.
func (w *writer) sid(s dtyp.SID) {
	w.to(func() {
		w.uint32(uint32(s.Count))
		w.b = s.Append(w.b)
	})
}

// array writes a pointer to a conformant array, whose elements' own pointers follow the array; null where there is none.
func (w *writer) array(n int, element func(i int)) {
	if n == 0 {
		w.null()
		return
	}
	w.to(func() {
		w.uint32(uint32(n))
		outer := w.deferred
		w.deferred = nil
		for i := range n {
			element(i)
		}
		w.flush()
		w.deferred = outer
	})
}

// flush writes what the structures before it point to.
func (w *writer) flush() {
	for len(w.deferred) > 0 {
		next := w.deferred[0]
		w.deferred = w.deferred[1:]
		next()
	}
}

// Results of the operations, [MS-ERREF] 2.2.
const (
	errSuccess      = 0
	errInvalidLevel = 124  // ERROR_INVALID_LEVEL
	errMoreData     = 234  // ERROR_MORE_DATA
	errNoShare      = 2310 // NERR_NetNameNotFound
)
