package server

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
)

// Named streams, [MS-FSCC] 2.1.5.3: bytes beside a file's or a directory's own. Each is an extended attribute (gateway/export) with a zero
// behind the bytes, so that an empty stream is there, too. A stream grows as far as the file system lets an attribute grow (64 KiB at most;
// on ext4 all of a file's share one block); beyond that, the disk is full. Only a Mac's resource fork lies elsewhere (double.go).
const (
	streamPrefix = export.StreamPrefix
	streamType   = export.StreamType
	maxStream    = 1<<16 - 1 // XATTR_SIZE_MAX without the zero
)

// stream is a stream that is open, one for all its opens. At the counter it is a file of its own: its key is the file's with another Gen.
type stream struct {
	base lock.Key
	key  lock.Key

	mu   sync.Mutex // guards name, and the bytes while they are read, changed and written
	name string     // as it is stored
	refs int        // guarded by streams.mu
}

// streams are those that are open, by their files. While a stream is open its key stays, whatever it is renamed to.
type streams struct {
	mu sync.Mutex // guards the map, and stream.refs
	by map[lock.Key][]*stream

	taking sync.Mutex // held while AppleDouble files are emptied but for their forks
}

// use finds or makes the stream of a file; give it back with done.
func (t *streams) use(base lock.Key, name string) *stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.by[base] {
		if sameName(s.called(), name) {
			s.refs++
			return s
		}
	}
	s := &stream{base: base, key: base, name: name, refs: 1}
	for again := true; again; {
		s.key = export.StreamKey(s.key, name)
		again = s.key == base
		for _, other := range t.by[base] {
			again = again || other.key == s.key
		}
	}
	t.by[base] = append(t.by[base], s)
	return s
}

// done ends a use; the last one's end calls gone before anybody can use the stream again.
func (t *streams) done(s *stream, gone func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.refs--; s.refs > 0 {
		return
	}
	gone()
	list := t.by[s.base]
	for i, x := range list {
		if x == s {
			list = append(list[:i], list[i+1:]...)
		}
	}
	if t.by[s.base] = list; len(list) == 0 {
		delete(t.by, s.base)
	}
}

// open reports whether a file's stream is open.
func (t *streams) open(base lock.Key, name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.by[base] {
		if sameName(s.called(), name) {
			return true
		}
	}
	return false
}

func (s *stream) called() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name
}

// streamNames lists the streams that are attributes of a file.
func streamNames(f *os.File) ([]string, error) {
	all, err := export.ListXattr(int(f.Fd()))
	if err == unix.EOPNOTSUPP {
		return nil, nil
	}
	var names []string
	for _, a := range all {
		if rest, ok := strings.CutPrefix(a, streamPrefix); ok {
			if name, ok := strings.CutSuffix(rest, streamType); ok {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, err
}

// streamSize is how long a stream is; ENODATA where there is none.
func streamSize(f *os.File, name string) (uint64, error) {
	n, err := export.GetXattr(int(f.Fd()), export.StreamAttribute(name), nil)
	return uint64(max(n-1, 0)), err
}

func readStream(f *os.File, name string) ([]byte, error) {
	b, err := export.ReadXattr(int(f.Fd()), export.StreamAttribute(name))
	return b[:max(len(b)-1, 0)], err
}

func writeStream(f *os.File, name string, b []byte, flags int) error {
	err := export.SetXattr(int(f.Fd()), export.StreamAttribute(name), append(b, 0), flags)
	if errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ERANGE) {
		return ntstatus.DiskFull
	}
	return err
}

func (s *stream) readAt(in streamed, b []byte, offset int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return in.readAt(s.name, b, offset)
}

func (s *stream) writeAt(in streamed, b []byte, offset int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.forked(s.name) {
		return in.double.writeAt(b, offset)
	}
	end := uint64(offset) + uint64(len(b))
	err := s.change(in.file, end, func(data []byte) []byte {
		if uint64(len(data)) < end {
			data = append(data, make([]byte, end-uint64(len(data)))...)
		}
		copy(data[offset:], b)
		return data
	})
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func (s *stream) truncate(in streamed, size uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.forked(s.name) {
		return in.double.truncate(size)
	}
	return s.change(in.file, size, func(data []byte) []byte {
		return append(data, make([]byte, max(size, uint64(len(data)))-uint64(len(data)))...)[:size]
	})
}

// change rewrites an attribute. A stream that is gone meanwhile stays away. s.mu is held.
func (s *stream) change(f *os.File, size uint64, to func([]byte) []byte) error {
	if size > maxStream {
		return ntstatus.DiskFull
	}
	data, err := readStream(f, s.name)
	if err != nil {
		return err
	}
	return writeStream(f, s.name, to(data), unix.XATTR_REPLACE)
}
