package rpc

import (
	"strings"

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

// writer builds NDR 2.0 results. What pointers point to follows its structure: strings wait in deferred.
type writer struct {
	b        []byte
	referent uint32
	deferred []string
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

// text writes a pointer to a string, which flush writes.
func (w *writer) text(s string) {
	w.pointer()
	w.deferred = append(w.deferred, s)
}

// flush writes the strings that the structures before it point to.
func (w *writer) flush() {
	for _, s := range w.deferred {
		n := uint32(wire.UTF16Len(s)/2 + 1)
		w.uint32(n)
		w.uint32(0)
		w.uint32(n)
		w.b = append(wire.AppendUTF16(w.b, s), 0, 0)
	}
	w.deferred = w.deferred[:0]
}

// Results of the operations, [MS-ERREF] 2.2.
const (
	errSuccess      = 0
	errInvalidLevel = 124  // ERROR_INVALID_LEVEL
	errMoreData     = 234  // ERROR_MORE_DATA
	errNoShare      = 2310 // NERR_NetNameNotFound
)
