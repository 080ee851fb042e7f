package oncrpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Record marking, RFC 5531 §11: a record is one or more fragments, each behind a word that holds its length and, in the top bit,
// whether it is the last.

const (
	lastFragment = 1 << 31

	// DefaultMaxRecord holds a WRITE of 1 MiB with its header.
	DefaultMaxRecord = 1<<20 + 64<<10

	smallRecord = 4 << 10
	midRecord   = 64 << 10
)

var errRecordTooLong = errors.New("oncrpc: record over its limit")

var midBuffers, bigBuffers = sync.Pool{New: func() any { return new([midRecord]byte) }}, sync.Pool{New: func() any { return new([DefaultMaxRecord]byte) }}

// record is one record and the buffer that it lies in: a small one of its own, or a pooled one of 64 KiB or DefaultMaxRecord. Beyond
// that (a larger limit was configured) the buffer doubles and is not pooled.
type record struct {
	data  []byte
	small [smallRecord]byte
	mid   *[midRecord]byte
	big   *[DefaultMaxRecord]byte
}

func (r *record) reset() { r.free(); r.data = r.small[:0] }

func (r *record) free() {
	if r.mid != nil {
		midBuffers.Put(r.mid)
	}
	if r.big != nil {
		bigBuffers.Put(r.big)
	}
	r.mid, r.big, r.data = nil, nil, nil
}

// grow moves what arrived into the next larger buffer. It is called only when the present one is full, so memory follows the bytes
// received and not the length that was claimed.
func (r *record) grow() {
	old := r.data
	switch {
	case cap(old) < midRecord:
		r.mid = midBuffers.Get().(*[midRecord]byte)
		r.data = append(r.mid[:0], old...)
	case cap(old) < DefaultMaxRecord:
		r.big = bigBuffers.Get().(*[DefaultMaxRecord]byte)
		r.data = append(r.big[:0], old...)
		midBuffers.Put(r.mid)
		r.mid = nil
	default:
		r.data = append(make([]byte, 0, 2*cap(old)), old...)
		if r.big != nil {
			bigBuffers.Put(r.big)
			r.big = nil
		}
	}
}

// read collects one record of at most max bytes. io.EOF means that the stream ended before a record began.
func (r *record) read(from io.Reader, max int) error {
	r.reset()
	var mark [4]byte
	for first := true; ; first = false {
		if _, err := io.ReadFull(from, mark[:]); err != nil {
			if err == io.EOF && !first {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		m := binary.BigEndian.Uint32(mark[:])
		left := int64(m &^ lastFragment)
		if int64(len(r.data))+left > int64(max) {
			return fmt.Errorf("%w: fragment of %d bytes", errRecordTooLong, left)
		}
		for left > 0 {
			if len(r.data) == cap(r.data) {
				r.grow()
			}
			at := len(r.data)
			n := int(min(left, int64(cap(r.data)-at)))
			got, err := io.ReadFull(from, r.data[at:at+n])
			r.data = r.data[:at+got]
			if err != nil {
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return err
			}
			left -= int64(n)
		}
		if m&lastFragment != 0 {
			return nil
		}
	}
}

// markRecord fills the four bytes in front of a record of one fragment.
func markRecord(b []byte, length int) {
	binary.BigEndian.PutUint32(b, lastFragment|uint32(length))
}
